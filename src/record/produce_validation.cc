#include "record/produce_validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "record/builder.h"

namespace millrace::record {
namespace {

using Failure = std::unexpected<ProduceError>;

constexpr int16_t kFirstVersionWithZstd = 7;
constexpr int32_t kLeastMessageBytes = 14;  // below this Kafka does not even take it for a message
constexpr size_t kShownErrors = 3;

Failure refuse(ProduceErrorCode code, std::string detail) {
  return Failure(ProduceError{.code = code, .detail = std::move(detail)});
}

Failure refuse_request(std::string detail) {
  return Failure(ProduceError{.code = ProduceErrorCode::kCorruptMessage,
                              .detail = detail,
                              .error_message = detail,
                              .whole_request = true});
}

std::string name_of(const ProduceRules& rules) {
  return rules.partition ? rules.partition->to_string() : "(no partition)";
}

Failure refuse_size(size_t size, const ProduceRules& rules) {
  return refuse(ProduceErrorCode::kMessageTooLarge,
                fmt::format("The record batch size in the append to {} is {} bytes which exceeds "
                            "the maximum configured value of {}.",
                            name_of(rules), size, rules.max_message_bytes));
}

// What Kafka finds while it only counts the batches of the field.
std::expected<BatchView, ProduceError> single_batch(ByteView records) {
  if (records.size() >= 17) {
    const auto length = load_big<int32_t>(records.data() + 8);
    if (length < kLeastMessageBytes)
      return refuse_request(
          fmt::format("Record size {} is less than the minimum record overhead ({})", length,
                      kLeastMessageBytes));
    const auto magic = static_cast<int8_t>(records[16]);
    if (magic < 0 || magic > kCurrentMagic)
      return refuse_request(fmt::format("Invalid magic found in record: {}", magic));
  }
  BatchIterator batches(records);
  auto first = batches.next();
  if (!first) return refuse(ProduceErrorCode::kCorruptMessage, first.error().message);
  if (!*first)
    return refuse(ProduceErrorCode::kInvalidRecord, "there is no whole batch in the request");
  if ((*first)->header().magic != kCurrentMagic)
    return refuse(ProduceErrorCode::kInvalidRecord, "the batch is not of magic 2");
  // What is behind it and too short for a batch is not looked at.
  if (auto second = batches.next(); !second || *second)
    return refuse(ProduceErrorCode::kInvalidRecord, "there is more than one batch");
  return **first;
}

std::expected<void, ProduceError> check_batch(const BatchView& batch, const ProduceRules& rules) {
  const BatchHeader& header = batch.header();
  const bool from_client = rules.origin == AppendOrigin::kClient;
  auto invalid = [](std::string detail) {
    return refuse(ProduceErrorCode::kInvalidRecord, std::move(detail));
  };
  if (from_client && header.base_offset != Offset(0))
    return invalid(fmt::format("base offset is {} instead of 0", header.base_offset));
  if (header.size_in_bytes() > rules.max_message_bytes)
    return refuse_size(batch.size_in_bytes(), rules);
  if (!batch.verify_crc())
    return refuse(ProduceErrorCode::kCorruptMessage, "the checksum of the batch is wrong");
  if (header.record_count <= 0 || header.last_offset_delta + int64_t{1} != header.record_count)
    return invalid(fmt::format("{} records, last offset delta {}", header.record_count,
                               header.last_offset_delta));
  if (header.has_producer_id() && header.base_sequence.value() < 0)
    return invalid("a producer id without a sequence");
  if (from_client && header.attributes.control())
    return invalid("clients may not write control records");
  if (header.attributes.codec_id() == static_cast<uint8_t>(Codec::kZstd) &&
      rules.api_version < kFirstVersionWithZstd)
    return Failure(ProduceError{.code = ProduceErrorCode::kUnsupportedCompressionType,
                                .detail = "zstd needs Produce version 7 or later",
                                .before_log = true});
  if (header.size_in_bytes() > rules.segment_bytes)
    return refuse(
        ProduceErrorCode::kRecordListTooLarge,
        fmt::format("Message batch size is {} bytes in append to partition {}, which exceeds the "
                    "maximum configured segment size of {}.",
                    header.size_in_bytes(), name_of(rules), rules.segment_bytes));
  return {};
}

// What a walk over the records found.
struct Walk {
  std::vector<RecordError> errors;
  bool timestamp_refused = false;
  TimestampMs max_timestamp = kNoTimestamp;
  int32_t offset_of_max_timestamp = 0;
  int64_t uncompressed_bytes = 0;
  bool stamped_by_client = false;  // the batch claims LogAppendTime

  void add(int32_t index, std::string message) { errors.push_back({index, std::move(message)}); }
  void add_timestamp(int32_t index, std::string message) {
    timestamp_refused = true;
    add(index, std::move(message));
  }
};

// a - b in the ring of 64 bits, as Java has it: a client may send any timestamp.
int64_t wrapped(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

void check_timestamp(const RecordView& record, int32_t index, const ProduceRules& rules,
                     Walk& walk) {
  const int64_t behind = wrapped(rules.now.value(), record.timestamp.value());
  if (behind <= rules.timestamp_before_max_ms && wrapped(0, behind) <= rules.timestamp_after_max_ms)
    return;
  walk.add_timestamp(
      index, fmt::format("Timestamp {} of message with offset {} is out of range. The timestamp "
                         "should be within [{}, {}]",
                         record.timestamp, index,
                         wrapped(rules.now.value(), rules.timestamp_before_max_ms),
                         wrapped(rules.now.value(), wrapped(0, rules.timestamp_after_max_ms))));
}

// At most one error a record; its key comes first.
void check_record(const RecordView& record, int32_t index, const ProduceRules& rules, Walk& walk) {
  if (record.timestamp > walk.max_timestamp) {
    walk.max_timestamp = record.timestamp;
    walk.offset_of_max_timestamp = index;
  }
  if (rules.keys_required && !record.key)
    walk.add(index,
             fmt::format("Compacted topic cannot accept message without key in topic partition {}",
                         name_of(rules)));
  else if (rules.timestamp_type == TimestampType::kCreateTime && record.timestamp != kNoTimestamp)
    check_timestamp(record, index, rules, walk);
  else if (walk.stamped_by_client)
    walk.add_timestamp(index, "Producer should not set timestamp type to LogAppendTime.");
}

std::expected<Walk, ProduceError> walk_records(const BatchView& batch, const ProduceRules& rules,
                                               ReadScratch& scratch) {
  auto reader = RecordReader::open(batch, scratch, rules.max_decompressed);
  if (!reader) {
    const bool too_large = reader.error().code == Errc::kLimit;
    return refuse(
        too_large ? ProduceErrorCode::kMessageTooLarge : ProduceErrorCode::kUnknownServerError,
        reader.error().message);
  }
  Walk walk{.uncompressed_bytes = reader->uncompressed_bytes(),
            .stamped_by_client = batch.header().timestamp_type() == TimestampType::kLogAppendTime};
  RecordView record;
  for (int32_t index = 0;; ++index) {
    auto more = reader->next(record);
    if (!more) return refuse(ProduceErrorCode::kInvalidRecord, more.error().message);
    if (!*more) break;
    if (record.offset - batch.base_offset() != index)
      return refuse(ProduceErrorCode::kInvalidRecord,
                    fmt::format("record {} has the offset delta {}", index,
                                record.offset - batch.base_offset()));
    check_record(record, index, rules, walk);
  }
  return walk;
}

Failure refuse_records(Walk walk) {
  ProduceError error{.code = walk.timestamp_refused ? ProduceErrorCode::kInvalidTimestamp
                                                    : ProduceErrorCode::kInvalidRecord};
  if (walk.timestamp_refused) {
    error.detail = "One or more records have been rejected due to invalid timestamp";
  } else {
    std::string shown;
    for (size_t i = 0; i < std::min(kShownErrors, walk.errors.size()); ++i)
      shown += fmt::format("{}RecordError(batchIndex={}, message='{}')", i ? ", " : "",
                           walk.errors[i].batch_index, walk.errors[i].message);
    error.detail = fmt::format(
        "One or more records have been rejected due to {} record errors in total, and only "
        "showing the first three errors at most: [{}]",
        walk.errors.size(), shown);
  }
  error.error_message = error.detail;
  error.record_errors = std::move(walk.errors);
  return Failure(std::move(error));
}

// The same records under the topic's codec.
ByteBuffer recompress(const BatchView& batch, const ProduceRules& rules, ReadScratch& scratch) {
  const BatchHeader& header = batch.header();
  BatchBuilder builder({.leader_epoch = rules.leader_epoch,
                        .codec = *rules.target_codec,
                        .level = rules.target_level,
                        .timestamp_type = rules.timestamp_type,
                        .log_append_time = rules.now,
                        .producer_id = header.producer_id,
                        .producer_epoch = header.producer_epoch,
                        .base_sequence = header.base_sequence,
                        .transactional = header.attributes.transactional(),
                        .control = header.attributes.control()});
  auto reader = RecordReader::open(batch, scratch, rules.max_decompressed);
  RecordView record;
  std::vector<HeaderView> headers;
  while (*reader->next(record)) {  // walked once already: it cannot fail
    headers.clear();
    for (const HeaderView& each : record.headers) headers.push_back(each);
    builder.append({.timestamp = record.timestamp,
                    .key = record.key,
                    .value = record.value,
                    .headers = headers});
  }
  return std::move(builder).build();
}

}  // namespace

std::optional<ProduceError> request_problem(ByteView records) {
  auto batch = single_batch(records);
  if (batch || !batch.error().whole_request) return std::nullopt;
  return std::move(batch).error();
}

std::expected<ValidatedBatch, ProduceError> validate_produce(MutableByteView records,
                                                             const ProduceRules& rules,
                                                             ReadScratch& scratch) {
  auto batch = single_batch(records);
  if (!batch) {
    batch.error().before_log = true;
    return Failure(std::move(batch).error());
  }
  records = records.first(batch->size_in_bytes());
  if (auto checked = check_batch(*batch, rules); !checked)
    return Failure(std::move(checked).error());
  auto walk = walk_records(*batch, rules, scratch);
  if (!walk) return Failure(std::move(walk).error());
  if (!walk->errors.empty()) return refuse_records(std::move(*walk));

  const bool stamped = rules.timestamp_type == TimestampType::kLogAppendTime;
  const TimestampMs max_timestamp = stamped ? rules.now : walk->max_timestamp;
  ValidatedBatch result{.batch = *batch,
                        .bytes = records,
                        .rebuilt = {},
                        .log_append_time = stamped ? rules.now : kNoTimestamp,
                        .max_timestamp = max_timestamp,
                        .offset_delta_of_max_timestamp = walk->offset_of_max_timestamp,
                        .uncompressed_bytes = walk->uncompressed_bytes};
  const auto codec = static_cast<Codec>(batch->header().attributes.codec_id());
  if (rules.target_codec && *rules.target_codec != codec) {
    result.rebuilt = recompress(*batch, rules, scratch);
    if (std::cmp_greater(result.rebuilt.size(), rules.max_message_bytes))
      return refuse_size(result.rebuilt.size(), rules);
    result.bytes = result.rebuilt;
  } else {
    patch_max_timestamp(records, rules.timestamp_type, max_timestamp);
    patch_leader_epoch(records, rules.leader_epoch);
  }
  result.batch = *BatchView::parse(result.bytes);
  return result;
}

}  // namespace millrace::record
