#include "library/feeder.h"

#include <algorithm>
#include <future>
#include <utility>

namespace millrace::library {
namespace {

using client::core::Delivery;
using client::core::OutgoingRecord;

size_t weight_of(const OutgoingRecord& record) {
  return 1 + (record.value ? record.value->size() : 0) + (record.key ? record.key->size() : 0);
}

size_t weight_of(const std::vector<OutgoingRecord>& records) {
  size_t weight = 0;
  for (const auto& record : records) weight += weight_of(record);
  return weight;
}

}  // namespace

record::Codec codec_of(const std::string& name) {
  for (uint8_t id = 0; id <= static_cast<uint8_t>(record::Codec::kZstd); ++id)
    if (record::codec_name(static_cast<record::Codec>(id)) == name)
      return static_cast<record::Codec>(id);
  return record::Codec::kNone;
}

Feeder::Feeder(Loop& loop, client::core::ProducerOptions options, OnDelivery on_delivery,
               size_t most_bytes)
    : loop_(loop), on_delivery_(std::move(on_delivery)), most_bytes_(most_bytes) {
  loop_.run([&] {
    options.seed = loop_.shard().random().next();
    producer_ = std::make_unique<client::Producer>(loop_.client(), options,
                                                   [this](const Delivery& d) { delivered(d); });
  });
}

Feeder::~Feeder() {
  loop_.run([&] { producer_.reset(); });
}

bool Feeder::feed(std::vector<OutgoingRecord> records, Loop::Deadline until) {
  if (records.empty()) return true;
  const size_t weight = weight_of(records);
  bool was_empty = false;
  {
    std::unique_lock lock(mutex_);
    const auto has_room = [&] { return handed_ + buffered_ < most_bytes_; };
    if (until == Loop::Deadline::max())
      has_room_.wait(lock, has_room);
    else if (!has_room_.wait_until(lock, until, has_room))
      return false;
    handed_ += weight;
    was_empty = waiting_.empty();
    if (was_empty)
      waiting_ = std::move(records);
    else
      std::ranges::move(records, std::back_inserter(waiting_));
  }
  if (was_empty) loop_.shard().post([this] { take(); });
  return true;
}

void Feeder::take() {
  std::vector<OutgoingRecord> records;
  {
    std::lock_guard lock(mutex_);
    records.swap(waiting_);
  }
  const size_t weight = weight_of(records);
  const TimestampMs now = loop_.shard().clock().wall();
  for (auto& record : records)
    if (record.timestamp == kNoTimestamp) record.timestamp = now;
  producer_->produce(std::move(records));
  tell(weight);
}

void Feeder::flush() {
  loop_.shard().post([this] { producer_->flush(); });
}

void Feeder::finish() {
  loop_.run([&] { producer_->flush(); });
  {
    std::unique_lock lock(mutex_);
    has_room_.wait(lock, [&] { return handed_ == 0 && buffered_ == 0; });
  }
  loop_.run([] {});  // what is being told is told then
}

Feeder::Failed Feeder::wait_for(
    std::function<void(client::Producer&, client::Producer::OnOutcome)> wish) {
  std::promise<Failed> promise;
  auto future = promise.get_future();
  loop_.shard().post([&] {
    wish(*producer_, [&promise](Failed failed) { promise.set_value(std::move(failed)); });
  });
  return future.get();
}

Feeder::Failed Feeder::init_transactions() {
  return wait_for(&client::Producer::init_transactions);
}

Feeder::Failed Feeder::begin_transaction() {
  Result<> begun;
  loop_.run([&] { begun = producer_->begin_transaction(); });
  if (begun) return std::nullopt;
  return client::core::TransactionFailure{
      .error = wire::ErrorCode::kInvalidTxnState, .message = begun.error().message, .fatal = true};
}

Feeder::Failed Feeder::send_offsets(client::core::TransactionalOffsets offsets) {
  return wait_for([&](client::Producer& producer, client::Producer::OnOutcome done) {
    producer.send_offsets(std::move(offsets), std::move(done));
  });
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
  has_room_.notify_all();
}

void Feeder::delivered(const Delivery& delivery) {
  on_delivery_(delivery);
  tell(0);
}

}  // namespace millrace::library
