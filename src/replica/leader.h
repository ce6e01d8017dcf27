// The leader's half of one partition's replication: how far each follower has come, who is in sync,
// and so what is committed. A protocol machine: it is told of fetches, of what became durable, of
// what the controller says and of the time, and says what to ask the controller for.
// Not here: the log and who waits for it (node/partition), sending AlterPartition
// (node/isr_changes), the follower's half (replica/fetcher).
//
// In sync: replicas of the committed ISR, and of the one that the controller was asked for: until
// it answers either may be true, so that the high watermark counts both (the maximal ISR, KIP-497).
// A replica that has caught up and may join counts as well, or it would never get there.
// What counts of a replica is what is durable: a follower asks from its durable end (decisions,
// D3), our own end counts when it is synced. The high watermark stands still while the committed
// ISR is smaller than min.insync.replicas (KIP-966).
// Who falls behind for replica.lag.time.max.ms leaves the ISR; sooner who gets records and asks for
// them again, for want of room on its disk say: it cannot catch up, and all writes would wait.
// Time: for lag and for joining only; safety rests on epochs.
// Threads: one caller at a time (the partition's lock).
// Invariants (check_invariants): LD1 this broker is in the ISR. LD2 the high watermark never falls.
// LD3 the maximal ISR contains the committed one and the one asked for.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "metadata/image.h"
#include "wire/errors.h"

namespace millrace::replica {

struct LeaderOptions {
  NodeId self = kNoNode;
  Duration lag_max = milliseconds(30'000);  // replica.lag.time.max.ms
  int32_t min_insync_replicas = 1;
};

struct LeaderLog {
  Offset high_watermark;
  Offset durable_end;
  Offset log_end;
};

// A Fetch of a follower, for one partition: it has everything below `fetch_offset` durably.
struct FollowerFetch {
  NodeId replica = kNoNode;
  BrokerEpoch broker_epoch{-1};  // -1: its version cannot say
  Offset fetch_offset;
  Offset log_start{-1};
};

// What the controller is asked for (AlterPartition).
struct IsrChange {
  struct Member {
    NodeId id = kNoNode;
    BrokerEpoch epoch{-1};  // under which it fetched; -1: it has not yet
    friend bool operator==(const Member&, const Member&) = default;
  };
  LeaderEpoch leader_epoch;
  PartitionEpoch partition_epoch;
  std::vector<Member> isr;
};

struct IsrAnswer {
  wire::ErrorCode error = wire::ErrorCode::kNone;
  LeaderEpoch leader_epoch;
  PartitionEpoch partition_epoch;
  std::vector<NodeId> isr;
};

class Leader {
 public:
  struct Follower {
    NodeId id = kNoNode;
    Offset log_end{-1};    // durable there; -1: it has not fetched in this leader's epoch
    Offset log_start{-1};  // as its last fetch said
    BrokerEpoch broker_epoch{-1};
    bool has_fetched = false;
    bool in_isr = false;      // the maximal one
    bool is_joining = false;  // caught up, may join: counts for the high watermark
    Instant last_caught_up{};
    Instant last_fetch{};
    Offset end_at_last_fetch{-1};          // of our log
    bool was_given = false;                // records, as the answer to its last fetch
    std::optional<Instant> in_vain_since;  // it asks again and again for what it was given
  };

  // Elected, or told so at its start. The epoch starts at the log's end.
  Leader(const LeaderOptions& options, const metadata::PartitionState& state, const LeaderLog& log,
         Instant now);

  // The same leader epoch, with another partition epoch perhaps.
  void on_metadata(const metadata::PartitionState& state, Instant now);
  void set_min_insync_replicas(int32_t count);
  // The log is synced below `end`. Truncation of a leader does not happen.
  void on_durable(Offset end);
  // kNone, kNotLeaderOrFollower: a process of that broker which is no more; kUnknownLeaderEpoch:
  // the replica is not ours. `log_end` of our log.
  wire::ErrorCode on_fetch(const FollowerFetch& fetch, Offset log_end, const metadata::Image& image,
                           Instant now);
  // The answer to the follower's fetch has records for it.
  void gave(NodeId id);
  // From time to time: who has not kept up leaves.
  void on_tick(Offset log_end, const metadata::Image& image, Instant now);

  // What has to be asked of the controller now, once; until the answer nothing else is.
  std::optional<IsrChange> take_change();
  bool has_change() const { return pending_ && !pending_->sent; }
  // What became of the change asked for at `asked`.
  void on_answer(PartitionEpoch asked, const IsrAnswer& answer);

  Offset high_watermark() const { return high_watermark_; }
  Offset epoch_start() const { return epoch_start_; }
  LeaderEpoch epoch() const { return leader_epoch_; }
  PartitionEpoch partition_epoch() const { return partition_epoch_; }
  const std::vector<NodeId>& isr() const { return isr_; }  // the committed one
  const std::vector<Follower>& followers() const { return followers_; }
  bool has_min_isr() const;
  bool has_follower(NodeId id) const {
    return std::ranges::find(followers_, id, &Follower::id) != followers_.end();
  }
  // It asked from there before, and was given records.
  bool asks_again(NodeId id, Offset fetch_offset) const;
  // The lowest start of all replicas that are alive; ours is `log_start`.
  Offset low_watermark(Offset log_start, const metadata::Image& image) const;
  // The replica that a consumer in `rack` shall read `offset` from instead (KIP-392).
  std::optional<NodeId> read_replica(std::string_view rack, Offset offset,
                                     const metadata::Image& image) const;
  void check_invariants() const;
  std::string describe() const;

 private:
  struct Pending {
    IsrChange change;
    bool sent = false;
  };

  void take_assignment(const metadata::PartitionState& state, Instant now);
  void commit(std::vector<NodeId> isr, PartitionEpoch epoch);
  Follower* find(NodeId id);
  bool may_join(const Follower& follower, const metadata::Image& image) const;
  static constexpr Duration kInVain = seconds(3);
  bool keeps_up(const Follower& follower, Offset log_end, Instant now) const;
  static bool asks_in_vain(const Follower& follower, Instant now);
  void propose(std::vector<NodeId> isr);
  void propose_joining(const Follower& follower);
  void count_members();
  void advance();

  LeaderOptions options_;
  LeaderEpoch leader_epoch_;
  PartitionEpoch partition_epoch_;
  bool recovering_ = false;  // elected uncleanly, and the controller does not know that it is over
  std::vector<NodeId> isr_;
  std::vector<Follower> followers_;
  std::optional<Pending> pending_;
  Offset epoch_start_;
  Offset durable_end_;
  Offset high_watermark_;
};

}  // namespace millrace::replica
