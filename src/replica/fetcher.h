// The follower's half of replication: everything that this broker fetches from one leader broker. A
// protocol machine: it says which Fetch (or ListOffsets) to send and what to do to the logs, and is
// told what came of it.
// Not here: connections and logs (node/replica_fetchers), what is in sync (replica/leader).
//
// Order: while a log is being changed its partition is not fetched; it is fetched again from its
// durable end (decisions, D3), so that the leader never counts what a crash could take back. The
// others go on, but only after kPatience: a Fetch that waits at the leader cannot be added to.
// Sessions (KIP-227): after the first Fetch only what changed is named.
// Truncation: a Fetch names the epoch of our last record; a leader that knows better says where the
// logs part (KIP-595), and the log is cut before anything else is taken from an answer. All
// leaders of a KRaft cluster can, so that OffsetForLeaderEpoch is not needed. Out of range: the
// leader is asked for its ends, and the log is cut to its end or begins anew at its start.
// Hostile input: an answer names partitions and offsets; what was not asked for is left alone.
// Threads: one caller at a time.
// Invariants (check_invariants): FT1 a partition whose log is being changed is in no Fetch under
// way. FT2 an epoch other than 0 belongs to a session.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "wire/fetch.h"
#include "wire/list_offsets.h"

namespace millrace::replica {

struct FetcherOptions {
  NodeId self = kNoNode;
  Duration wait_max = milliseconds(500);      // replica.fetch.wait.max.ms
  Duration backoff_max = milliseconds(1000);  // replica.fetch.backoff.ms
  int32_t min_bytes = 1;
  int32_t response_max_bytes = 10 << 20;
  int32_t partition_max_bytes = 1 << 20;
};

// A partition's log as its host found it.
struct FollowedLog {
  Offset log_start;
  Offset durable_end;
  LeaderEpoch last_epoch = kNoLeaderEpoch;  // of its last record
  friend bool operator==(const FollowedLog&, const FollowedLog&) = default;
};

struct Followed {
  TopicIdPartition id;
  TopicPartition name;
  LeaderEpoch leader_epoch;
};

// Where an epoch ends.
struct EpochEnd {
  LeaderEpoch epoch = kNoLeaderEpoch;
  Offset end{-1};
  friend bool operator==(const EpochEnd&, const EpochEnd&) = default;
};

// What to do to a log, then on_log() is called, or on_log_failed(). Nothing is done when the
// partition has another leader epoch by now.
struct Append {
  TopicIdPartition id;
  LeaderEpoch leader_epoch;
  Offset at;         // where the log ends
  ByteView records;  // as the leader sent them; empty: only what follows changed
  Offset high_watermark;
  Offset log_start;  // of the leader
};
struct Truncate {
  TopicIdPartition id;
  LeaderEpoch leader_epoch;
  EpochEnd leader_end;  // see truncation_target()
};
struct StartOver {
  TopicIdPartition id;
  LeaderEpoch leader_epoch;
  Offset at;
};
using LogAction = std::variant<Append, Truncate, StartOver>;

// Where a follower's log is cut (KIP-101, KIP-279). `leader_end`: the end of the largest epoch in
// the leader's log that is at most the one asked for; `our_end`: that of the largest epoch in our
// log that is at most leader_end.epoch.
struct TruncationEnds {
  EpochEnd leader_end, our_end;
};
Offset truncation_target(const TruncationEnds& ends, Offset log_end);

class Fetcher {
 public:
  // How long a sync holds the next Fetch of the others back, and how long that one then waits.
  static constexpr Duration kPatience = milliseconds(5);
  static constexpr Duration kFirstBackoff = milliseconds(20);
  static constexpr Duration kHeldPause = milliseconds(100);

  explicit Fetcher(const FetcherOptions& options) : options_(options) {}

  // Begins to follow, or goes on in a newer leader epoch, once on_log() says where.
  void add(const Followed& partition);
  // After the last one the connection is given up: no answer comes any more.
  void remove(const TopicIdPartition& id);
  bool is_empty() const { return partitions_.empty(); }
  bool follows(const TopicIdPartition& id) const { return partitions_.contains(id); }
  // Those that are behind are not asked for while it says so of them (a quota is exceeded).
  using Held = std::function<bool(const TopicIdPartition&)>;
  void set_held(Held held) { held_ = std::move(held); }
  void set_broker_epoch(BrokerEpoch epoch) { broker_epoch_ = epoch; }

  // What to send now, if anything; next_deadline() says when to ask again though nothing happened.
  std::optional<wire::FetchRequest> next_fetch(Instant now);
  std::optional<wire::ListOffsetsRequest> next_lookup(Instant now);
  Instant next_deadline(Instant now) const;

  // Views in the actions point into `response`.
  std::vector<LogAction> on_fetched(const wire::FetchResponse& response, Instant now);
  std::vector<LogAction> on_looked_up(const wire::ListOffsetsResponse& response, Instant now);
  // The leader does not answer, neither what was asked nor what will be asked for a while.
  void on_disconnected(Instant now);

  void on_log(const TopicIdPartition& id, LeaderEpoch leader_epoch, const FollowedLog& log);
  // What came could not be used: tried again, later and later. True: the try before could.
  bool on_log_failed(const TopicIdPartition& id, LeaderEpoch leader_epoch, Instant now);

  void check_invariants() const;
  std::string describe() const;

 private:
  enum class Stage { kFetching, kChanging, kLooksForEnd, kLooksForStart, kFenced };
  struct Partition {
    TopicPartition name;
    LeaderEpoch leader_epoch;
    FollowedLog log;
    Stage stage = Stage::kChanging;
    bool asked = false;  // in the Fetch or ListOffsets under way
    Offset leader_high_watermark{INT64_MAX};
    bool is_behind = true;  // of that
    int failures = 0;       // one after the other
    Instant not_before{};
  };
  using Request = wire::FetchRequest;
  using PartitionData = wire::FetchResponse::PartitionData;
  using Entry = std::pair<const TopicIdPartition, Partition>;

  bool is_ready(const Partition& p, Instant now) const {
    return p.stage == Stage::kFetching && now >= p.not_before;
  }
  bool any_changing() const;
  Request::FetchPartition wanted(const Entry& entry) const;
  void name_partition(Request& request, const Entry& entry);
  void forget_partitions(Request& request, Instant now);
  void hold_back(Instant now);
  std::optional<LogAction> take(Entry& entry, const PartitionData& data, Instant now);
  LogAction take_data(Entry& entry, const PartitionData& data);
  std::optional<LogAction> take_end(Entry& entry, Offset end, Instant now);
  Duration backoff(int failures) const;
  void back_off(Partition& partition, Instant now);
  void forget_requests();
  void end_session();

  FetcherOptions options_;
  Held held_;
  BrokerEpoch broker_epoch_{-1};
  std::map<TopicIdPartition, Partition> partitions_;
  // What the leader remembers of the session.
  struct Told {
    LeaderEpoch leader_epoch;
    FollowedLog log;
    friend bool operator==(const Told&, const Told&) = default;
  };
  std::map<TopicIdPartition, Told> in_session_;
  int32_t session_id_ = 0;
  int32_t session_epoch_ = 0;
  bool fetch_under_way_ = false;
  bool lookup_under_way_ = false;
  Instant patient_until_{};
  Instant not_before_{};  // after the leader did not answer
  int failures_ = 0;
};

}  // namespace millrace::replica
