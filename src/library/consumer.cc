#include <millrace/consumer.h>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "library/consumer_impl.h"
#include "library/conversions.h"

namespace millrace::v0 {
namespace {

using client::core::StartAt;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

library::ConsumerConfigs configs_of(const Config& config) {
  auto configs = library::consumer_configs({config.begin(), config.end()});
  if (!configs) throw Error(ErrorCode::kInvalidConfig, configs.error().message);
  return std::move(*configs);
}

milliseconds sane(milliseconds timeout) {
  return std::clamp<milliseconds>(timeout, milliseconds(0), std::chrono::hours(24 * 365));
}

std::map<millrace::TopicPartition, Offset> inner(const Offsets& offsets) {
  std::map<millrace::TopicPartition, Offset> result;
  for (const auto& [partition, offset] : offsets)
    result[library::inner(partition)] = Offset(offset);
  return result;
}

library::Timestamps at(const std::vector<TopicPartition>& partitions, int64_t timestamp) {
  library::Timestamps result;
  for (const auto& each : partitions) result[library::inner(each)] = timestamp;
  return result;
}

Offsets offsets_in(const library::ListedOffsets& listed) {
  Offsets result;
  for (const auto& [partition, each] : listed)
    result[library::outer(partition)] = each.offset.value();
  return result;
}

}  // namespace

Consumer::Consumer(const Config& config) : impl_(std::make_unique<Impl>(configs_of(config))) {}
Consumer::~Consumer() = default;
Consumer::Consumer(Consumer&&) noexcept = default;
Consumer& Consumer::operator=(Consumer&&) noexcept = default;

void Consumer::subscribe(const std::vector<std::string>& topics, RebalanceListener listener) {
  const Impl::Use use(*impl_);
  impl_->subscribe(topics, std::move(listener));
}

void Consumer::assign(const std::vector<TopicPartition>& partitions) {
  const Impl::Use use(*impl_);
  const auto list = library::inner(partitions);
  impl_->assign({list.begin(), list.end()});
}

void Consumer::unsubscribe() {
  const Impl::Use use(*impl_);
  impl_->unsubscribe();
}

std::set<TopicPartition> Consumer::assignment() const {
  const Impl::Use use(*impl_);
  return library::outer(impl_->owned());
}

std::vector<std::string> Consumer::subscription() const {
  const Impl::Use use(*impl_);
  return impl_->topics();
}

std::vector<ConsumerRecord> Consumer::poll(milliseconds timeout) {
  const Impl::Use use(*impl_);
  return impl_->poll(steady_clock::now() + sane(timeout));
}

void Consumer::wakeup() { impl_->wake(); }

void Consumer::commit() {
  const Impl::Use use(*impl_);
  impl_->group();
  impl_->commit(impl_->positions(), impl_->caller().deadline());
}

void Consumer::commit(const Offsets& offsets) {
  const Impl::Use use(*impl_);
  impl_->commit(inner(offsets), impl_->caller().deadline());
}

void Consumer::commit_async(CommitCallback callback) {
  const Impl::Use use(*impl_);
  impl_->group();
  impl_->commit_async(impl_->positions(), std::move(callback));
}

void Consumer::commit_async(const Offsets& offsets, CommitCallback callback) {
  const Impl::Use use(*impl_);
  impl_->commit_async(inner(offsets), std::move(callback));
}

GroupMetadata Consumer::group_metadata() {
  const Impl::Use use(*impl_);
  return impl_->group_metadata();
}

std::map<TopicPartition, std::optional<std::int64_t>> Consumer::committed(
    const std::vector<TopicPartition>& partitions) {
  const Impl::Use use(*impl_);
  const auto found = impl_->caller().committed(impl_->group(), library::inner(partitions));
  std::map<TopicPartition, std::optional<std::int64_t>> result;
  for (const auto& each : partitions) {
    const auto offset = found.find(library::inner(each));
    result[each] =
        offset == found.end() ? std::nullopt : std::optional(offset->second.offset.value());
  }
  return result;
}

std::int64_t Consumer::position(const TopicPartition& partition) {
  const Impl::Use use(*impl_);
  return impl_->position(library::inner(partition));
}

void Consumer::seek(const TopicPartition& partition, std::int64_t offset) {
  const Impl::Use use(*impl_);
  if (offset < 0) throw std::logic_error("seek to an offset below 0");
  impl_->seek(library::inner(partition), StartAt::offset(Offset(offset)));
}

void Consumer::seek_to_beginning(const std::vector<TopicPartition>& partitions) {
  const Impl::Use use(*impl_);
  for (const auto& each : partitions) impl_->seek(library::inner(each), StartAt::earliest());
}

void Consumer::seek_to_end(const std::vector<TopicPartition>& partitions) {
  const Impl::Use use(*impl_);
  for (const auto& each : partitions) impl_->seek(library::inner(each), StartAt::latest());
}

void Consumer::pause(const std::vector<TopicPartition>& partitions) {
  const Impl::Use use(*impl_);
  impl_->pause(library::inner(partitions), true);
}

void Consumer::resume(const std::vector<TopicPartition>& partitions) {
  const Impl::Use use(*impl_);
  impl_->pause(library::inner(partitions), false);
}

std::set<TopicPartition> Consumer::paused() const {
  const Impl::Use use(*impl_);
  return library::outer(impl_->paused());
}

std::map<TopicPartition, std::optional<OffsetAndTimestamp>> Consumer::offsets_for_times(
    const std::map<TopicPartition, std::int64_t>& timestamps_ms) {
  const Impl::Use use(*impl_);
  library::Timestamps timestamps;
  for (const auto& [partition, timestamp] : timestamps_ms) {
    if (timestamp < 0)  // those stand for something else in the protocol
      throw std::logic_error(fmt::format("the timestamp {} is before 1970", timestamp));
    timestamps[library::inner(partition)] = timestamp;
  }
  std::map<TopicPartition, std::optional<OffsetAndTimestamp>> result;
  for (const auto& [partition, each] :
       impl_->caller().list_offsets(timestamps, impl_->isolation())) {
    auto& found = result[library::outer(partition)];
    if (each.offset.value() >= 0)
      found = OffsetAndTimestamp{each.offset.value(), each.timestamp.value()};
  }
  return result;
}

Offsets Consumer::beginning_offsets(const std::vector<TopicPartition>& partitions) {
  const Impl::Use use(*impl_);
  return offsets_in(
      impl_->caller().list_offsets(at(partitions, client::core::kAtStart), impl_->isolation()));
}

Offsets Consumer::end_offsets(const std::vector<TopicPartition>& partitions) {
  const Impl::Use use(*impl_);
  return offsets_in(
      impl_->caller().list_offsets(at(partitions, client::core::kAtEnd), impl_->isolation()));
}

std::vector<PartitionInfo> Consumer::partitions_of(const std::string& topic) {
  const Impl::Use use(*impl_);
  return impl_->caller().partitions_of(topic, /*create=*/false);
}

void Consumer::close(milliseconds timeout) {
  const Impl::Use use(*impl_, Impl::Use::Of::kAny);
  impl_->close(sane(timeout));
}

}  // namespace millrace::v0
