// Deadlines of groups and members: a heap whose entries are moved lazily, so that a heartbeat costs
// one store. Internal to group/.
//
// A Timer belongs to a group or member; the queue holds entries that name their owner. Setting a
// deadline later than the queued one changes only the Timer: when the entry comes up, the owner is
// asked and the entry goes back with the real deadline. Entries of owners that are gone are dropped
// when they come up.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace millrace::group {

struct Timer {
  Instant deadline = Instant::never();
  Instant queued = Instant::never();  // the entry that speaks for this timer
  bool is_armed() const { return deadline != Instant::never(); }
  void cancel() { deadline = Instant::never(); }
};

enum class TimerKind : uint8_t {
  kSession,          // of a member, or of an id that was given out
  kJoin,             // the end of a group's join phase
  kSync,             // the end of the wait for every member's SyncGroup
  kMemberSession,    // of a consumer, share or streams group's member
  kMemberRebalance,  // how long it may take to give partitions up
  kMemberJoin,       // how long a classic one may take to join again
  kMemberSync,       // and to sync
  kRegex,            // a consumer group's regular expressions are resolved
  kFirstTarget,      // of a streams group that was empty
  kOffsetExpiry,     // of the whole partition
};

// Of groups of which State::soft_groups knows the timers.
constexpr bool is_of_soft_group(TimerKind kind) {
  return kind == TimerKind::kMemberSession || kind == TimerKind::kMemberRebalance ||
         kind == TimerKind::kMemberJoin || kind == TimerKind::kMemberSync ||
         kind == TimerKind::kRegex || kind == TimerKind::kFirstTarget;
}

struct TimerOwner {
  TimerKind kind = TimerKind::kSession;
  std::string group_id;
  std::string member_id;
};

class TimerQueue {
 public:
  struct Entry {
    Instant at;
    uint64_t number = 0;  // equal deadlines fire in the order they were queued
    TimerOwner owner;
  };

  void arm(Timer& timer, Instant deadline, const TimerOwner& owner);
  // The next entry that is due, if any.
  std::optional<Entry> pop(Instant now);
  // Whether the timer of a popped entry is really due; queues it again if its deadline was moved.
  bool fires(Timer& timer, const Entry& entry, Instant now);
  Instant next() const { return heap_.empty() ? Instant::never() : heap_.front().at; }

 private:
  void push(Timer& timer, const TimerOwner& owner);

  std::vector<Entry> heap_;
  uint64_t pushed_ = 0;
};

}  // namespace millrace::group
