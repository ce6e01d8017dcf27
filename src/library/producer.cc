#include <millrace/producer.h>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "library/caller.h"
#include "library/conversions.h"
#include "library/feeder.h"

namespace millrace::v0 {
namespace {

using library::Loop;
using std::chrono::steady_clock;

library::ProducerConfigs configs_of(const Config& config) {
  auto configs = library::producer_configs({config.begin(), config.end()});
  if (!configs) throw Error(ErrorCode::kInvalidConfig, configs.error().message);
  return std::move(*configs);
}

Loop::Deadline deadline_in(Duration duration) {
  return steady_clock::now() +
         std::min(std::chrono::duration_cast<steady_clock::duration>(duration),
                  steady_clock::duration(std::chrono::hours(24 * 365)));
}

std::optional<Error> failure_of(const client::core::Delivery& delivery) {
  if (delivery.error == wire::ErrorCode::kNone && delivery.partition.partition.value() >= 0)
    return std::nullopt;
  const bool placed = delivery.partition.partition.value() >= 0;
  const auto code = delivery.error == wire::ErrorCode::kNone
                        ? wire::ErrorCode::kUnknownTopicOrPartition
                        : delivery.error;
  return library::error_of(
      wire::code_of(code),
      fmt::format("write to {}", placed ? delivery.partition.to_string()
                                        : fmt::format("topic '{}'", delivery.partition.topic)),
      delivery.message);
}

}  // namespace

class MILLRACE_HIDDEN Producer::Impl {
 public:
  explicit Impl(library::ProducerConfigs configs)
      : configs_(std::move(configs)), caller_(configs_.client) {
    feeder_.emplace(
        caller_.loop(), configs_.options,
        [this](const client::core::Delivery& delivery) { delivered(delivery); },
        configs_.buffer_memory);
  }
  ~Impl() { close(std::chrono::hours(24)); }

  void send(ProducerRecord record, DeliveryCallback callback);
  void flush();
  std::vector<PartitionInfo> partitions_of(const std::string& topic) {
    return caller_.partitions_of(topic, /*create=*/true);
  }
  void close(Duration timeout);

  void init_transactions();
  void begin_transaction();
  void send_offsets(const Offsets& offsets, const GroupMetadata& group);
  void end_transaction(bool commit);

 private:
  enum class Stage { kUninitialized, kReady, kOpen };
  void need(Stage stage, const char* call);
  void check(const library::Feeder::Failed& failed, const char* action) const;

  // A record of which it is not told yet what became of it. Flushes divide them into rounds: a
  // flush waits for its own round and those before.
  struct Sent {
    DeliveryCallback callback;
    TopicPartition partition;
    uint64_t round = 0;
  };

  void delivered(const client::core::Delivery& delivery);
  void fail(uint64_t tag, const Error& error);
  void tell(uint64_t tag, const RecordMetadata& metadata, const Error* error);
  void end(uint64_t round);
  bool wait_for(uint64_t round, Loop::Deadline until);
  uint64_t begin_round();

  library::ProducerConfigs configs_;
  library::Caller caller_;
  std::mutex mutex_;
  std::condition_variable told_;
  std::unordered_map<uint64_t, Sent> sent_;
  std::map<uint64_t, size_t> open_;  // by round, of how many records it is not told yet
  uint64_t last_tag_ = 0;
  uint64_t round_ = 0;
  bool closed_ = false;
  std::mutex transaction_mutex_;  // one call about transactions at a time
  Stage stage_ = Stage::kUninitialized;
  std::optional<library::Feeder> feeder_;
};

void Producer::Impl::send(ProducerRecord record, DeliveryCallback callback) {
  const bool in_callback = caller_.loop().is_here();
  uint64_t tag = 0;
  uint64_t round = 0;
  {
    std::lock_guard lock(mutex_);
    if (closed_ && !in_callback) throw std::logic_error("send() after close()");
    tag = ++last_tag_;
    round = round_;
    ++open_[round];
    sent_[tag] = {std::move(callback), {record.topic, record.partition.value_or(-1)}, round};
    if (closed_) return;  // close() tells it
  }
  std::vector<client::core::OutgoingRecord> one;
  one.push_back(library::inner(std::move(record), tag));
  // In a callback who would make room is the loop itself.
  const auto until = in_callback ? steady_clock::now() : deadline_in(configs_.max_block);
  if (feeder_->feed(std::move(one), until)) return;
  const Error full(ErrorCode::kRequestTimedOut,
                   "cannot take the record: buffer.memory has been full for max.block.ms");
  if (in_callback) return fail(tag, full);
  {
    std::lock_guard lock(mutex_);
    sent_.erase(tag);
  }
  end(round);
  throw full;
}

void Producer::Impl::fail(uint64_t tag, const Error& error) {
  RecordMetadata metadata;
  {
    std::lock_guard lock(mutex_);
    const auto sent = sent_.find(tag);
    if (sent != sent_.end()) metadata.partition = sent->second.partition;
  }
  tell(tag, metadata, &error);
}

void Producer::Impl::delivered(const client::core::Delivery& delivery) {
  const RecordMetadata metadata{library::outer(delivery.partition), delivery.offset.value()};
  const auto failure = failure_of(delivery);
  tell(delivery.tag, metadata, failure ? &*failure : nullptr);
}

void Producer::Impl::tell(uint64_t tag, const RecordMetadata& metadata, const Error* error) {
  std::unique_lock lock(mutex_);
  auto sent = sent_.extract(tag);
  lock.unlock();
  if (sent.empty()) return;
  if (sent.mapped().callback) {
    // Nobody could catch it, and the record's flush would wait for ever.
    [&]() noexcept { sent.mapped().callback(metadata, error); }();
  }
  end(sent.mapped().round);
}

void Producer::Impl::end(uint64_t round) {
  std::lock_guard lock(mutex_);
  auto open = open_.find(round);
  if (--open->second > 0) return;
  open_.erase(open);
  told_.notify_all();
}

uint64_t Producer::Impl::begin_round() {
  std::lock_guard lock(mutex_);
  return round_++;
}

bool Producer::Impl::wait_for(uint64_t round, Loop::Deadline until) {
  std::unique_lock lock(mutex_);
  return told_.wait_until(lock, until,
                          [&] { return open_.empty() || open_.begin()->first > round; });
}

void Producer::Impl::flush() {
  caller_.refuse_on_loop();
  if (!feeder_) return;
  const uint64_t round = begin_round();
  feeder_->flush();
  // Each record ends within delivery.timeout.ms, or the answer's request.timeout.ms.
  while (!wait_for(round, deadline_in(std::chrono::hours(1)))) {
  }
}

void Producer::Impl::close(Duration timeout) {
  caller_.refuse_on_loop();
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
  }
  if (stage_ == Stage::kOpen) feeder_->abort_transaction();
  const uint64_t round = begin_round();
  feeder_->flush();
  wait_for(round, deadline_in(timeout));
  feeder_.reset();
  std::vector<uint64_t> rest;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [tag, sent] : sent_) rest.push_back(tag);
  }
  const Error late(ErrorCode::kRequestTimedOut,
                   "the producer was closed before the record was delivered");
  for (const uint64_t tag : rest) fail(tag, late);
}

// --- Transactions.

void Producer::Impl::need(Stage stage, const char* call) {
  caller_.refuse_on_loop();
  if (!configs_.options.transaction)
    throw std::logic_error(fmt::format("{}() of a producer without transactional.id", call));
  if (!feeder_) throw std::logic_error(fmt::format("{}() after close()", call));
  if (stage_ == stage) return;
  constexpr const char* kFirst[] = {"only once", "after init_transactions(), and none may be open",
                                    "after begin_transaction()"};
  throw std::logic_error(fmt::format("{}() is for {}", call, kFirst[static_cast<size_t>(stage)]));
}

void Producer::Impl::check(const library::Feeder::Failed& failed, const char* action) const {
  if (!failed) return;
  throw library::error_of(wire::code_of(failed->error),
                          fmt::format("{} of '{}'", action, configs_.options.transaction->id),
                          failed->message);
}

void Producer::Impl::init_transactions() {
  const std::lock_guard lock(transaction_mutex_);
  need(Stage::kUninitialized, "init_transactions");
  check(feeder_->init_transactions(), "begin with transactions");
  stage_ = Stage::kReady;
}

void Producer::Impl::begin_transaction() {
  const std::lock_guard lock(transaction_mutex_);
  need(Stage::kReady, "begin_transaction");
  check(feeder_->begin_transaction(), "begin a transaction");
  stage_ = Stage::kOpen;
}

void Producer::Impl::send_offsets(const Offsets& offsets, const GroupMetadata& group) {
  const std::lock_guard lock(transaction_mutex_);
  need(Stage::kOpen, "send_offsets");
  if (offsets.empty()) return;
  client::core::TransactionalOffsets sent{.group = group.group,
                                          .member_id = group.member_id,
                                          .generation = group.generation,
                                          .instance_id = group.instance_id,
                                          .offsets = {}};
  for (const auto& [partition, offset] : offsets)
    sent.offsets[library::inner(partition)] = Offset(offset);
  check(feeder_->send_offsets(std::move(sent)), "commit offsets with a transaction");
}

void Producer::Impl::end_transaction(bool commit) {
  const std::lock_guard lock(transaction_mutex_);
  need(Stage::kOpen, commit ? "commit_transaction" : "abort_transaction");
  if (commit)
    check(feeder_->commit_transaction(), "commit a transaction");
  else
    check(feeder_->abort_transaction(), "abort a transaction");
  stage_ = Stage::kReady;
}

Producer::Producer(const Config& config) : impl_(std::make_unique<Impl>(configs_of(config))) {}
Producer::~Producer() = default;
Producer::Producer(Producer&&) noexcept = default;
Producer& Producer::operator=(Producer&&) noexcept = default;

void Producer::send(ProducerRecord record, DeliveryCallback callback) {
  impl_->send(std::move(record), std::move(callback));
}

std::future<RecordMetadata> Producer::send(ProducerRecord record) {
  auto promise = std::make_shared<std::promise<RecordMetadata>>();
  auto future = promise->get_future();
  impl_->send(std::move(record), [promise](const RecordMetadata& metadata, const Error* error) {
    if (error == nullptr)
      promise->set_value(metadata);
    else
      promise->set_exception(std::make_exception_ptr(*error));
  });
  return future;
}

void Producer::flush() { impl_->flush(); }

void Producer::init_transactions() { impl_->init_transactions(); }
void Producer::begin_transaction() { impl_->begin_transaction(); }
void Producer::send_offsets(const Offsets& offsets, const GroupMetadata& group) {
  impl_->send_offsets(offsets, group);
}
void Producer::commit_transaction() { impl_->end_transaction(/*commit=*/true); }
void Producer::abort_transaction() { impl_->end_transaction(/*commit=*/false); }

std::vector<PartitionInfo> Producer::partitions_of(const std::string& topic) {
  return impl_->partitions_of(topic);
}

void Producer::close(std::chrono::milliseconds timeout) {
  impl_->close(std::min<std::chrono::milliseconds>(timeout, std::chrono::hours(24 * 365)));
}

}  // namespace millrace::v0
