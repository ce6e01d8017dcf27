#include "frames.h"

#include <chrono>
#include <random>

#include "base/assert.h"
#include "record/builder.h"
#include "wire/api_versions.h"
#include "wire/codec.h"
#include "wire/fetch.h"
#include "wire/headers.h"
#include "wire/produce.h"

namespace millrace::bench {
namespace {

constexpr int16_t kProduceVersion = 8;
constexpr int16_t kFetchVersion = 11;
constexpr int32_t kTimeoutMs = 30'000;
constexpr int32_t kMaxWaitMs = 500;

constexpr size_t kRecordOverhead = 16;  // at most: lengths, deltas, attributes

// Behind the fetch offset of a one-partition Fetch 11: log start offset, max bytes, forgotten
// topics, rack id.
constexpr size_t kBehindFetchOffset = 8 + 4 + 4 + 2;
// Size, correlation id.
constexpr size_t kAnswerHeader = 4 + 4;

template <class Request>
ByteBuffer frame_of(const Request& request, int16_t version) {
  wire::Writer writer;
  writer.int32(0);
  write(writer, 1,
        wire::RequestHeader{.request_api_key = Request::kApiKey,
                            .request_api_version = version,
                            .client_id = "bench"});
  write(writer, version, request);
  ASSERT(writer.status());
  writer.patch_int32(0, static_cast<int32_t>(writer.total_size() - kFrameSizeBytes));
  return std::move(writer).take();
}

}  // namespace

Batch make_batch(const BatchShape& shape) {
  const TimestampMs now(std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count());
  std::mt19937 noise(1);  // bytes that nothing can compress
  ByteBuffer value(shape.record_bytes);
  for (auto& byte : value) byte = static_cast<uint8_t>(noise());
  record::BatchBuilder builder({});
  do builder.append({.timestamp = now, .value = ByteView(value)});
  while (builder.size_so_far() + shape.record_bytes + kRecordOverhead <= shape.batch_bytes);
  const int32_t records = builder.record_count();
  return {std::move(builder).build(), records};
}

ByteBuffer produce_frame(const TopicSlot& slot, ByteView batch) {
  wire::ProduceRequest request{.acks = -1, .timeout_ms = kTimeoutMs};
  auto& topic = request.topic_data.emplace_back();
  topic.name = slot.topic;
  topic.partition_data.push_back({.index = slot.partition, .records = wire::Records::of(batch)});
  return frame_of(request, kProduceVersion);
}

// Topic count, name, partition count, partition index.
size_t produce_error_position(const std::string& topic) {
  return kAnswerHeader + 4 + 2 + topic.size() + 4 + 4;
}

ByteBuffer fetch_frame(const TopicSlot& slot, int32_t partition_max_bytes) {
  wire::FetchRequest request{.max_wait_ms = kMaxWaitMs, .min_bytes = 1};
  auto& topic = request.topics.emplace_back();
  topic.topic = slot.topic;
  topic.partitions.push_back(
      {.partition = slot.partition, .partition_max_bytes = partition_max_bytes});
  return frame_of(request, kFetchVersion);
}

void patch_fetch_offset(ByteBuffer& frame, int64_t offset) {
  store_big(frame.data() + frame.size() - kBehindFetchOffset - sizeof offset, offset);
}

// Throttle time, error, session id, topic count, name, partition count, index, error, high
// watermark, last stable offset, log start, aborted transactions (null), preferred replica, size.
size_t fetch_answer_prefix(const std::string& topic) {
  return kAnswerHeader + 4 + 2 + 4 + 4 + 2 + topic.size() + 4 + 4 + 2 + 8 + 8 + 8 + 4 + 4 + 4;
}

FetchAnswer read_fetch_answer(ByteView prefix, const std::string& topic) {
  const size_t error = kAnswerHeader + 4 + 2 + 4 + 4 + 2 + topic.size() + 4 + 4;
  return {.error = load_big<int16_t>(prefix.data() + error),
          .high_watermark = load_big<int64_t>(prefix.data() + error + 2),
          .records_bytes = load_big<int32_t>(prefix.data() + prefix.size() - 4)};
}

ByteBuffer api_versions_frame() { return frame_of(wire::ApiVersionsRequest{}, 0); }

}  // namespace millrace::bench
