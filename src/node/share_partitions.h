// The share partitions that this node leads, and the share sessions of those who read them
// (KIP-932). One is made at its first use, of what its keeper says (node/share_persister), and
// dropped when the partition has another leader, its group has nobody left here or does not exist
// any more.
// Not here: what a share partition decides (share/share_partition), the protocol (server).
//
// Reading: look() says how much acquire() would find; whoever waits for more is told of appends by
// the partition (node/partition) and of records that are free again by the share partition. Nobody
// reads ahead: acquire() reads and gives in one step, under the share partition's lock.
// Failure: what cannot be loaded is dropped, and whoever waited for it told why; the next use loads
// it anew. A write that fails takes nothing back but what it was about, unless it says that this is
// no leader, or the group is gone: then the share partition is dropped. One that is dropped
// writes nothing more, and the next one is loaded when the write that was under way has ended.
// Threads: any shard; follow() on shard 0. A share partition has a lock of its own, taken before
// that of its partition and never held while its keeper is asked; the map and the sessions have
// one each, under which no other is taken (a share partition's may be held already).
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "env/host.h"
#include "node/partition_host.h"
#include "node/published_image.h"
#include "node/share_group_settings.h"
#include "node/share_persister.h"
#include "share/share_partition.h"
#include "share/share_sessions.h"

namespace millrace::node {

// One share partition of this node. What it has is SharePartitions' own business.
class LedSharePartition;
using LedSharePartitionPtr = std::shared_ptr<LedSharePartition>;

class SharePartitions {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    const Published<metadata::Image>* image = nullptr;
    const Published<config::NodeProperties>* settings = nullptr;
  };
  explicit SharePartitions(const Parts& parts);
  ~SharePartitions();
  // Who keeps their state, before any is used; it outlives this. Without it none can be loaded.
  void set_persister(SharePersister& persister) { persister_ = &persister; }

  // Of a partition that is here; NOT_LEADER_OR_FOLLOWER. It is loaded behind the caller's back.
  std::expected<LedSharePartitionPtr, wire::ErrorCode> use(const share::SharePartitionKey& key);

  struct Readable {
    wire::ErrorCode error = wire::ErrorCode::kNone;
    // The error is that it could not be loaded: there is no hurry to be told and try again.
    bool has_failed_to_load = false;
    size_t bytes = 0;
    Offset readable_end{-1};
    uint64_t changes = 0;
  };
  Readable look(LedSharePartition& led, size_t max_bytes);

  struct Wish {
    share::Member member;
    share::AcquireMode mode = share::AcquireMode::kBatchOptimized;
    int32_t batch_size = 1;
    int64_t max_records = 0;
    size_t max_bytes = 0;
    bool at_least_one = true;  // batch, even if it is larger than max_bytes
  };
  struct Taken {
    wire::ErrorCode error = wire::ErrorCode::kNone;
    storage::ReadSlice slice{};  // nothing when there are no ranges
    // Nothing was given of what was read, but there may be something behind it.
    bool may_have_more = false;
    share::Acquired acquired{};
  };
  Taken acquire(LedSharePartition& led, const Wish& wish);
  // It is told when there may be more than `seen` had.
  void wait(LedSharePartition& led, const Readable& seen, std::shared_ptr<FetchWaiter> waiter);

  // `done`, with an error and what to say of it, is posted to `shard`.
  using AcknowledgeDone = std::move_only_function<void(wire::ErrorCode, std::string)>;
  struct Acknowledgement {
    share::SharePartitionKey key;
    std::string member;
    std::vector<share::AcknowledgementBatch> batches;
  };
  void acknowledge(const Acknowledgement& said, env::Shard& shard, AcknowledgeDone done);

  // The sessions, under their lock.
  template <class F>
  auto with_sessions(F&& fn) {
    std::lock_guard lock(sessions_mutex_);
    return fn(sessions_);
  }
  // What the member has is free again. SHARE_SESSION_NOT_FOUND.
  wire::ErrorCode close_session(const share::SessionKey& key);
  void connection_gone(share::ConnectionId connection);

  // The metadata is `after` now, and the partitions follow it.
  void follow(const metadata::Image& before, const metadata::Image& after);
  bool is_enabled() const;  // share.version is finalised

  ShareGroupSettings settings_of(const std::string& group) const;
  // For tests and simulations: of all that are loaded, and where one of them stands.
  void check_invariants();
  struct Standing {
    std::weak_ptr<const void> life;  // from loading to dropping
    Offset start{0};
    Offset end{0};
  };
  // Nothing: it is not loaded.
  std::optional<Standing> standing_of(const share::SharePartitionKey& key) const;

 private:
  struct LogRead;
  using Write = std::optional<share::PersistedState>;

  LedSharePartitionPtr find(const share::SharePartitionKey& key) const;
  std::vector<LedSharePartitionPtr> all() const;
  void load(const LedSharePartitionPtr& led);
  void loaded(const LedSharePartitionPtr& led, const SharePersister::ReadResult& result);
  void on_timer(LedSharePartition& led, Instant armed);
  void send(LedSharePartition& led, Write write);
  void written(LedSharePartition& led, wire::ErrorCode error);
  void fence(LedSharePartition& led);
  void release(const share::SharePartitionKey& key, const std::string& member);
  void ended(const share::ShareSessions::Gone& session);
  void drop_group(const std::string& group);
  void last_write_ended(const share::SharePartitionKey& key);

  // Under the share partition's lock.
  void end_life(LedSharePartition& led);
  void drop_if_idle(LedSharePartition& led);
  wire::ErrorCode begin(LedSharePartition& led, const SharePersister::ReadResult& result);
  std::expected<Offset, wire::ErrorCode> initial_offset(LedSharePartition& led);
  LogRead read_log(LedSharePartition& led, size_t max_bytes, bool at_least_one);
  static std::optional<std::vector<share::AbortedTransaction>> aborted_in(LedSharePartition& led,
                                                                          const LogRead& read,
                                                                          Offset below);
  Taken give(LedSharePartition& led, const LogRead& read, const Wish& wish);
  Write after_change(LedSharePartition& led);
  void arm(LedSharePartition& led);
  Instant now() const { return host_->shard(0).clock().now(); }

  env::Host* host_;
  PartitionHost* partitions_;
  const Published<metadata::Image>* image_;
  const Published<config::NodeProperties>* settings_;
  SharePersister* persister_ = nullptr;
  mutable std::mutex mutex_;  // guards what follows, up to the next one
  std::map<share::SharePartitionKey, LedSharePartitionPtr> led_;
  // Of those that are fenced: the next one is loaded when it has ended.
  std::set<share::SharePartitionKey> last_writes_;
  std::mutex sessions_mutex_;
  share::ShareSessions sessions_;
};

}  // namespace millrace::node
