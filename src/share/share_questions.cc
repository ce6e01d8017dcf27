// What the share coordinator answers: checks in Kafka's order, then the record.
#include "share/share_coordinator.h"
#include "share/state_merge.h"
#include "wire/error_messages.h"

namespace millrace::share {
namespace {

using wire::ErrorCode;

constexpr const char* kNegativePartition = "The partition id cannot be a negative number.";
constexpr const char* kUninitializedWrite =
    "Write operation on uninitialized share partition not allowed.";
constexpr const char* kUninitializedRead =
    "Read operation on uninitialized share partition not allowed.";
constexpr const char* kReversedBatch = "A state batch ends before it begins.";  // ours alone
constexpr const char* kNoOffsets = "A state batch has offsets that no record can have.";  // too

constexpr int32_t kAnyEpoch = -1;

Answer refuse(ErrorCode code, std::string message) {
  return {.error = code, .message = std::move(message)};
}
Answer refuse(ErrorCode code) { return refuse(code, wire::error_message(code)); }

}  // namespace

struct ShareCoordinator::Step {
  const SharePartitionKey& key;
  const Kept* kept;  // null: not initialised
  const RequestContext& context;
  Decision decision;

  bool has_partition() const { return context.topics->has_partition(key.topic, key.partition); }
  bool is_fenced(LeaderEpoch asks) const {
    return kept && asks != kNoLeaderEpoch && kept->highest_leader_epoch > asks;
  }
  bool is_fenced(int32_t state_epoch) const {
    return kept && state_epoch != kAnyEpoch && kept->highest_state_epoch > state_epoch;
  }
  void put(Snapshot snapshot) {
    snapshot.created = snapshot.written = context.moment.wall;
    decision.records.push_back(snapshot_record(key, snapshot));
  }
};

Decision ShareCoordinator::decide(const SharePartitionKey& key, const Question& question,
                                  const RequestContext& context) const {
  const auto found = kept_.find(key);
  Step step{.key = key,
            .kept = found == kept_.end() ? nullptr : &found->second,
            .context = context,
            .decision = {}};
  Answer answer = key.partition < PartitionIndex(0)
                      ? refuse(ErrorCode::kInvalidRequest, kNegativePartition)
                      : std::visit([&](const auto& asked) { return on(asked, step); }, question);
  step.decision.replies.push_back({context.ticket, std::move(answer)});
  return std::move(step.decision);
}

// A fresh start, whatever is known.
Answer ShareCoordinator::on(const InitializeState& asked, Step& step) const {
  if (step.is_fenced(asked.state_epoch)) return refuse(ErrorCode::kFencedStateEpoch);
  if (!step.has_partition()) return refuse(ErrorCode::kUnknownTopicOrPartition);
  Snapshot fresh;
  if (step.kept) fresh.epoch = next_epoch(step.kept->snapshot.epoch);
  fresh.state.state_epoch = asked.state_epoch;
  fresh.state.leader_epoch = LeaderEpoch(0);
  fresh.state.start_offset = asked.start;
  // From a start that is known all that is done can be counted.
  fresh.state.delivery_complete_count = asked.start == kNoStartOffset ? -1 : 0;
  step.put(std::move(fresh));
  return {};
}

Answer ShareCoordinator::on(const ReadState& asked, Step& step) const {
  if (!step.kept) return refuse(ErrorCode::kInvalidRequest, kUninitializedRead);
  if (step.is_fenced(asked.leader_epoch)) return refuse(ErrorCode::kFencedLeaderEpoch);
  if (!step.has_partition()) return refuse(ErrorCode::kUnknownTopicOrPartition);
  const PersistedState& state = step.kept->snapshot.state;
  const bool is_new =
      asked.leader_epoch != kNoLeaderEpoch && asked.leader_epoch != step.kept->highest_leader_epoch;
  if (is_new)
    write(step,
          {.start_offset = state.start_offset,
           .delivery_complete_count = state.delivery_complete_count},
          asked.leader_epoch);
  return {.state = {.state_epoch = state.state_epoch,
                    .start_offset = state.start_offset,
                    .batches = state.batches}};
}

Answer ShareCoordinator::on(const WriteState& asked, Step& step) const {
  if (!step.kept) return refuse(ErrorCode::kInvalidRequest, kUninitializedWrite);
  if (step.is_fenced(asked.state.leader_epoch)) return refuse(ErrorCode::kFencedLeaderEpoch);
  if (step.is_fenced(asked.state.state_epoch)) return refuse(ErrorCode::kFencedStateEpoch);
  if (!step.has_partition()) return refuse(ErrorCode::kUnknownTopicOrPartition);
  if (!are_whole(asked.state.batches)) return refuse(ErrorCode::kInvalidRequest, kReversedBatch);
  if (!are_of_records(asked.state.batches)) return refuse(ErrorCode::kInvalidRequest, kNoOffsets);
  write(step, asked.state, step.kept->snapshot.state.leader_epoch);
  return {};
}

void ShareCoordinator::write(Step& step, const PersistedState& changes,
                             LeaderEpoch leader_epoch) const {
  const Snapshot& known = step.kept->snapshot;
  PersistedState next = changes;
  next.leader_epoch = leader_epoch;
  next.state_epoch = known.state.state_epoch;
  if (step.kept->updates < config_.updates_per_snapshot) {
    next.batches = merge_batches({}, changes.batches, changes.start_offset);
    step.decision.records.push_back(
        update_record(step.key, {.snapshot_epoch = known.epoch, .changes = std::move(next)}));
    return;
  }
  if (next.start_offset == kNoStartOffset) next.start_offset = known.state.start_offset;
  next.batches = merge_batches(known.state.batches, changes.batches, next.start_offset);
  step.put({.epoch = next_epoch(known.epoch), .state = std::move(next)});
}

Answer ShareCoordinator::on(const DeleteState&, Step& step) const {
  if (!step.has_partition()) return refuse(ErrorCode::kUnknownTopicOrPartition);
  if (step.kept) step.decision.records.push_back(removal_record(step.key));
  return {};
}

Answer ShareCoordinator::on(const ReadStateSummary&, Step& step) const {
  if (!step.has_partition()) return refuse(ErrorCode::kUnknownTopicOrPartition);
  if (!step.kept) return {.state = {.leader_epoch = LeaderEpoch(0)}};
  const PersistedState& state = step.kept->snapshot.state;
  return {.state = {.state_epoch = state.state_epoch,
                    .leader_epoch = state.leader_epoch,
                    .start_offset = state.start_offset,
                    .delivery_complete_count = state.delivery_complete_count}};
}

}  // namespace millrace::share
