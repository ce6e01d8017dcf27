#include "raft/log_state.h"

#include <algorithm>

#include "base/assert.h"

namespace millrace::raft {

LeaderEpoch LogState::last_epoch() const {
  if (!epochs_.empty()) return epochs_.back().epoch;
  const auto snapshot = latest_snapshot();
  return snapshot ? snapshot->epoch : LeaderEpoch(0);
}

LogPosition LogState::end_of(LeaderEpoch epoch) const {
  auto after = std::ranges::upper_bound(epochs_, epoch, {}, &EpochStart::epoch);
  const Offset end = after == epochs_.end() ? end_ : after->start;
  if (after != epochs_.begin()) return {std::prev(after)->epoch, end};
  const auto snapshot = earliest_snapshot();
  const LeaderEpoch before =
      snapshot && snapshot->epoch <= epoch ? snapshot->epoch : LeaderEpoch(0);
  return {before, end};
}

std::optional<LogPosition> LogState::earliest_snapshot() const {
  if (snapshots_.empty()) return std::nullopt;
  return *snapshots_.begin();
}

std::optional<LogPosition> LogState::latest_snapshot() const {
  if (snapshots_.empty()) return std::nullopt;
  return *snapshots_.rbegin();
}

LeaderEpoch LogState::epoch_below(Offset end) const {
  auto after = std::ranges::lower_bound(epochs_, end, {}, &EpochStart::start);
  if (after != epochs_.begin()) return std::prev(after)->epoch;
  const auto snapshot = earliest_snapshot();
  return snapshot ? snapshot->epoch : LeaderEpoch(0);
}

const VoterSet& LogState::voters_below(Offset end) const {
  auto after = voters_.lower_bound(end);
  return after == voters_.begin() ? after->second : std::prev(after)->second;
}

int16_t LogState::kraft_version_below(Offset end) const {
  auto after = kraft_versions_.lower_bound(end);
  return after == kraft_versions_.begin() ? after->second : std::prev(after)->second;
}

void LogState::note_batch(LeaderEpoch epoch, Offset base, Offset end) {
  if (epochs_.empty() || epochs_.back().epoch < epoch) epochs_.push_back({epoch, base});
  end_ = end;
}

void LogState::note_voters(Offset offset, VoterSet voters) {
  voters_.insert_or_assign(offset, std::move(voters));
}

void LogState::note_kraft_version(Offset offset, int16_t version) {
  kraft_versions_.insert_or_assign(offset, version);
}

// Epochs that ended below the start go; the one that spans it begins there.
void LogState::advance_start(Offset start) {
  if (start <= start_) return;
  ASSERT(start <= end_, "LS2: start {} behind the end {}", start, end_);
  start_ = start;
  while (epochs_.size() > 1 && epochs_[1].start <= start) epochs_.erase(epochs_.begin());
  if (!epochs_.empty() && epochs_[0].start < start) epochs_[0].start = start;
}

void LogState::truncate_to(Offset end) {
  if (end >= end_) return;
  end_ = end;
  while (!epochs_.empty() && epochs_.back().start >= end) epochs_.pop_back();
  // What the snapshot or the configuration set stays: it is committed.
  auto drop_from = [end](auto& history) {
    while (history.size() > 1 && history.rbegin()->first >= end)
      history.erase(std::prev(history.end()));
  };
  drop_from(voters_);
  drop_from(kraft_versions_);
}

void LogState::start_over(const LogPosition& snapshot) {
  start_ = end_ = snapshot.offset;
  epochs_.clear();
  snapshots_ = {snapshot};
}

void LogState::check_invariants() const {
  for (size_t i = 1; i < epochs_.size(); ++i)
    ASSERT(epochs_[i - 1].epoch < epochs_[i].epoch && epochs_[i - 1].start < epochs_[i].start,
           "LS1: epoch {} at {} before epoch {} at {}", epochs_[i - 1].epoch, epochs_[i - 1].start,
           epochs_[i].epoch, epochs_[i].start);
  ASSERT(start_ <= end_, "LS2: {} > {}", start_, end_);
  ASSERT(start_ == Offset(0) || (!snapshots_.empty() && snapshots_.rbegin()->offset >= start_),
         "LS3: no snapshot at or behind the start {}", start_);
}

}  // namespace millrace::raft
