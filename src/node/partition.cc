#include "node/partition.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "storage/log_directory.h"

namespace millrace::node {
bool FetchWaiter::bytes_arrived(int64_t bytes) {
  note_moved();
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

Result<> PartitionState::noted(Result<> outcome) {
  if (!outcome && disk_failure_ && storage::is_of_the_disk(outcome.error()))
    disk_failure_(outcome.error());
  return outcome;
}

Result<storage::ReadSlice> PartitionState::read(const storage::ReadRequest& request) {
  auto slice = log_->read(request);
  if (!slice) return std::unexpected(noted(std::unexpected(slice.error())).error());
  return slice;
}

std::unique_ptr<storage::Log> PartitionState::adopt_future() {
  std::swap(log_, future_->log);
  auto old = std::move(future_->log);
  future_.reset();
  durable_bytes_ = visible_bytes_ = log_->appended_bytes();
  return old;
}

Offset PartitionState::last_stable_offset() const {
  auto unstable = log_->producers().first_unstable_offset(high_watermark_);
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

void PartitionState::set_settings(std::shared_ptr<const TopicSettings> settings) {
  log_->set_options(log_options_of(settings));
  if (future_) future_->log->set_options(log_options_of(settings));
  settings_ = std::move(settings);
  if (!leader_) return;
  leader_->set_min_insync_replicas(settings_->min_insync_replicas);
  take_leaders_high_watermark();
}

void PartitionState::start_at(Offset high_watermark, Offset durable_end) {
  durable_end_ = std::min(durable_end, log_->log_end());
  high_watermark_ = std::clamp(high_watermark, log_->log_start(), log_->log_end());
}

void PartitionState::lead(const replica::LeaderOptions& options,
                          const metadata::PartitionState& state, Instant now) {
  leadership_ = {state.leader, state.leader_epoch};
  end_durable_wait(wire::ErrorCode::kNotLeaderOrFollower);
  if (leader_ && leader_->epoch() == state.leader_epoch) {
    leader_->on_metadata(state, now);
  } else {
    leader_ =
        std::make_unique<replica::Leader>(options, state,
                                          replica::LeaderLog{.high_watermark = high_watermark_,
                                                             .durable_end = durable_end_,
                                                             .log_end = log_->log_end()},
                                          now);
  }
  take_leaders_high_watermark();
}

void PartitionState::follow(const Leadership& leadership) {
  leadership_ = leadership;
  leader_.reset();
  guards_.clear();
  end_waits(wire::ErrorCode::kNotLeaderOrFollower);
}

Result<Offset> PartitionState::append(std::span<const MutableByteView> batches, TimestampMs now) {
  const uint64_t before = log_->appended_bytes();
  auto appended = log_->append(batches, leadership_.epoch, now);
  note_append(appended);
  if (!appended) return std::unexpected(noted(std::unexpected(appended.error())).error());
  const Offset base = *appended;
  const auto grown = static_cast<int64_t>(log_->appended_bytes() - before);
  ++traffic_.produces;
  traffic_.bytes_in += static_cast<uint64_t>(grown);
  traffic_.messages_in += static_cast<uint64_t>(log_->log_end() - base);
  if (follower_waiters_.empty()) return base;
  std::erase_if(follower_waiters_,
                [&](const auto& waiter) { return waiter->bytes_arrived(grown); });
  return base;
}

// A producer tries again and again: what it meets is said once.
void PartitionState::note_append(const Result<Offset>& appended) {
  if (appended.has_value() != refuses_appends_) return;
  refuses_appends_ = !appended;
  if (appended)
    LOG_INFO("{} takes records again", log_->path());
  else
    LOG_ERROR("append to {}: {}; said once until one succeeds", log_->path(),
              appended.error().message);
}

Result<> PartitionState::append_fetched(std::span<const record::BatchView> batches,
                                        TimestampMs now) {
  const uint64_t before = log_->appended_bytes();
  RETURN_IF_ERROR(noted(log_->append_as_is(batches, now)));
  traffic_.replication_bytes_in += log_->appended_bytes() - before;
  return {};
}

void PartitionState::gives(size_t bytes, NodeId follower) {
  ++traffic_.fetches;
  (follower == kNoNode ? traffic_.bytes_out : traffic_.replication_bytes_out) += bytes;
  if (leader_ && bytes > 0) leader_->gave(follower);
}

void PartitionState::learn_high_watermark(Offset of_leader) {
  advance_high_watermark(std::min(of_leader, log_->log_end()), std::nullopt);
}

Result<> PartitionState::cut(Offset target) {
  if (target < log_->log_start()) return start_over_at(target);
  RETURN_IF_ERROR(noted(log_->truncate_to(target)));
  if (future_) RETURN_IF_ERROR(future_->log->truncate_to(target));
  high_watermark_ = std::min(high_watermark_, log_->log_end());
  durable_end_ = std::min(durable_end_, log_->log_end());
  return {};
}

Result<> PartitionState::start_over_at(Offset offset) {
  RETURN_IF_ERROR(noted(log_->start_over_at(offset)));
  if (future_) RETURN_IF_ERROR(future_->log->start_over_at(offset));
  high_watermark_ = durable_end_ = offset;
  return {};
}

void PartitionState::wait_for(Offset end, env::Shard& shard, AckDone done) {
  AckWaiter waiter{end, &shard, std::move(done)};
  if (offline_) return waiter.tell(wire::ErrorCode::kKafkaStorageError);
  if (!leader_) return waiter.tell(wire::ErrorCode::kNotLeaderOrFollower);
  if (end <= high_watermark_) return waiter.tell(wire::ErrorCode::kNone);
  ack_waiters_.push_back(std::move(waiter));
}

void PartitionState::wait_until_durable(Offset end, env::Shard& shard, AckDone done) {
  end_durable_wait(wire::ErrorCode::kNotLeaderOrFollower);
  durable_waiter_ = std::make_unique<AckWaiter>(end, &shard, std::move(done));
  if (offline_) return end_durable_wait(wire::ErrorCode::kKafkaStorageError);
  if (leader_) return end_durable_wait(wire::ErrorCode::kNotLeaderOrFollower);
  if (end <= durable_end_) end_durable_wait(wire::ErrorCode::kNone);
}

void PartitionState::end_durable_wait(wire::ErrorCode code) {
  if (durable_waiter_) std::exchange(durable_waiter_, nullptr)->tell(code);
}

// Those that were answered meanwhile go, so that an idle partition keeps no more than its readers.
void PartitionState::add(FetchWaiters& waiters, std::shared_ptr<FetchWaiter> waiter) {
  std::erase_if(waiters, [](const auto& other) { return other->is_done(); });
  waiters.push_back(std::move(waiter));
}

void PartitionState::add_fetch_waiter(std::shared_ptr<FetchWaiter> waiter) {
  add(fetch_waiters_, std::move(waiter));
}

void PartitionState::add_follower_waiter(std::shared_ptr<FetchWaiter> waiter) {
  add(follower_waiters_, std::move(waiter));
}

uint64_t PartitionState::became_durable(Offset end, uint64_t appended_bytes) {
  durable_end_ = std::max(durable_end_, end);
  if (leader_) {
    leader_->on_durable(durable_end_);
    // What a reader waits for is counted where it can be: when all of it became visible at once.
    const bool all = leader_->high_watermark() == end;
    take_leaders_high_watermark(all ? std::optional(appended_bytes) : std::nullopt);
  } else if (durable_waiter_ && durable_waiter_->end <= durable_end_) {
    end_durable_wait(wire::ErrorCode::kNone);
  }
  const uint64_t before = std::exchange(durable_bytes_, std::max(durable_bytes_, appended_bytes));
  return durable_bytes_ - before;
}

wire::ErrorCode PartitionState::on_follower_fetch(const replica::FollowerFetch& fetch,
                                                  const metadata::Image& image, Instant now) {
  if (!leader_) return wire::ErrorCode::kNotLeaderOrFollower;
  const wire::ErrorCode code = leader_->on_fetch(fetch, log_->log_end(), image, now);
  take_leaders_high_watermark();
  return code;
}

void PartitionState::on_tick(const metadata::Image& image, Instant now) {
  if (!leader_) return;
  leader_->on_tick(log_->log_end(), image, now);
  take_leaders_high_watermark();
}

std::optional<replica::IsrChange> PartitionState::take_isr_change() {
  return leader_ ? leader_->take_change() : std::nullopt;
}

void PartitionState::on_isr_answer(const replica::IsrChange& asked,
                                   const replica::IsrAnswer& answer) {
  if (!leader_ || leader_->epoch() != asked.leader_epoch) return;
  leader_->on_answer(asked.partition_epoch, answer);
  take_leaders_high_watermark();
}

// `appended_bytes`: that of the log at the high watermark, where it is known.
// While too few replicas are in sync it stands still, and who waits is answered when they are, or
// is late: as in Apache Kafka 4 (KIP-966), whose NOT_ENOUGH_REPLICAS_AFTER_APPEND is of before.
void PartitionState::take_leaders_high_watermark(std::optional<uint64_t> appended_bytes) {
  advance_high_watermark(leader_->high_watermark(), appended_bytes);
}

void PartitionState::advance_high_watermark(Offset offset, std::optional<uint64_t> appended_bytes) {
  ASSERT(offset <= log_->log_end(), "P1: high watermark {} beyond the log end {}", offset,
         log_->log_end());
  if (offset <= high_watermark_) return;
  high_watermark_ = offset;
  for (const auto& waiter : follower_waiters_) waiter->note_moved();
  log_->replicated(offset);
  auto reached = std::ranges::find_if(ack_waiters_, [&](const auto& w) { return w.end > offset; });
  for (auto waiter = ack_waiters_.begin(); waiter != reached; ++waiter)
    waiter->tell(wire::ErrorCode::kNone);
  ack_waiters_.erase(ack_waiters_.begin(), reached);
  const uint64_t known = appended_bytes.value_or(visible_bytes_);
  const uint64_t arrived = known - std::exchange(visible_bytes_, known);
  std::erase_if(fetch_waiters_, [&](const auto& waiter) {
    // None that could be counted: then the reader has to look.
    return waiter->bytes_arrived(arrived ? static_cast<int64_t>(arrived) : INT64_MAX);
  });
}

void PartitionState::end_waits(wire::ErrorCode code) {
  for (auto& waiter : std::exchange(ack_waiters_, {})) waiter.tell(code);
  for (auto& waiter : std::exchange(fetch_waiters_, {})) waiter->bytes_arrived(INT64_MAX);
  for (auto& waiter : std::exchange(follower_waiters_, {})) waiter->bytes_arrived(INT64_MAX);
  end_durable_wait(code);
}

void PartitionState::go_offline(wire::ErrorCode code) {
  offline_ = true;
  end_waits(code);
}

}  // namespace millrace::node
