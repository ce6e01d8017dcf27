#include "share/record_state.h"

#include <utility>

#include "base/assert.h"

namespace millrace::share {

void RecordState::acquire(Member member, Instant until) {
  ASSERT(is_available());
  state_ = DeliveryState::kAcquired;
  ++delivery_count_;
  member_ = std::move(member);
  locked_until_ = until;
}

void RecordState::leave(DeliveryState target) {
  state_ = target;
  member_.reset();
  locked_until_ = Instant::never();
  lock_is_over_ = false;
}

void RecordState::free(int32_t delivery_limit) {
  ASSERT(is_acquired() && !is_changing());
  leave(delivery_count_ >= delivery_limit ? DeliveryState::kArchived : DeliveryState::kAvailable);
}

void RecordState::begin_change(ChangeId change, DeliveryState target, int32_t delivery_limit) {
  ASSERT(is_acquired() && !is_changing());
  const bool is_worn_out = target == DeliveryState::kAvailable && delivery_count_ >= delivery_limit;
  state_before_ = state_;
  member_before_ = std::exchange(member_, nullptr);
  state_ = is_worn_out ? DeliveryState::kArchived : target;
  change_ = change;
}

void RecordState::end_change(bool is_kept, int32_t delivery_limit) {
  ASSERT(is_changing());
  change_ = ChangeId::kNone;
  Member before = std::exchange(member_before_, nullptr);
  if (is_kept || is_final_) return leave(state_);
  state_ = state_before_;
  if (lock_is_over_) return free(delivery_limit);
  member_ = std::move(before);
}

void RecordState::archive() {
  is_final_ = true;
  leave(DeliveryState::kArchived);
}

}  // namespace millrace::share
