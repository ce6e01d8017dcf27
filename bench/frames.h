// The few requests that the benchmark sends, encoded once and patched in place, and where in their
// answers the facts stand that it looks at. Produce 8 and Fetch 11: the newest versions without
// variable-length lengths, so that every position is known before the first answer comes.
// Threads: none of its own.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace millrace::bench {

constexpr size_t kFrameSizeBytes = 4;

struct BatchShape {
  size_t record_bytes = 100;  // of a record's value
  size_t batch_bytes = 0;     // records are added until the batch is as large; 0: one record
};

struct Batch {
  ByteBuffer bytes;
  int32_t records = 0;
};
Batch make_batch(const BatchShape& shape);

struct TopicSlot {
  std::string topic;
  int32_t partition = 0;
};

// A whole frame: Produce 8, acks=all, one batch.
ByteBuffer produce_frame(const TopicSlot& slot, ByteView batch);
size_t produce_error_position(const std::string& topic);  // in the answer's frame

// A whole frame: Fetch 11 of one partition from offset 0.
ByteBuffer fetch_frame(const TopicSlot& slot, int32_t partition_max_bytes);
void patch_fetch_offset(ByteBuffer& frame, int64_t offset);

// What stands in front of the records of the answer.
struct FetchAnswer {
  int16_t error = 0;
  int64_t high_watermark = 0;
  int32_t records_bytes = 0;
};
size_t fetch_answer_prefix(const std::string& topic);
FetchAnswer read_fetch_answer(ByteView prefix, const std::string& topic);

// ApiVersions 0: what a connection asks that is only there.
ByteBuffer api_versions_frame();

}  // namespace millrace::bench
