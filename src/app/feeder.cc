#include "app/feeder.h"

#include <future>

namespace millrace::app {
namespace {

using client::core::Delivery;
using client::core::OutgoingRecord;

size_t weight_of(const OutgoingRecord& record) {
  return 1 + (record.value ? record.value->size() : 0) + (record.key ? record.key->size() : 0);
}

}  // namespace

record::Codec codec_of(const std::string& name) {
  for (uint8_t id = 0; id <= static_cast<uint8_t>(record::Codec::kZstd); ++id)
    if (record::codec_name(static_cast<record::Codec>(id)) == name)
      return static_cast<record::Codec>(id);
  return record::Codec::kNone;
}

Feeder::Feeder(Session& session, client::core::ProducerOptions options, OnDelivery on_delivery,
               size_t most_bytes)
    : session_(session), on_delivery_(std::move(on_delivery)), most_bytes_(most_bytes) {
  session_.run([&] {
    options.seed = session_.shard().random().next();
    producer_ = std::make_unique<client::Producer>(session_.client(), options,
                                                   [this](const Delivery& d) { delivered(d); });
  });
}

Feeder::~Feeder() {
  session_.run([&] { producer_.reset(); });
}

void Feeder::feed(std::vector<OutgoingRecord> records) {
  if (records.empty()) return;
  size_t weight = 0;
  for (const auto& record : records) weight += weight_of(record);
  {
    std::unique_lock lock(mutex_);
    has_room_.wait(lock, [&] { return handed_ + buffered_ < most_bytes_; });
    handed_ += weight;
  }
  session_.shard().post([this, weight, records = std::move(records)]() mutable {
    const TimestampMs now = session_.shard().clock().wall();
    for (auto& record : records)
      if (record.timestamp == kNoTimestamp) record.timestamp = now;
    producer_->produce(std::move(records));
    tell(weight);
  });
}

void Feeder::finish() {
  session_.run([&] { producer_->flush(); });
  {
    std::unique_lock lock(mutex_);
    has_room_.wait(lock, [&] { return handed_ == 0 && buffered_ == 0; });
  }
  session_.run([] {});  // what is being told is told then
}

Feeder::Failed Feeder::wait_for(void (client::Producer::*wish)(client::Producer::OnOutcome)) {
  std::promise<Failed> promise;
  auto future = promise.get_future();
  session_.shard().post([&] {
    (*producer_.*wish)([&promise](Failed failed) { promise.set_value(std::move(failed)); });
  });
  return future.get();
}

Feeder::Failed Feeder::init_transactions() {
  return wait_for(&client::Producer::init_transactions);
}

Feeder::Failed Feeder::begin_transaction() {
  Result<> begun;
  session_.run([&] { begun = producer_->begin_transaction(); });
  if (begun) return std::nullopt;
  return client::core::TransactionFailure{
      .error = wire::ErrorCode::kInvalidTxnState, .message = begun.error().message, .fatal = true};
}

Feeder::Failed Feeder::commit_transaction() {
  return wait_for(&client::Producer::commit_transaction);
}

Feeder::Failed Feeder::abort_transaction() {
  return wait_for(&client::Producer::abort_transaction);
}

void Feeder::tell(size_t taken) {
  const size_t buffered = producer_->buffered_bytes();
  if (taken == 0 && buffered == told_) return;
  told_ = buffered;
  std::lock_guard lock(mutex_);
  handed_ -= taken;
  buffered_ = buffered;
  has_room_.notify_one();
}

void Feeder::delivered(const Delivery& delivery) {
  on_delivery_(delivery);
  tell(0);
}

}  // namespace millrace::app
