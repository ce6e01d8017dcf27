// A record as a consumer gives it to its application, and how it is made of what was fetched.
// Threads: values.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "client/core/producer.h"
#include "record/record.h"

namespace millrace::client::core {

struct ConsumedRecord {
  TopicPartition partition;
  Offset offset;
  TimestampMs timestamp = kNoTimestamp;
  bool is_append_time = false;  // of the timestamp: the broker's, not the producer's
  std::optional<ByteBuffer> key;
  std::optional<ByteBuffer> value;
  std::vector<Header> headers;
  std::optional<int16_t> delivery_count;  // in a share group; 1 the first time
};

// Owns its bytes.
ConsumedRecord consumed(const TopicPartition& partition, const record::BatchHeader& batch,
                        const record::RecordView& record);

}  // namespace millrace::client::core
