#include "sim/producer.h"

#include <algorithm>

#include "record/builder.h"
#include "wire/errors.h"
#include "wire/init_producer_id.h"

namespace millrace::sim {
namespace {

constexpr int16_t kProduceVersion = 9;
constexpr int16_t kInitProducerIdVersion = 4;
constexpr size_t kRemembered = 5;  // batches whose repetition a broker recognises
constexpr Range kRetryMs{1, 200};
constexpr double kRepeatChance = 0.02;

}  // namespace

Producer::Producer(const Site& site, Oracle& oracle, ProducerOptions options)
    : host_(site.host),
      oracle_(&oracle),
      options_(std::move(options)),
      client_(site, options_.name),
      dice_(host_->world().workload.next()) {
  if (options_.idempotent) oracle_->is_idempotent(options_.name);
  for (int32_t i = 0; i < options_.partitions; ++i) lanes_[i];
}

void Producer::start() {
  if (!options_.idempotent) return work();
  get_id([this](int64_t id, int16_t epoch) {
    for (auto& [partition, lane] : lanes_) {
      lane.id = id;
      lane.epoch = epoch;
    }
    work();
  });
}

bool Producer::is_done() const {
  return finishing_ &&
         std::ranges::all_of(lanes_, [](auto& lane) { return lane.second.waiting.empty(); });
}

void Producer::get_id(std::function<void(int64_t id, int16_t epoch)> got) {
  wire::InitProducerIdRequest request{.transactional_id = std::nullopt,
                                      .transaction_timeout_ms = 60'000};
  client_.call<wire::InitProducerIdResponse>(
      Client::AnyBroker{}, request, kInitProducerIdVersion,
      [this, got = std::move(got)](Result<wire::InitProducerIdResponse> response) {
        if (!response || response->error_code != 0) {
          client_.doubt(Client::AnyBroker{});
          host_->shard(0).after(milliseconds(200), [this, got] { get_id(got); });
          return;
        }
        oracle_->given_producer_id(response->producer_id);
        got(response->producer_id, response->producer_epoch);
      });
}

void Producer::work() {
  for (auto& [partition, lane] : lanes_) {
    if (!finishing_ && !paused_ && lane.waiting.size() < options_.most_in_flight &&
        dice_.chance(0.7)) {
      const auto count = static_cast<int32_t>(dice_.between({1, 5}));
      lane.waiting.push_back({.first = lane.next, .count = count});
      lane.next += count;
    }
    send(partition, lane);
  }
  host_->shard(0).after(dice_.around(options_.pause) + milliseconds(1), [this] { work(); });
}

void Producer::send(int32_t partition, Lane& lane) {
  if (lane.repeating || host_->world().now() < lane.not_before) return;
  if (options_.idempotent && !paused_ && lane.waiting.empty() && !lane.recent.empty() &&
      dice_.chance(kRepeatChance))
    return repeat_one(partition, lane);
  // A broker that knows nothing of the producer takes any sequence for its first: until it has one
  // for certain, nothing is sent behind it.
  const bool is_known = !options_.idempotent || !lane.recent.empty();
  for (Batch& batch : lane.waiting) {
    if (!is_known && &batch != &lane.waiting.front()) break;
    if (std::exchange(batch.sent, true)) continue;
    oracle_->sent(partition, {options_.name, partition, batch.first});
    ByteBuffer bytes;
    const auto request = request_of(partition, batch, bytes);
    client_.call<wire::ProduceResponse>(
        at(partition), request, kProduceVersion,
        [this, partition, first = batch.first,
         attempt = lane.attempt](Result<wire::ProduceResponse> response) {
          if (lanes_[partition].attempt != attempt) return;
          if (!response) return failed(partition, first, -1);
          const auto& answer = response->responses.at(0).partition_responses.at(0);
          answered(partition, first, answer.error_code, answer.base_offset);
        });
  }
}

wire::ProduceRequest Producer::request_of(int32_t partition, const Batch& batch,
                                          ByteBuffer& bytes) {
  const Lane& lane = lanes_[partition];
  record::BatchBuilder builder(
      {.codec = options_.codec,
       .producer_id = ProducerId(lane.id),
       .producer_epoch = ProducerEpoch(lane.epoch),
       .base_sequence = options_.idempotent
                            ? ProducerSequence(static_cast<int32_t>(batch.first & 0x7FFFFFFF))
                            : record::kNoSequence});
  for (int64_t i = batch.first; i < batch.first + batch.count; ++i) {
    const std::string value = Value{options_.name, partition, i}.to_string();
    builder.append({.timestamp = host_->shard(0).clock().wall(),
                    .key = options_.keyed ? std::optional(as_bytes(value)) : std::nullopt,
                    .value = as_bytes(value),
                    .headers = {}});
  }
  bytes = std::move(builder).build();
  wire::ProduceRequest request{.acks = -1, .timeout_ms = 30'000};
  request.topic_data.push_back({.name = options_.topic});
  request.topic_data[0].partition_data.push_back(
      {.index = partition, .records = wire::Records::of(bytes)});
  return request;
}

void Producer::answered(int32_t partition, int64_t first, int16_t error, int64_t base_offset) {
  Lane& lane = lanes_[partition];
  if (error != 0 && !lane.waiting.empty()) return failed(partition, first, error);
  const auto answered = std::ranges::find(lane.waiting, first, &Batch::first);
  if (answered == lane.waiting.end()) return;
  // The leader of before may still owe answers when the next one has given its first.
  if (answered != lane.waiting.begin() && !oracle_->may_be_led_by_others())
    return host_->world().violated(
        "C1", fmt::format("batch {} of {} was acknowledged before {}", first, options_.name,
                          lane.waiting.front().first));
  Batch batch = *answered;
  lane.waiting.erase(answered);
  batch.offset = base_offset;
  for (int32_t i = 0; i < batch.count; ++i)
    oracle_->acknowledged(partition, base_offset + i,
                          Value{options_.name, partition, batch.first + i}.to_string());
  lane.recent.push_back(batch);
  if (lane.recent.size() > kRemembered) lane.recent.pop_front();
  if (on_acknowledged) on_acknowledged(partition, base_offset + batch.count - 1);
}

void Producer::repeat_one(int32_t partition, Lane& lane) {
  lane.repeating = true;
  const Batch batch = lane.recent[dice_.below(lane.recent.size())];
  ByteBuffer bytes;
  const auto request = request_of(partition, batch, bytes);
  client_.call<wire::ProduceResponse>(
      at(partition), request, kProduceVersion,
      [this, partition, batch](Result<wire::ProduceResponse> response) {
        lanes_[partition].repeating = false;
        if (!response) return start_over(partition);
        const auto& answer = response->responses.at(0).partition_responses.at(0);
        if (answer.error_code != 0) client_.doubt(at(partition));
        if (answer.error_code == 0 && answer.base_offset != batch.offset &&
            !oracle_->had_unclean_election(partition))
          host_->world().violated(
              "ID2", fmt::format("batch {} of {} at {}-{} was appended again at {}", batch.first,
                                 options_.name, partition, batch.offset, answer.base_offset));
      });
}

// Idempotent: everything not answered is sent again, in order. Plain: what was not answered is
// given up, since it may be there.
void Producer::failed(int32_t partition, int64_t first, int16_t error) {
  Lane& lane = lanes_[partition];
  const auto code = static_cast<wire::ErrorCode>(error);
  const bool is_oldest = !lane.waiting.empty() && lane.waiting.front().first == first;
  if (options_.idempotent && is_oldest &&
      (code == wire::ErrorCode::kOutOfOrderSequenceNumber ||
       code == wire::ErrorCode::kDuplicateSequenceNumber ||
       code == wire::ErrorCode::kUnknownProducerId ||
       code == wire::ErrorCode::kInvalidProducerEpoch)) {
    if (oracle_->had_unclean_election(partition)) return begin_anew(partition);
    host_->world().violated("ID1", fmt::format("the oldest batch {} of {} to {} is refused with {}",
                                               first, options_.name, partition, error));
  }
  if (error > 0) client_.doubt(at(partition));
  if (options_.idempotent) return start_over(partition);
  std::erase_if(lane.waiting, [&](const Batch& batch) { return batch.first == first; });
}

void Producer::begin_anew(int32_t partition) {
  lanes_[partition].repeating = true;
  ++lanes_[partition].attempt;
  get_id([this, partition](int64_t id, int16_t epoch) {
    Lane& lane = lanes_[partition];
    lane.id = id;
    lane.epoch = epoch;
    lane.recent.clear();
    lane.repeating = false;
    start_over(partition);
  });
}

void Producer::start_over(int32_t partition) {
  Lane& lane = lanes_[partition];
  ++lane.attempt;
  lane.not_before = host_->world().now() + milliseconds(dice_.between(kRetryMs));
  for (Batch& batch : lane.waiting) batch.sent = false;
}

}  // namespace millrace::sim
