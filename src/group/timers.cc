#include "group/timers.h"

#include <algorithm>
#include <utility>

namespace millrace::group {
namespace {

bool later(const TimerQueue::Entry& a, const TimerQueue::Entry& b) {
  return a.at != b.at ? a.at > b.at : a.number > b.number;
}

}  // namespace

void TimerQueue::push(Timer& timer, const TimerOwner& owner) {
  timer.queued = timer.deadline;
  heap_.push_back({timer.deadline, pushed_++, owner});
  std::ranges::push_heap(heap_, later);
}

void TimerQueue::arm(Timer& timer, Instant deadline, const TimerOwner& owner) {
  timer.deadline = deadline;
  if (deadline < timer.queued) push(timer, owner);
}

std::optional<TimerQueue::Entry> TimerQueue::pop(Instant now) {
  if (heap_.empty() || heap_.front().at > now) return std::nullopt;
  std::ranges::pop_heap(heap_, later);
  Entry entry = std::move(heap_.back());
  heap_.pop_back();
  return entry;
}

bool TimerQueue::fires(Timer& timer, const Entry& entry, Instant now) {
  if (timer.queued != entry.at) return false;  // an earlier entry speaks for it, or it is new
  timer.queued = Instant::never();
  if (timer.is_armed() && timer.deadline > now) {
    push(timer, entry.owner);
    return false;
  }
  const bool due = timer.is_armed();
  timer.cancel();
  return due;
}

}  // namespace millrace::group
