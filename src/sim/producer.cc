#include "sim/producer.h"

#include <algorithm>

#include "record/builder.h"
#include "sim/broker.h"
#include "wire/errors.h"
#include "wire/init_producer_id.h"

namespace millrace::sim {
namespace {

constexpr int16_t kProduceVersion = 9;
constexpr int16_t kInitProducerIdVersion = 4;
constexpr size_t kRemembered = 5;  // batches whose repetition a broker recognises
constexpr double kRepeatChance = 0.02;

}  // namespace

Producer::Producer(Host& host, Oracle& oracle, ProducerOptions options)
    : host_(&host),
      oracle_(&oracle),
      options_(std::move(options)),
      client_(host, options_.name),
      dice_(host.world().workload.next()) {
  if (options_.idempotent) oracle_->is_idempotent(options_.name);
  for (int32_t i = 0; i < options_.partitions; ++i) lanes_[i];
}

void Producer::start() {
  if (options_.idempotent) return get_id();
  work();
}

bool Producer::is_done() const {
  return finishing_ &&
         std::ranges::all_of(lanes_, [](auto& lane) { return lane.second.waiting.empty(); });
}

void Producer::get_id() {
  wire::InitProducerIdRequest request{.transactional_id = std::nullopt,
                                      .transaction_timeout_ms = 60'000};
  client_.call<wire::InitProducerIdResponse>(
      request, kInitProducerIdVersion, [this](Result<wire::InitProducerIdResponse> response) {
        if (!response || response->error_code != 0) {
          host_->shard(0).after(milliseconds(200), [this] { get_id(); });
          return;
        }
        id_ = response->producer_id;
        epoch_ = response->producer_epoch;
        work();
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
  if (lane.repeating) return;
  if (options_.idempotent && !paused_ && lane.waiting.empty() && !lane.recent.empty() &&
      dice_.chance(kRepeatChance))
    return repeat_one(partition, lane);
  for (Batch& batch : lane.waiting) {
    if (std::exchange(batch.sent, true)) continue;
    ByteBuffer bytes;
    const auto request = request_of(partition, batch, bytes);
    client_.call<wire::ProduceResponse>(
        request, kProduceVersion,
        [this, partition, first = batch.first](Result<wire::ProduceResponse> response) {
          if (!response) return failed(partition, first, -1);
          const auto& answer = response->responses.at(0).partition_responses.at(0);
          answered(partition, first, answer.error_code, answer.base_offset);
        });
  }
}

wire::ProduceRequest Producer::request_of(int32_t partition, const Batch& batch,
                                          ByteBuffer& bytes) const {
  record::BatchBuilder builder(
      {.codec = options_.codec,
       .producer_id = ProducerId(id_),
       .producer_epoch = ProducerEpoch(epoch_),
       .base_sequence = options_.idempotent
                            ? ProducerSequence(static_cast<int32_t>(batch.first & 0x7FFFFFFF))
                            : record::kNoSequence});
  for (int64_t i = batch.first; i < batch.first + batch.count; ++i) {
    const std::string value = Value{options_.name, partition, i}.to_string();
    builder.append({.timestamp = host_->shard(0).clock().wall(),
                    .key = std::nullopt,
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
  if (lane.waiting.empty()) return;
  if (error != 0) return failed(partition, first, error);
  Batch batch = lane.waiting.front();
  if (batch.first != first)
    return host_->world().violated("C1", fmt::format("batch {} of {} was acknowledged before {}",
                                                     first, options_.name, batch.first));
  lane.waiting.pop_front();
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
      request, kProduceVersion, [this, partition, batch](Result<wire::ProduceResponse> response) {
        lanes_[partition].repeating = false;
        if (!response) return start_over();
        const auto& answer = response->responses.at(0).partition_responses.at(0);
        if (answer.error_code == 0 && answer.base_offset != batch.offset)
          host_->world().violated(
              "ID2", fmt::format("batch {} of {} at {}-{} was appended again at {}", batch.first,
                                 options_.name, partition, batch.offset, answer.base_offset));
      });
}

// Idempotent: everything not answered is sent again, in order, on a new connection. Plain: what
// was not answered is given up, since it may be there.
void Producer::failed(int32_t partition, int64_t first, int16_t error) {
  Lane& lane = lanes_[partition];
  const auto code = static_cast<wire::ErrorCode>(error);
  const bool is_oldest = !lane.waiting.empty() && lane.waiting.front().first == first;
  if (options_.idempotent && is_oldest &&
      (code == wire::ErrorCode::kOutOfOrderSequenceNumber ||
       code == wire::ErrorCode::kDuplicateSequenceNumber ||
       code == wire::ErrorCode::kUnknownProducerId ||
       code == wire::ErrorCode::kInvalidProducerEpoch))
    host_->world().violated("ID1", fmt::format("the oldest batch {} of {} to {} is refused with {}",
                                               first, options_.name, partition, error));
  if (options_.idempotent) return start_over();
  std::erase_if(lane.waiting, [&](const Batch& batch) { return batch.first == first; });
}

void Producer::start_over() {
  bool any = false;
  for (auto& [partition, lane] : lanes_)
    for (Batch& batch : lane.waiting) any |= std::exchange(batch.sent, false);
  if (any) client_.disconnect();
}

}  // namespace millrace::sim
