#include "node/partition.h"

#include <algorithm>

#include "base/assert.h"

namespace millrace::node {

bool FetchWaiter::bytes_arrived(int64_t bytes) {
  std::lock_guard lock(mutex_);
  if (!wake_) return true;
  bytes_wanted_ -= bytes;
  if (bytes_wanted_ <= 0) shard_->post(std::exchange(wake_, nullptr));
  return !wake_;
}

void FetchWaiter::cancel() {
  std::lock_guard lock(mutex_);
  wake_ = nullptr;
}

bool FetchWaiter::is_done() const {
  std::lock_guard lock(mutex_);
  return !wake_;
}

Offset PartitionState::last_stable_offset() const {
  auto unstable = log_->producers().first_unstable_offset();
  return unstable ? std::min(*unstable, high_watermark_) : high_watermark_;
}

wire::ErrorCode PartitionState::check_epoch(int32_t named) const {
  const int32_t ours = leadership_.epoch.value();
  if (named == kNoLeaderEpoch.value() || named == ours) return wire::ErrorCode::kNone;
  return named < ours ? wire::ErrorCode::kFencedLeaderEpoch : wire::ErrorCode::kUnknownLeaderEpoch;
}

storage::EpochStart PartitionState::end_of_epoch(LeaderEpoch epoch) const {
  const LeaderEpoch latest = log_->latest_epoch();
  const bool is_in_log = latest != kNoLeaderEpoch && epoch <= latest;
  if (epoch > leadership_.epoch || is_in_log) return log_->end_of_epoch(epoch);
  // Nothing was written since this leadership began.
  const bool ours = epoch == leadership_.epoch || latest == kNoLeaderEpoch;
  return {ours ? epoch : latest, log_->log_end()};
}

void PartitionState::wait_for(Offset end, env::Shard& shard, AckDone done) {
  if (offline_)
    return shard.post(
        [done = std::move(done)]() mutable { done(wire::ErrorCode::kKafkaStorageError); });
  if (end <= high_watermark_)
    return shard.post([done = std::move(done)]() mutable { done(wire::ErrorCode::kNone); });
  ack_waiters_.push_back({end, &shard, std::move(done)});
}

void PartitionState::add_fetch_waiter(std::shared_ptr<FetchWaiter> waiter) {
  // Those that were answered meanwhile go, so that an idle partition keeps no more than its
  // readers.
  std::erase_if(fetch_waiters_, [](const auto& other) { return other->is_done(); });
  fetch_waiters_.push_back(std::move(waiter));
}

uint64_t PartitionState::advance_high_watermark(Offset offset, uint64_t appended_bytes) {
  ASSERT(offset <= log_->log_end(), "P1: high watermark {} beyond the log end {}", offset,
         log_->log_end());
  if (offset <= high_watermark_) return 0;
  high_watermark_ = offset;
  auto reached = std::ranges::find_if(ack_waiters_, [&](const auto& w) { return w.end > offset; });
  for (auto waiter = ack_waiters_.begin(); waiter != reached; ++waiter)
    waiter->shard->post(
        [done = std::move(waiter->done)]() mutable { done(wire::ErrorCode::kNone); });
  ack_waiters_.erase(ack_waiters_.begin(), reached);
  const uint64_t arrived = appended_bytes - std::exchange(visible_bytes_, appended_bytes);
  std::erase_if(fetch_waiters_, [&](const auto& waiter) {
    // None when it was recovered and is synced only now: then the reader has to look.
    return waiter->bytes_arrived(arrived ? static_cast<int64_t>(arrived) : INT64_MAX);
  });
  return arrived;
}

void PartitionState::go_offline(wire::ErrorCode code) {
  offline_ = true;
  for (auto& waiter : std::exchange(ack_waiters_, {}))
    waiter.shard->post([done = std::move(waiter.done), code]() mutable { done(code); });
  for (auto& waiter : std::exchange(fetch_waiters_, {})) waiter->bytes_arrived(INT64_MAX);
}

}  // namespace millrace::node
