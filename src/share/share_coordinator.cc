#include "share/share_coordinator.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "share/state_merge.h"

namespace millrace::share {
namespace {

void apply_update(Snapshot& snapshot, const PersistedState& changes) {
  PersistedState& state = snapshot.state;
  if (changes.start_offset != kNoStartOffset) state.start_offset = changes.start_offset;
  if (changes.leader_epoch != kNoLeaderEpoch) state.leader_epoch = changes.leader_epoch;
  state.delivery_complete_count = changes.delivery_complete_count;
  state.batches = merge_batches(std::move(state.batches), changes.batches, state.start_offset);
}

}  // namespace

// --- Replay.

// The log of a later Kafka, or of one before it merged what it wrote, may have batches as no
// coordinator leaves them.
void ShareCoordinator::apply_snapshot(Kept& kept, Snapshot snapshot, Offset offset) const {
  PersistedState& state = snapshot.state;
  if (!are_merged(state.batches, state.start_offset))
    state.batches = merge_batches({}, state.batches, state.start_offset);
  kept.highest_leader_epoch = std::max(kept.highest_leader_epoch, state.leader_epoch);
  kept.highest_state_epoch = std::max(kept.highest_state_epoch, state.state_epoch);
  kept.snapshot = std::move(snapshot);
  kept.snapshot_at = offset;
  if (kept.updates >= config_.updates_per_snapshot) kept.updates = 0;
}

Result<> ShareCoordinator::apply(const KeyValueRecord& record, Offset offset) {
  ASSIGN_OR_RETURN(auto parsed, parse_record(record));
  if (!parsed) {
    LOG_DEBUG("__share_group_state: a record of an unknown type is ignored");
    return {};
  }
  if (std::holds_alternative<Removal>(parsed->content)) {
    kept_.erase(parsed->key);
    last_removal_ = offset;
    return {};
  }
  Kept& kept = kept_[parsed->key];
  if (auto* snapshot = std::get_if<Snapshot>(&parsed->content)) {
    apply_snapshot(kept, std::move(*snapshot), offset);
    return {};
  }
  const auto& update = std::get<Update>(parsed->content);
  kept.highest_leader_epoch = std::max(kept.highest_leader_epoch, update.changes.leader_epoch);
  if (kept.updates == 0 && !kept.snapshot_at) kept.snapshot.epoch = update.snapshot_epoch;
  apply_update(kept.snapshot, update.changes);
  ++kept.updates;
  return {};
}

Decision ShareCoordinator::on_loaded(const Moment& moment, const Topics& topics) {
  next_cold_snapshot_ = moment.now + config_.cold_snapshot_interval;
  next_prune_ = moment.now + config_.prune_interval;
  Decision decision;
  for (const auto& [key, kept] : kept_)
    if (!topics.exists(key.topic)) decision.records.push_back(removal_record(key));
  return decision;
}

Decision ShareCoordinator::on_topics_deleted(const std::set<Uuid>& topics) const {
  Decision decision;
  for (const auto& [key, kept] : kept_)
    if (topics.contains(key.topic)) decision.records.push_back(removal_record(key));
  return decision;
}

// --- Time.

Decision ShareCoordinator::on_tick(const Moment& moment) {
  Decision decision;
  if (next_cold_snapshot_ <= moment.now) {
    next_cold_snapshot_ = moment.now + config_.cold_snapshot_interval;
    snapshot_cold(moment, decision);
  }
  if (next_prune_ <= moment.now) {
    next_prune_ = moment.now + config_.prune_interval;
    decision.redundant_end = redundant_end();
  }
  return decision;
}

// Nothing, when all have been cold before: it would go on for ever where nobody is.
void ShareCoordinator::snapshot_cold(const Moment& moment, Decision& decision) const {
  const auto is_cold = [](const auto& each) {
    return each.second.snapshot.created != each.second.snapshot.written;
  };
  if (std::ranges::all_of(kept_, is_cold)) return;
  for (const auto& [key, kept] : kept_) {
    if (moment.wall - kept.snapshot.written < config_.cold_snapshot_interval.count()) continue;
    Snapshot again = kept.snapshot;
    again.epoch = next_epoch(again.epoch);
    again.written = moment.wall;
    decision.records.push_back(snapshot_record(key, again));
  }
}

Instant ShareCoordinator::next_deadline() const {
  if (kept_.empty() && !last_removal_) return Instant::never();
  return std::min(next_cold_snapshot_, next_prune_);
}

std::optional<Offset> ShareCoordinator::redundant_end() const {
  std::optional<Offset> oldest;
  for (const auto& [key, kept] : kept_)
    if (kept.snapshot_at) oldest = std::min(oldest.value_or(*kept.snapshot_at), *kept.snapshot_at);
  if (!oldest) oldest = last_removal_;
  if (!oldest || *oldest <= Offset(0)) return std::nullopt;
  return oldest;
}

// --- Looking inside.

const Snapshot* ShareCoordinator::find(const SharePartitionKey& key) const {
  const auto found = kept_.find(key);
  return found == kept_.end() ? nullptr : &found->second.snapshot;
}

void ShareCoordinator::check_invariants() const {
  for (const auto& [key, kept] : kept_) {
    const PersistedState& state = kept.snapshot.state;
    ASSERT(are_merged(state.batches, kNoStartOffset), "SC1 {}:{}:{}", key.group, key.topic,
           key.partition);
    ASSERT(are_merged(state.batches, state.start_offset), "SC2 {}:{}:{} starts at {}", key.group,
           key.topic, key.partition, state.start_offset);
    if (!kept.snapshot_at) continue;
    ASSERT(state.leader_epoch <= kept.highest_leader_epoch &&
               state.state_epoch <= kept.highest_state_epoch,
           "SC3 {}:{}:{} is at {} and {}", key.group, key.topic, key.partition, state.leader_epoch,
           state.state_epoch);
  }
}

std::string ShareCoordinator::describe() const {
  return fmt::format("{} share partitions", kept_.size());
}

std::string ShareCoordinator::describe_replicated() const {
  std::string text;
  for (const auto& [key, kept] : kept_) {
    const PersistedState& state = kept.snapshot.state;
    text += fmt::format(
        "{}:{}:{} snapshot {} at {} epochs {}/{} highest {}/{} start {} done {} times {}/{} "
        "updates {}:",
        key.group, key.topic, key.partition, kept.snapshot.epoch,
        kept.snapshot_at.value_or(Offset(-1)), state.state_epoch, state.leader_epoch,
        kept.highest_state_epoch, kept.highest_leader_epoch, state.start_offset,
        state.delivery_complete_count, kept.snapshot.created, kept.snapshot.written, kept.updates);
    for (const StateBatch& each : state.batches)
      text += fmt::format(" {}-{} {}x{}", each.first, each.last, static_cast<int>(each.state),
                          each.delivery_count);
    text += '\n';
  }
  return text;
}

}  // namespace millrace::share
