// The share coordinator: a replicated machine (machine/replicated.h) over one partition of
// __share_group_state, in Kafka's record format (docs/format/share.md). It keeps the state of the
// share partitions whose keys hash to that partition (share/coordinator_key.h) for those who lead
// them: where consumption begins, what was delivered behind it and how it went.
//
// Not here: finding the partition and its leader, loading its log, appending and committing records
// (node/partition_coordinators), cutting off what its log says no more
// (node/partition_share_states), who delivers records.
//
// Inputs: one question about one share partition at a time, with the time and a ticket in a
// RequestContext. Outputs: decisions. What the host does, beyond machine/replicated.h:
//   H1 Answers leave when every record appended before them is committed; this holds for reads too.
//   H2 apply() runs for a decision's records, with their offsets, before the next call.
//   H3 on_tick() is called at or after next_deadline(), which every call may change.
//   H4 When all that was appended before Decision::redundant_end is committed, the log may begin
//      there.
//
// State, all of it replicated: for each share partition its state as last snapshot and updates say,
// and the highest epochs that were seen since it was initialised first. A write becomes an update,
// which says what changed, or, behind so many updates, a snapshot, which says all; everything
// before the oldest last snapshot is redundant. A share partition of which only updates are in the
// log (its snapshot was cut off, and a newer one follows) is one that never had epochs.
//
// Numbered invariants: see check_invariants(). Threads: one caller at a time.
// KIP-932, KIP-1226.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "machine/replicated.h"
#include "share/coordinator_records.h"
#include "share/share_config.h"
#include "share/state.h"
#include "wire/errors.h"

namespace millrace::share {

// --- Questions: one for each API (83 to 87).

struct InitializeState {
  int32_t state_epoch = 0;
  Offset start = kNoStartOffset;
};
struct ReadState {
  LeaderEpoch leader_epoch = kNoLeaderEpoch;  // leaders before it are fenced from then on
};
struct WriteState {
  PersistedState state;  // batches as they come: in any order
};
struct DeleteState {};
struct ReadStateSummary {
  LeaderEpoch leader_epoch = kNoLeaderEpoch;  // counts for nothing, as in Kafka
};
using Question =
    std::variant<InitializeState, ReadState, WriteState, DeleteState, ReadStateSummary>;

struct Answer {
  wire::ErrorCode error = wire::ErrorCode::kNone;
  std::optional<std::string> message{};  // of an error
  PersistedState state{};                // of what was read: all but what the API does not say
};
using Response = Answer;

struct Decision : machine::Decision<machine::KeyValueRecord, Response> {
  std::optional<Offset> redundant_end;  // nothing before it counts any more
};

// What the metadata says of topics, as of the call.
class Topics {
 public:
  virtual ~Topics() = default;
  virtual bool exists(const Uuid& topic) const = 0;
  virtual bool has_partition(const Uuid& topic, PartitionIndex partition) const = 0;
};

struct Moment {
  Instant now;
  TimestampMs wall;
};

struct RequestContext {
  machine::Ticket ticket{};
  Moment moment;
  const Topics* topics = nullptr;
};

class ShareCoordinator {
 public:
  explicit ShareCoordinator(const CoordinatorConfig& config) : config_(config) {}

  // --- Replay: from the log at loading, and of a decision's records when they were appended.
  // kCorrupt, kTruncated, kUnsupported: a record of a known type that cannot be read; nothing
  // changed. Never fails on records of a decision.
  Result<> apply(const machine::KeyValueRecord& record, Offset offset);
  // The log is replayed to its end: intervals start, what is kept of topics that are gone goes.
  // Call once.
  Decision on_loaded(const Moment& moment, const Topics& topics);

  // --- Requests. One reply for context.ticket.
  Decision decide(const SharePartitionKey& key, const Question& question,
                  const RequestContext& context) const;
  // Nobody asks for what is kept of them any more.
  Decision on_topics_deleted(const std::set<Uuid>& topics) const;

  // --- Time: share partitions that nobody writes to are written as snapshots again, so that the
  // log before them becomes redundant, as long as others are written to.
  Decision on_tick(const Moment& moment);
  Instant next_deadline() const;  // Instant::never(): nothing to wait for

  // --- Looking inside.
  // Null: not initialised.
  const Snapshot* find(const SharePartitionKey& key) const;
  // Where the oldest of the last snapshots is. Nothing: all of the log counts.
  std::optional<Offset> redundant_end() const;
  // Asserts of every share partition:
  //   SC1 its batches are ascending and apart, and none ends before it begins;
  //   SC2 if it has a start no batch begins before that;
  //   SC3 its epochs are at most the highest that were seen, once there was a snapshot.
  void check_invariants() const;
  std::string describe() const;  // one line
  // The replicated state as text, the same for any two machines that have the same.
  std::string describe_replicated() const;

 private:
  static constexpr int32_t kNone = std::numeric_limits<int32_t>::min();
  struct Kept {
    Snapshot snapshot;  // as the updates behind it left it
    LeaderEpoch highest_leader_epoch{kNone};
    int32_t highest_state_epoch = kNone;
    int32_t updates = 0;  // that count towards the next snapshot
    std::optional<Offset> snapshot_at;
  };
  struct Step;

  void apply_snapshot(Kept& kept, Snapshot snapshot, Offset offset) const;
  Answer on(const InitializeState& asked, Step& step) const;
  Answer on(const ReadState& asked, Step& step) const;
  Answer on(const WriteState& asked, Step& step) const;
  Answer on(const DeleteState& asked, Step& step) const;
  Answer on(const ReadStateSummary& asked, Step& step) const;
  void write(Step& step, const PersistedState& changes, LeaderEpoch leader_epoch) const;
  void snapshot_cold(const Moment& moment, Decision& decision) const;

  CoordinatorConfig config_;
  std::map<SharePartitionKey, Kept> kept_;
  std::optional<Offset> last_removal_;
  Instant next_cold_snapshot_ = Instant::never();
  Instant next_prune_ = Instant::never();
};

}  // namespace millrace::share
