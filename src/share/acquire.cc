// How records are given to members.
#include <algorithm>

#include "share/aborted_batches.h"
#include "share/share_partition.h"

namespace millrace::share {
namespace {

// Neighbours that were given equally often are one range.
void add_record(std::vector<AcquiredRange>& ranges, Offset offset, int16_t delivery_count) {
  if (!ranges.empty() && ranges.back().last + 1 == offset &&
      ranges.back().delivery_count == delivery_count) {
    ranges.back().last = offset;
    return;
  }
  ranges.push_back({.first = offset, .last = offset, .delivery_count = delivery_count});
}

}  // namespace

Acquired SharePartition::acquire(const AcquireRequest& request, Instant now) {
  if (request.max_records <= 0 || request.batches.empty() || request.batches.back().last < start_)
    return {};
  Acquiring acquiring{.request = request, .limit = limit_of(request), .now = now, .result = {}};
  if (acquiring.limit.records <= 0) return {};
  archive_missing(request);
  const Offset first_read = request.batches.front().base;
  Offset base = first_read;
  // What was given together before is looked at from its beginning.
  const auto known = floor(base);
  if (known != batches_.end() && known->second.last() >= base)
    base = known->first;
  else
    base = std::max(base, start_);
  const auto from = batches_.lower_bound(std::min(first_read, base));
  if (from == batches_.end() || from->first > acquiring.limit.last)
    acquire_new(acquiring, base, acquiring.limit.last);
  else
    acquire_known(acquiring, from, base);
  archive_aborted(request, acquiring.result);
  move_start();
  return std::move(acquiring.result);
}

SharePartition::Limit SharePartition::limit_of(const AcquireRequest& request) const {
  const Offset last = request.batches.back().last;
  const int64_t room = config_.max_record_locks - in_flight_records();
  const int64_t records = std::min(request.max_records, room);
  if (records > 0 || request.fetch_offset > end_) return {.last = last, .records = records};
  // There is no room, but in the window there is something that was given back.
  return {.last = std::min(last, end_),
          .records = std::min(request.max_records, end_ - request.fetch_offset + 1)};
}

// What is available and was not found in the log any more has been compacted away.
void SharePartition::archive_missing(const AcquireRequest& request) {
  const Offset base = request.batches.front().base;
  if (batches_.empty() || request.fetch_offset >= base) return;
  pass_gap(base);
  auto from = floor(request.fetch_offset);
  if (from == batches_.end() || from->second.last() < request.fetch_offset)
    from = batches_.lower_bound(request.fetch_offset);
  if (archive(from, request.fetch_offset, base - 1, DeliveryState::kAvailable))
    may_have_available_ = true;
}

// Records of [first, last] that are `wanted`. True: there were any.
bool SharePartition::archive(Batches::iterator from, Offset first, Offset last,
                             DeliveryState wanted) {
  bool any = false;
  for (; from != batches_.end() && from->first <= last; ++from) {
    InFlightBatch& batch = from->second;
    if (!batch.is_within(first, last) && !batch.is_split()) {
      if (batch.last() < first || batch.state().state() != wanted) continue;
      split(batch);
    }
    batch.for_each(first, last, [&](const Unit& unit) {
      if (unit.state->state() != wanted) return;
      alter(unit, [](RecordState& state) { state.archive(); });
      any = true;
    });
  }
  return any;
}

void SharePartition::archive_aborted(const AcquireRequest& request, Acquired& acquired) {
  if (request.aborted.empty() || acquired.ranges.empty()) return;
  const auto aborted = aborted_batches(request.batches, request.aborted);
  if (aborted.empty()) return;
  for (const FetchedBatch& batch : aborted) {
    auto from = floor(batch.base);
    if (from == batches_.end()) from = batches_.begin();
    archive(from, batch.base, batch.last, DeliveryState::kAcquired);
  }
  acquired.ranges = without(acquired.ranges, aborted);
  acquired.count = 0;
  for (const AcquiredRange& range : acquired.ranges) acquired.count += range.last - range.first + 1;
}

// What was read overlaps batches that are known: available ones are given again, and what lies
// behind them is new. Gaps between them have no records, unless this leader never read them.
void SharePartition::acquire_known(Acquiring& acquiring, Batches::iterator from, Offset base) {
  const Offset last = acquiring.limit.last;
  const Offset last_known = std::prev(batches_.upper_bound(last))->second.last();
  Offset gap = base;
  for (auto at = from; at != batches_.end() && at->first <= last; ++at) {
    if (acquiring.left() <= 0) break;
    if (reads_gap()) {
      if (gap < at->first) acquire_new(acquiring, gap, at->first - 1);
      gap = at->second.last() + 1;
      if (acquiring.left() <= 0) break;
    }
    if (acquire_batch(acquiring, at->second) == Next::kEnough) {
      acquiring.limit.records = acquiring.result.count;
      break;
    }
  }
  if (acquiring.left() > 0 && last_known < last) acquire_new(acquiring, last_known + 1, last);
  if (!acquiring.result.ranges.empty())
    pass_gap(acquiring.result.ranges.back().last + 1);
  else if (acquiring.left() > 0)
    pass_gap(last + 1);
}

SharePartition::Next SharePartition::acquire_batch(Acquiring& acquiring, InFlightBatch& batch) {
  const AcquireRequest& request = acquiring.request;
  const bool is_whole = batch.is_within(request.batches.front().base, acquiring.limit.last);
  const bool is_too_large =
      request.mode == AcquireMode::kRecordLimit && batch.size() > acquiring.left();
  const bool throttled = is_throttled(batch, acquiring);
  // What fails again and again comes alone.
  if (throttled && acquiring.result.count > 0) return Next::kEnough;
  if (!batch.is_split() && !batch.state().is_available()) return Next::kGoOn;
  if (!is_whole || batch.is_split() || is_too_large || throttled) {
    split(batch);
    const int64_t count = acquire_records(acquiring, batch);
    return throttled && count > 0 ? Next::kEnough : Next::kGoOn;
  }
  const Unit unit = batch.unit_at(batch.first());
  alter(unit, [&](RecordState& state) {
    state.acquire(request.member, acquiring.now + config_.record_lock);
  });
  acquiring.result.ranges.push_back(
      {.first = unit.first,
       .last = unit.last,
       .delivery_count = static_cast<int16_t>(unit.state->delivery_count())});
  acquiring.result.count += batch.size();
  return Next::kGoOn;
}

bool SharePartition::is_throttled(InFlightBatch& batch, const Acquiring& acquiring) {
  int32_t most = 0;
  batch.for_each(acquiring.request.batches.front().base, acquiring.limit.last,
                 [&](const Unit& unit) {
                   if (unit.state->is_available())
                     most = std::max(most, unit.state->delivery_count());
                 });
  return most >= throttle_limit();
}

// Of a batch whose records differ. The oftener they were given, the fewer go together, so that one
// that nobody can handle does not take others with it; on its last way a record is alone.
int64_t SharePartition::acquire_records(Acquiring& acquiring, InFlightBatch& batch) {
  const AcquireRequest& request = acquiring.request;
  const int32_t limit = config_.delivery_limit;
  std::optional<int64_t> most;
  if (request.mode == AcquireMode::kRecordLimit) most = acquiring.left();
  bool is_throttling = false;
  bool is_over = false;
  int64_t count = 0;
  std::vector<AcquiredRange> ranges;
  batch.for_each(request.batches.front().base, acquiring.limit.last, [&](const Unit& unit) {
    if (is_over || !unit.state->is_available()) return;
    const int32_t given = unit.state->delivery_count();
    const bool is_last_way = limit > 2 && given >= limit - 1;
    if (is_last_way && count > 0) {
      is_over = true;
      return;
    }
    if (given >= throttle_limit() && !std::exchange(is_throttling, true)) {
      const int shift = std::min(62, given - throttle_limit() + 1);
      const int64_t together = std::max<int64_t>(1, batch.size() >> shift);
      most = std::min(most.value_or(together), std::max(together, count + 1));
    }
    alter(unit, [&](RecordState& state) {
      state.acquire(request.member, acquiring.now + config_.record_lock);
    });
    add_record(ranges, unit.first, static_cast<int16_t>(unit.state->delivery_count()));
    ++count;
    is_over = is_last_way || (most && count >= *most);
  });
  acquiring.result.ranges.insert(acquiring.result.ranges.end(), ranges.begin(), ranges.end());
  acquiring.result.count += count;
  return count;
}

// Where new records end: whole batches are given, so that the last one may go beyond what was asked
// for; never into what is known.
Offset SharePartition::last_of_new(const Acquiring& acquiring, Offset first, Offset last) const {
  Offset end = last;
  if (acquiring.left() < last - first + 1) {
    end = first + acquiring.left() - 1;
    for (const FetchedBatch& batch : acquiring.request.batches)
      if (batch.base <= end && end <= batch.last) {
        end = batch.last;
        break;
      }
    if (reads_gap()) end = std::min(end, last);
  }
  const auto known = batches_.upper_bound(first);
  return known == batches_.end() ? end : std::min(end, known->first - 1);
}

void SharePartition::acquire_new(Acquiring& acquiring, Offset first, Offset last) {
  first = std::max(first, start_);
  if (first > last) return;
  const Offset end = last_of_new(acquiring, first, last);
  const auto ranges = add_new(acquiring, first, end);
  // There was nothing in flight: what lies between has no records.
  if (batches_.begin()->first == first) start_ = std::max(start_, first);
  end_ = std::max(end_, end);
  pass_gap(ranges.back().last + 1);
  acquiring.result.count += ranges.back().last - first + 1;
  acquiring.result.ranges.insert(acquiring.result.ranges.end(), ranges.begin(), ranges.end());
}

std::vector<AcquiredRange> SharePartition::add_new(const Acquiring& acquiring, Offset first,
                                                   Offset last) {
  const AcquireRequest& request = acquiring.request;
  const Instant until = acquiring.now + config_.record_lock;
  std::vector<AcquiredRange> ranges;
  const auto add = [&](Offset from, Offset to) {
    RecordState state(DeliveryState::kAvailable, 0);
    state.acquire(request.member, until);
    add_in_flight(from, to, std::move(state));
    ranges.push_back({.first = from, .last = to, .delivery_count = 1});
  };
  if (request.mode == AcquireMode::kRecordLimit) {
    if (last - first + 1 <= acquiring.left()) {
      add(first, last);
      return ranges;
    }
    // The rest of the batch is in the window, available to anybody.
    add_in_flight(first, last, RecordState(DeliveryState::kAvailable, 0));
    const Offset last_given = first + acquiring.left() - 1;
    InFlightBatch& batch = batches_.at(first);
    split(batch);
    batch.for_each(first, last_given, [&](const Unit& unit) {
      alter(unit, [&](RecordState& state) { state.acquire(request.member, until); });
    });
    may_have_available_ = true;
    ranges.push_back({.first = first, .last = last_given, .delivery_count = 1});
    return ranges;
  }
  const int64_t most = std::max(1, request.batch_size);
  Offset from = first;
  for (const FetchedBatch& batch : request.batches) {
    if (last - first + 1 <= most || batch.base > last) break;
    if (batch.base - from < most) continue;
    add(from, batch.base - 1);
    from = batch.base;
  }
  add(from, last);
  return ranges;
}

}  // namespace millrace::share
