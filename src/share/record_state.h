// What became of one record of a share partition, or of all records of a batch alike: free to be
// given to a member, with one, done with (KIP-932). A change that has to be kept is under way until
// it is: meanwhile the record is nobody's, and it goes back if it cannot be kept.
// Not here: which records (share/in_flight_batch.h), what is written (share/share_partition).
// Threads: values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/time.h"
#include "share/state.h"

namespace millrace::share {

using Member = std::shared_ptr<const std::string>;  // by its id; null: nobody

enum class ChangeId : uint64_t { kNone = 0 };

constexpr bool is_terminal(DeliveryState state) {
  return state == DeliveryState::kAcknowledged || state == DeliveryState::kArchived;
}

class RecordState {
 public:
  RecordState(DeliveryState state, int32_t delivery_count)
      : state_(state), delivery_count_(delivery_count) {}

  DeliveryState state() const { return state_; }
  int32_t delivery_count() const { return delivery_count_; }
  const Member& member() const { return member_; }
  // Until when a member has it, or had it before a change that is under way; never(): nobody.
  Instant locked_until() const { return locked_until_; }
  bool lock_is_over() const { return lock_is_over_; }
  ChangeId change() const { return change_; }
  bool is_changing() const { return change_ != ChangeId::kNone; }
  bool is_available() const { return state_ == DeliveryState::kAvailable && !is_changing(); }
  bool is_acquired() const { return state_ == DeliveryState::kAcquired; }
  bool is_done() const { return is_terminal(state_) && !is_changing(); }

  // Given to a member, once more. Of one that is available.
  void acquire(Member member, Instant until);
  // The member keeps it longer.
  void renew(Instant until) { locked_until_ = until; }
  // Nobody's now, or archived if it was given so often already. Of one that is acquired.
  void free(int32_t delivery_limit);
  // To `target`, as free() or for good, once that is kept. Of one that is acquired.
  void begin_change(ChangeId change, DeliveryState target, int32_t delivery_limit);
  // It is kept, or not: then it is the member's again, unless its time was over meanwhile.
  void end_change(bool is_kept, int32_t delivery_limit);
  // While a change is under way, the member's time was over.
  void end_lock() { lock_is_over_ = true; }
  // Whatever becomes of a change that is under way.
  void archive();

 private:
  void leave(DeliveryState target);

  DeliveryState state_;
  DeliveryState state_before_ = DeliveryState::kAvailable;  // the change
  bool is_final_ = false;                                   // archived, whatever the change says
  bool lock_is_over_ = false;
  int32_t delivery_count_;
  ChangeId change_ = ChangeId::kNone;
  Instant locked_until_ = Instant::never();
  Member member_;
  Member member_before_;
};

}  // namespace millrace::share
