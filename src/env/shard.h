// A shard: one thread, one event loop, one turn after the other. A connection, its requests and its
// timers live on one shard and every request runs there to completion (decisions, D4).
//
// Threads: post() and woken() may be called from any thread; everything else only on the shard
// itself.
// Order: functions posted from one thread run in the order posted. A turn = ready I/O, posted
// functions, due timers, then the end-of-turn functions (coalesced appends, sends, wakes), which
// may add more end-of-turn functions.
// Death: when a node is killed in the simulator its pending functions are dropped, not run: a
// destructor must not do I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/time.h"
#include "env/clock.h"

namespace millrace::env {

using Work = std::move_only_function<void()>;

enum class TimerId : uint64_t { kNone = 0 };

class Shard {
 public:
  virtual ~Shard() = default;
  virtual size_t index() const = 0;
  virtual const Clock& clock() const = 0;
  virtual Random& random() = 0;

  virtual void post(Work work) = 0;            // runs in a later turn, never inside this call
  virtual void at_end_of_turn(Work work) = 0;  // runs once, at the end of the current turn
  virtual TimerId after(Duration delay, Work work) = 0;
  virtual void cancel(TimerId timer) = 0;  // of a timer that ran or was cancelled: nothing
};

}  // namespace millrace::env
