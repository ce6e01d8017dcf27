#include <millrace/share_consumer.h>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "library/conversions.h"
#include "library/share_consumer_impl.h"

namespace millrace::v0 {
namespace {

using client::core::ShareFetcher;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kMostOutcomes = 10'000;  // that nobody asks for

library::ShareConsumerConfigs configs_of(const Config& config) {
  auto configs = library::share_consumer_configs({config.begin(), config.end()});
  if (!configs) throw Error(ErrorCode::kInvalidConfig, configs.error().message);
  return std::move(*configs);
}

steady_clock::time_point from_now(milliseconds timeout) {
  return steady_clock::now() +
         std::clamp<milliseconds>(timeout, milliseconds(0), std::chrono::hours(24 * 365));
}

}  // namespace

ShareConsumer::Impl::Impl(library::ShareConsumerConfigs configs)
    : configs_(std::move(configs)), caller_(configs_.client) {}

ShareConsumer::Impl::~Impl() { close(from_now(std::chrono::seconds(30))); }

bool ShareConsumer::Impl::take_next(Deadline until) {
  auto next = queue_.next(until);
  if (!next) return false;
  std::visit([&](auto& what) { on(what); }, *next);
  return true;
}

void ShareConsumer::Impl::on(Records& records) {
  for (auto& each : records) waiting_.push_back(std::move(each));
}

void ShareConsumer::Impl::on(Outcome& outcome) {
  AcknowledgeOutcome told{library::outer(outcome.partition), {}, {}};
  for (const Offset offset : outcome.offsets) {
    pending_.erase({outcome.partition, offset});
    told.offsets.push_back(offset.value());
  }
  if (outcome.error != wire::ErrorCode::kNone)
    told.error = library::error_of(
        outcome.error, fmt::format("acknowledge records of {}", outcome.partition.to_string()));
  outcomes_.push_back(std::move(told));
  if (outcomes_.size() > kMostOutcomes) outcomes_.pop_front();
}

void ShareConsumer::Impl::subscribe(const std::vector<std::string>& topics) {
  if (consumer_) throw std::logic_error("the share consumer has subscribed already");
  auto options = configs_.options;
  options.member.topics = topics;
  caller_.loop().run([&] {
    consumer_ = std::make_unique<client::ShareConsumer>(caller_.loop().client(), options, *this);
  });
}

std::vector<ConsumerRecord> ShareConsumer::Impl::poll(Deadline until) {
  if (!consumer_) throw std::logic_error("poll() before subscribe()");
  if (configs_.is_implicit)
    accept_given();
  else if (!given_.empty())
    throw std::logic_error(
        fmt::format("{} records of the last poll() were not acknowledged", given_.size()));
  while (take_next(Deadline{})) {
  }
  say(/*more=*/waiting_.empty());
  while (waiting_.empty() && !failed_ && !woken_ && take_next(until)) {
  }
  if (waiting_.empty() && failed_) throw *failed_;
  woken_ = false;
  return give();
}

std::vector<ConsumerRecord> ShareConsumer::Impl::give() {
  std::vector<ConsumerRecord> records;
  for (const auto& each : waiting_) {
    const Place place{each.partition, each.offset};
    renewed_.erase(place);
    given_.insert(place);
    records.push_back(library::outer(each));
  }
  waiting_.clear();
  return records;
}

void ShareConsumer::Impl::acknowledge(const ConsumerRecord& record, AcknowledgeType type) {
  if (configs_.is_implicit)
    throw std::logic_error("acknowledge() needs share.acknowledgement.mode=explicit");
  const Place place{library::inner(record.partition), Offset(record.offset)};
  if (given_.erase(place) + renewed_.erase(place) == 0)
    throw std::logic_error(fmt::format("offset {} of {} is not this consumer's", record.offset,
                                       place.first.to_string()));
  if (type == AcknowledgeType::kRenew) renewed_.insert(place);
  said_.types[place.first][place.second] = static_cast<client::core::AcknowledgeType>(type);
}

void ShareConsumer::Impl::accept_given() {
  for (const auto& [partition, offset] : std::exchange(given_, {}))
    said_.types[partition][offset] = client::core::AcknowledgeType::kAccept;
}

void ShareConsumer::Impl::say(bool more) {
  auto said = std::exchange(said_, {});
  said.more = more;
  for (const auto& [partition, types] : said.types)
    for (const auto& [offset, type] : types) pending_.insert({partition, offset});
  if (said.types.empty() && !more) return;
  caller_.loop().run([&] { consumer_->acknowledge(std::move(said)); });
}

std::vector<AcknowledgeOutcome> ShareConsumer::Impl::commit(Deadline until) {
  if (!consumer_) throw std::logic_error("commit() before subscribe()");
  if (configs_.is_implicit) accept_given();
  say(/*more=*/false);
  while (!pending_.empty() && !failed_ && take_next(until)) {
  }
  const auto told = std::exchange(outcomes_, {});
  return {told.begin(), told.end()};
}

std::optional<Duration> ShareConsumer::Impl::lock_timeout() {
  std::optional<Duration> timeout;
  caller_.loop().run([&] {
    if (consumer_) timeout = consumer_->lock_timeout();
  });
  return timeout;
}

void ShareConsumer::Impl::close(Deadline until) {
  if (std::exchange(closed_, true) || !consumer_) return;
  if (configs_.is_implicit) accept_given();
  say(/*more=*/false);
  caller_.loop().run([&] { consumer_->leave(); });
  while (!left_ && !failed_ && take_next(until)) {
  }
  caller_.loop().run([&] { consumer_.reset(); });
}

ShareConsumer::ShareConsumer(const Config& config)
    : impl_(std::make_unique<Impl>(configs_of(config))) {}
ShareConsumer::~ShareConsumer() = default;
ShareConsumer::ShareConsumer(ShareConsumer&&) noexcept = default;
ShareConsumer& ShareConsumer::operator=(ShareConsumer&&) noexcept = default;

void ShareConsumer::subscribe(const std::vector<std::string>& topics) {
  const Impl::Use use(*impl_);
  impl_->subscribe(topics);
}

std::vector<ConsumerRecord> ShareConsumer::poll(milliseconds timeout) {
  const Impl::Use use(*impl_);
  return impl_->poll(from_now(timeout));
}

void ShareConsumer::wakeup() { impl_->wake(); }

void ShareConsumer::acknowledge(const ConsumerRecord& record, AcknowledgeType type) {
  const Impl::Use use(*impl_);
  impl_->acknowledge(record, type);
}

std::vector<AcknowledgeOutcome> ShareConsumer::commit(milliseconds timeout) {
  const Impl::Use use(*impl_);
  return impl_->commit(from_now(timeout));
}

std::optional<milliseconds> ShareConsumer::acquisition_lock_timeout() {
  const Impl::Use use(*impl_);
  const auto timeout = impl_->lock_timeout();
  if (!timeout) return std::nullopt;
  return std::chrono::duration_cast<milliseconds>(*timeout);
}

void ShareConsumer::close(milliseconds timeout) {
  const Impl::Use use(*impl_, Impl::Use::Of::kAny);
  impl_->close(from_now(timeout));
}

}  // namespace millrace::v0
