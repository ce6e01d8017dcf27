#include "share/share_partition.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/assert.h"
#include "share/state_batches.h"

namespace millrace::share {

using wire::ErrorCode;

ErrorCode told_of_persister(ErrorCode error) {
  switch (error) {
    case ErrorCode::kNone:
    case ErrorCode::kGroupIdNotFound:
    case ErrorCode::kUnknownTopicOrPartition: return error;
    case ErrorCode::kNotCoordinator:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kCoordinatorLoadInProgress: return ErrorCode::kCoordinatorNotAvailable;
    case ErrorCode::kFencedLeaderEpoch:
    case ErrorCode::kFencedStateEpoch: return ErrorCode::kNotLeaderOrFollower;
    default: return ErrorCode::kUnknownServerError;
  }
}

namespace {

bool is_known(DeliveryState state) {
  using enum DeliveryState;
  return state == kAvailable || state == kAcquired || is_terminal(state);
}

}  // namespace

int64_t SharePartition::in_window(Offset first, Offset last) const {
  return std::max<int64_t>(0, last - std::max(first, start_) + 1);
}

void SharePartition::forget(const Unit& unit) {
  const RecordState& state = *unit.state;
  if (state.locked_until() != Instant::never() && !state.lock_is_over())
    locks_.erase({state.locked_until(), unit.first});
  if (is_terminal(state.state())) complete_count_ -= in_window(unit.first, unit.last);
}

void SharePartition::note(const Unit& unit) {
  const RecordState& state = *unit.state;
  if (state.locked_until() != Instant::never() && !state.lock_is_over())
    locks_.insert({state.locked_until(), unit.first});
  if (is_terminal(state.state())) complete_count_ += in_window(unit.first, unit.last);
}

void SharePartition::split(InFlightBatch& batch) {
  if (batch.is_split()) return;
  batch.for_each([&](const Unit& unit) { forget(unit); });
  batch.split();
  batch.for_each([&](const Unit& unit) { note(unit); });
}

bool SharePartition::begin(const Beginning& beginning) {
  const PersistedState& kept = beginning.kept;
  state_epoch_ = kept.state_epoch;
  const Offset start = kept.start_offset == kNoStartOffset ? beginning.initial : kept.start_offset;
  if (start < Offset(0)) return false;
  start_ = end_ = std::min(start, beginning.log_end);
  const int64_t most = std::min(kMostInFlight, beginning.log_end - start_);
  if (!load(kept.batches, start_ + most)) return false;
  if (batches_.empty()) return true;
  may_have_available_ = true;
  move_start();
  return true;
}

// Of what was kept, that below `end`.
bool SharePartition::load(const std::vector<StateBatch>& kept, Offset end) {
  Offset next = start_;
  std::optional<Offset> gap;
  for (const StateBatch& batch : kept) {
    if (batch.first < next || batch.last < batch.first || !is_known(batch.state)) return false;
    if (batch.first >= end) break;
    if (!gap && batch.first > next) gap = next;
    end_ = std::min(batch.last, end - 1);
    next = end_ + 1;
    // Who had a record was known to the leader before us alone.
    const auto state =
        batch.state == DeliveryState::kAcquired ? DeliveryState::kAvailable : batch.state;
    add_in_flight(batch.first, end_, RecordState(state, batch.delivery_count));
  }
  if (gap) gap_ = KeptGap{.start = *gap, .end = end_};
  return true;
}

void SharePartition::add_in_flight(Offset first, Offset last, RecordState state) {
  auto [at, is_new] = batches_.try_emplace(first, InFlightBatch(first, last, std::move(state)));
  ASSERT(is_new);
  at->second.for_each([&](const Unit& unit) { note(unit); });
}

// All was read up to `offset`: gaps before it that nobody was given have no records.
void SharePartition::pass_gap(Offset offset) {
  if (!gap_) return;
  Offset start = std::max(gap_->start, offset);
  for (auto at = floor(start); at != batches_.end() && at->first <= start; ++at)
    start = std::max(start, at->second.last() + 1);
  if (reads_gap() && start <= gap_->end)
    gap_->start = start;
  else
    gap_.reset();
}

SharePartition::Batches::iterator SharePartition::floor(Offset offset) {
  auto at = batches_.upper_bound(offset);
  return at == batches_.begin() ? batches_.end() : std::prev(at);
}

Offset SharePartition::next_fetch_offset() {
  // The start passed all that is in flight: the log begins behind it.
  const bool is_fresh = batches_.empty() || start_ > batches_.rbegin()->second.last();
  if (is_fresh) {
    may_have_available_ = false;
    return end_;
  }
  return may_have_available_ ? find_available() : end_ + 1;
}

Offset SharePartition::find_available() {
  Offset gap = reads_gap() ? std::max(gap_->start, start_) : Offset(-1);
  for (auto& [first, batch] : batches_) {
    if (reads_gap()) {
      if (first > gap) return gap;
      gap = std::max(batch.last() + 1, gap);
    }
    std::optional<Offset> found;
    batch.for_each([&](const Unit& unit) {
      if (!found && unit.state->is_available()) found = unit.first;
    });
    if (found) return *found;
  }
  may_have_available_ = false;
  return end_ + 1;
}

bool SharePartition::can_acquire() {
  return next_fetch_offset() != end_ + 1 || in_flight_records() < config_.max_record_locks;
}

bool SharePartition::may_move_start() {
  const auto at = floor(start_);
  // Nothing there: what was given before this leader, and is not known to be done with; or what has
  // been read since, and has no records.
  if (at == batches_.end()) return !reads_gap() || gap_->start > start_;
  return at->second.last() < start_ || at->second.unit_at(start_).state->is_done();
}

// Nothing: the first record in flight is not done with.
std::optional<SharePartition::Done> SharePartition::done_prefix() {
  std::optional<Done> done;
  for (auto& [first, batch] : batches_) {
    if (reads_gap() && batch.last() >= gap_->start) return done;
    bool is_over = false;
    batch.for_each([&](const Unit& unit) {
      is_over |= !unit.state->is_done();
      if (is_over) return;
      const int64_t before = done ? done->in_window : 0;
      done = Done{.last = unit.last, .in_window = before + in_window(unit.first, unit.last)};
    });
    if (is_over) return done;
  }
  return done;
}

// True: it has moved.
bool SharePartition::move_start() {
  if (!may_move_start()) return false;
  const auto done = done_prefix();
  if (!done) return false;
  remove_done(*done);
  return true;
}

void SharePartition::remove_done(const Done& done) {
  complete_count_ -= done.in_window;
  if (done.last == batches_.rbegin()->second.last()) {
    start_ = end_ = std::max(start_, done.last + 1);
    batches_.clear();
    gap_.reset();
    return;
  }
  const auto last = floor(done.last);
  if (done.last < last->second.last()) {
    start_ = std::max(start_, done.last + 1);
    batches_.erase(batches_.begin(), last);
    return;
  }
  Offset next = std::next(last)->first;
  if (reads_gap()) next = std::min(gap_->start, next);
  start_ = std::max(start_, next);
  batches_.erase(batches_.begin(), std::next(last));
}

void SharePartition::move_log_start(Offset log_start) {
  if (log_start <= start_) return;
  if (batches_.empty()) {
    start_ = end_ = log_start;
    return;
  }
  const Offset before = std::exchange(start_, log_start);
  const Offset last = log_start - 1;
  for (auto& [first, batch] : batches_)
    batch.for_each(before, last, [&](const Unit& unit) {
      if (is_terminal(unit.state->state()))
        complete_count_ -= std::min(unit.last, last) - std::max(unit.first, before) + 1;
    });
  if (archive(batches_.begin(), before, last, DeliveryState::kAvailable))
    may_have_available_ = true;
  end_ = std::max(end_, start_);
  move_start();
}

Instant SharePartition::next_deadline() const {
  return locks_.empty() ? Instant::never() : locks_.begin()->until;
}

bool SharePartition::on_tick(Instant now) {
  Change change;
  while (!locks_.empty() && locks_.begin()->until <= now) {
    const Offset first = locks_.begin()->first;
    InFlightBatch& batch = floor(first)->second;
    if (straddles_start(batch) && !batch.is_split() && batch.size() > 1)
      split(batch);
    else
      end_lock(batch.unit_at(first), change);
  }
  if (change.batches.empty()) return false;
  waiting_.push_back(std::move(change));
  return true;
}

void SharePartition::end_lock(const Unit& unit, Change& change) {
  if (unit.state->is_changing()) return alter(unit, [](RecordState& state) { state.end_lock(); });
  alter(unit, [&](RecordState& state) {
    unit.last < start_ ? state.archive() : state.free(config_.delivery_limit);
  });
  may_have_available_ |= unit.state->is_available();
  change.batches.push_back({.first = unit.first,
                            .last = unit.last,
                            .state = unit.state->state(),
                            .delivery_count = static_cast<int16_t>(unit.state->delivery_count())});
}

std::optional<PersistedState> SharePartition::take_write() {
  if (is_stopped_ || is_writing() || waiting_.empty()) return std::nullopt;
  std::vector<StateBatch> batches;
  for (Change& change : waiting_) {
    for (const StateBatch& batch : change.batches) overlay(batches, batch);
    writing_.push_back(std::move(change));
  }
  waiting_.clear();
  return PersistedState{.state_epoch = state_epoch_,
                        .leader_epoch = leader_epoch_,
                        .start_offset = start_,
                        .delivery_complete_count = static_cast<int32_t>(complete_count_),
                        .batches = combined(std::move(batches), start_)};
}

std::vector<EndedChange> SharePartition::on_written(ErrorCode error) {
  std::vector<EndedChange> ended;
  for (const Change& change : std::exchange(writing_, {})) {
    if (change.id == ChangeId::kNone) continue;
    end_change(change, error == ErrorCode::kNone);
    ended.push_back({.change = change.id, .error = told_of_persister(error)});
  }
  move_start();
  return ended;
}

std::vector<EndedChange> SharePartition::stop() {
  is_stopped_ = true;
  std::vector<EndedChange> ended;
  for (const Change& change : std::exchange(waiting_, {})) {
    if (change.id == ChangeId::kNone) continue;
    end_change(change, false);
    ended.push_back({.change = change.id, .error = ErrorCode::kNotLeaderOrFollower});
  }
  return ended;
}

void SharePartition::end_change(const Change& change, bool is_kept) {
  for (const StateBatch& kept : change.batches) {
    auto at = floor(kept.first);
    if (at == batches_.end()) at = batches_.begin();
    for (; at != batches_.end() && at->first <= kept.last; ++at)
      at->second.for_each(kept.first, kept.last, [&](const Unit& unit) {
        if (unit.state->change() != change.id) return;
        alter(unit, [&](RecordState& state) {
          state.end_change(is_kept, config_.delivery_limit);
          if (state.is_available() && unit.last < start_) state.archive();
        });
        may_have_available_ |= unit.state->is_available();
      });
  }
}

void SharePartition::check_invariants() const {
  std::set<ChangeId> changes;
  for (const Change& change : waiting_) changes.insert(change.id);
  for (const Change& change : writing_) changes.insert(change.id);
  Offset next{INT64_MIN};
  int64_t complete = 0;
  size_t locks = 0;
  for (const auto& [first, batch] : batches_) {
    ASSERT(first == batch.first() && first >= next, "SP1 {}", describe());
    next = batch.last() + 1;
    batch.look_at_each([&](const RecordState& state, Offset first_of_it, Offset last_of_it) {
      if (is_terminal(state.state())) complete += in_window(first_of_it, last_of_it);
      const bool has_lock = state.locked_until() != Instant::never();
      ASSERT(state.is_acquired() == (state.member() != nullptr), "SP2 {}", describe());
      ASSERT(has_lock == (state.is_acquired() || (state.is_changing() && has_lock)), "SP2 {}",
             describe());
      if (has_lock && !state.lock_is_over()) {
        ++locks;
        ASSERT(locks_.contains({state.locked_until(), first_of_it}), "SP2 {}", describe());
      }
      ASSERT(state.state() != DeliveryState::kAvailable || first_of_it >= start_, "SP3 {} at {}",
             describe(), first_of_it);
      ASSERT(!state.is_changing() || changes.contains(state.change()), "SP5 {}", describe());
    });
  }
  ASSERT(batches_.empty() ? start_ == end_ : next <= end_ + 1, "SP1 {}", describe());
  ASSERT(locks == locks_.size(), "SP2 {} of {}: {}", locks, locks_.size(), describe());
  ASSERT(complete == complete_count_, "SP4 {}: {}", complete, describe());
}

std::string SharePartition::describe() const {
  return fmt::format("share partition {} {}-{}: window {}-{}, {} batches, {} locks, {} complete",
                     key_.group, key_.topic.to_string(), key_.partition, start_, end_,
                     batches_.size(), locks_.size(), complete_count_);
}

}  // namespace millrace::share
