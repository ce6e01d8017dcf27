// What a broker checks, and changes, in the records that a client sent for one partition.
// Not here: acks, quotas, authorisation, idempotence (sequence checks need producer state:
// storage/), the base offset, which is known only under the partition's lock (patch_base_offset).
// Inputs: the bytes as received, which are patched in place; the partition's rules; `now` in them.
// Output: one batch ready to append, or the error code and texts of the protocol.
// Threads: one caller at a time. No allocation for an accepted uncompressed batch.
// Invariants:
//   (1) an accepted batch is magic 2, its CRC is right, its records are offsets 0..n-1 and parse to
//      the last byte;
//   (2) the bytes are recompressed only if the topic's codec differs from the batch's;
//   (3) nothing is patched unless the batch is accepted.
// KIP-98, KIP-467 (record errors), KIP-937 (timestamp bounds), KIP-110 (zstd from version 7 on).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "record/batch.h"
#include "record/compression.h"
#include "record/record.h"

namespace millrace::record {

// The error codes of the protocol that validation answers.
enum class ProduceErrorCode : int16_t {
  kUnknownServerError = -1,
  kCorruptMessage = 2,
  kMessageTooLarge = 10,
  kRecordListTooLarge = 18,
  kInvalidTimestamp = 32,
  kUnsupportedCompressionType = 76,
  kInvalidRecord = 87,
};

// Who writes: clients may write neither control batches nor offsets of their own.
enum class AppendOrigin : uint8_t { kClient, kCoordinator };

struct ProduceRules {
  const TopicPartition* partition = nullptr;  // for messages
  AppendOrigin origin = AppendOrigin::kClient;
  int16_t api_version = 13;  // of Produce
  TimestampMs now{0};
  TimestampType timestamp_type = TimestampType::kCreateTime;
  int64_t timestamp_before_max_ms = std::numeric_limits<int64_t>::max();
  int64_t timestamp_after_max_ms = 3'600'000;  // message.timestamp.after.max.ms
  int64_t max_message_bytes = 1'048'588;
  int64_t segment_bytes = 1'073'741'824;
  bool keys_required = false;         // the cleanup policy contains compact
  std::optional<Codec> target_codec;  // compression.type; none: "producer", keep what came
  std::optional<int> target_level;    // none: the codec's preset
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
  size_t max_decompressed = size_t{1} << 30;
};

struct RecordError {
  int32_t batch_index = 0;
  std::string message;
};

struct ProduceError {
  ProduceErrorCode code = ProduceErrorCode::kInvalidRecord;
  std::string detail;                        // for the log, always there
  std::optional<std::string> error_message;  // what the response carries: only where Kafka's does
  std::vector<RecordError> record_errors;
  // Kafka finds this before it looks at partitions one by one, and answers so for all of them.
  bool whole_request = false;
  // Found before the log is looked at: the answer does not tell where the log starts.
  bool before_log = false;
};

struct ValidatedBatch {
  BatchView batch;                             // magic 2, base offset still 0
  MutableByteView bytes;                       // its bytes: those received, or `rebuilt`
  ByteBuffer rebuilt;                          // not empty if the batch had to be compressed anew
  TimestampMs log_append_time = kNoTimestamp;  // the response's; kNoTimestamp under CreateTime
  TimestampMs max_timestamp = kNoTimestamp;
  int32_t offset_delta_of_max_timestamp = 0;
  int64_t uncompressed_bytes = 0;
};

// What is wrong with the field so badly that Kafka refuses the whole request before it appends
// anything of it: an impossible length or magic at its front.
std::optional<ProduceError> request_problem(ByteView records);

// `records` is the field of the Produce request as it came; the accepted batch points into it.
std::expected<ValidatedBatch, ProduceError> validate_produce(MutableByteView records,
                                                             const ProduceRules& rules,
                                                             ReadScratch& scratch);

}  // namespace millrace::record
