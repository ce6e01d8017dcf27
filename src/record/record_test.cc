#include "record/record.h"

#include <gtest/gtest.h>

#include "record/builder.h"
#include "record/control.h"
#include "record/produce_validation.h"

namespace millrace::record {
namespace {

ByteBuffer sample_batch(BatchOptions options = {}, int records = 3) {
  BatchBuilder builder(options);
  for (int i = 0; i < records; ++i) {
    const std::string value = "value-" + std::to_string(i);
    builder.append(
        {.timestamp = TimestampMs(1000 + i), .key = as_bytes("key"), .value = as_bytes(value)});
  }
  return std::move(builder).build();
}

TEST(Compression, every_codec_gives_back_what_it_took) {
  const std::string text(300'000, 'x');
  for (Codec codec : {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    ByteBuffer packed, unpacked;
    compress(codec, level_range(codec).preset, as_bytes(text), packed);
    ASSERT_TRUE(decompress(codec, packed, text.size(), unpacked).has_value()) << codec_name(codec);
    EXPECT_EQ(as_text(unpacked), text);
  }
}

TEST(Compression, a_bomb_is_stopped_at_the_limit) {
  const ByteBuffer zeros(50'000'000);
  for (Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    ByteBuffer packed, unpacked;
    compress(codec, level_range(codec).preset, zeros, packed);
    auto result = decompress(codec, packed, 1'000'000, unpacked);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, Errc::kLimit) << codec_name(codec);
    EXPECT_LE(unpacked.size(), 1'000'000u);
  }
}

TEST(Compression, raw_snappy_is_read_too) {
  // "aaaa" as snappy itself frames it: length 4, literal of 4.
  const ByteBuffer raw = {4, 0x0C, 'a', 'a', 'a', 'a'};
  ByteBuffer unpacked;
  ASSERT_TRUE(decompress(Codec::kSnappy, raw, 100, unpacked).has_value());
  EXPECT_EQ(as_text(unpacked), "aaaa");
}

TEST(BatchIterator, refuses_a_batch_that_ends_before_it_begins) {
  ByteBuffer batch = sample_batch();
  constexpr size_t kLastOffsetDeltaAt = 23;
  store_big<int32_t>(batch.data() + kLastOffsetDeltaAt, -4);
  EXPECT_EQ(BatchIterator(batch).next().error().code, Errc::kCorrupt);
}

TEST(BatchIterator, tells_a_torn_tail_from_garbage) {
  const ByteBuffer batch = sample_batch();
  for (size_t cut = 0; cut < batch.size(); ++cut) {
    auto next = BatchIterator(ByteView(batch).first(cut)).next();
    ASSERT_TRUE(next.has_value()) << cut;
    EXPECT_FALSE(next->has_value());
  }
  ByteBuffer garbage(100, 0x7F);
  EXPECT_EQ(BatchIterator(garbage).next().error().code, Errc::kCorrupt);
}

TEST(BatchView, a_flipped_bit_anywhere_behind_the_crc_is_noticed) {
  const ByteBuffer batch = sample_batch();
  for (size_t at = 21; at < batch.size(); ++at) {
    ByteBuffer flipped = batch;
    flipped[at] ^= 1;
    EXPECT_FALSE(BatchView::parse(flipped)->verify_crc()) << at;
  }
}

TEST(Patch, offsets_and_epoch_leave_the_crc_alone_and_timestamps_renew_it) {
  ByteBuffer batch = sample_batch();
  patch_base_offset(batch, Offset(77));
  patch_leader_epoch(batch, LeaderEpoch(5));
  EXPECT_TRUE(BatchView::parse(batch)->verify_crc());
  patch_max_timestamp(batch, TimestampType::kLogAppendTime, TimestampMs(5000));
  auto view = *BatchView::parse(batch);
  EXPECT_TRUE(view.verify_crc());
  EXPECT_EQ(view.base_offset(), Offset(77));
  ReadScratch scratch;
  auto reader = *RecordReader::open(view, scratch, 1000);
  RecordView record;
  ASSERT_TRUE(*reader.next(record));
  EXPECT_EQ(record.timestamp, TimestampMs(5000));
}

TEST(RecordReader, every_truncation_of_the_payload_is_an_error) {
  const ByteBuffer batch = sample_batch();
  for (size_t cut = kBatchHeaderSize; cut < batch.size(); ++cut) {
    ByteBuffer shorter(batch.begin(), batch.begin() + static_cast<ptrdiff_t>(cut));
    store_big(shorter.data() + 8, static_cast<int32_t>(cut - kBatchOverhead));
    auto view = *BatchView::parse(shorter);
    ReadScratch scratch;
    auto reader = *RecordReader::open(view, scratch, 1000);
    RecordView record;
    Result<bool> more = true;
    while (more && *more) more = reader.next(record);
    EXPECT_FALSE(more.has_value()) << cut;
  }
}

TEST(ProduceValidation, an_accepted_batch_keeps_its_bytes) {
  ByteBuffer batch = sample_batch({.leader_epoch = LeaderEpoch(3)});
  const ByteBuffer before = batch;
  ReadScratch scratch;
  auto result =
      validate_produce(batch, {.now = TimestampMs(1000), .leader_epoch = LeaderEpoch(3)}, scratch);
  ASSERT_TRUE(result.has_value()) << result.error().detail;
  EXPECT_EQ(batch, before);
  EXPECT_EQ(result->max_timestamp, TimestampMs(1002));
}

TEST(ProduceValidation, a_compacted_topic_refuses_records_without_a_key_and_names_each) {
  BatchBuilder builder({});
  builder.append({.timestamp = TimestampMs(1), .key = as_bytes("k"), .value = as_bytes("v")});
  builder.append({.timestamp = TimestampMs(1), .value = as_bytes("v")});
  ByteBuffer batch = std::move(builder).build();
  ReadScratch scratch;
  auto result = validate_produce(batch, {.now = TimestampMs(1), .keys_required = true}, scratch);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ProduceErrorCode::kInvalidRecord);
  ASSERT_EQ(result.error().record_errors.size(), 1u);
  EXPECT_EQ(result.error().record_errors[0].batch_index, 1);
}

TEST(ProduceValidation, a_timestamp_too_far_ahead_is_refused) {
  ByteBuffer batch = sample_batch();
  ReadScratch scratch;
  auto result =
      validate_produce(batch, {.now = TimestampMs(0), .timestamp_after_max_ms = 500}, scratch);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ProduceErrorCode::kInvalidTimestamp);
  EXPECT_EQ(result.error().record_errors.size(), 3u);
}

TEST(ProduceValidation, log_append_time_stamps_the_batch) {
  ByteBuffer batch = sample_batch();
  ReadScratch scratch;
  auto result = validate_produce(
      batch, {.now = TimestampMs(9000), .timestamp_type = TimestampType::kLogAppendTime}, scratch);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->log_append_time, TimestampMs(9000));
  EXPECT_EQ(result->batch.header().max_timestamp, TimestampMs(9000));
  EXPECT_TRUE(result->batch.verify_crc());
}

TEST(ProduceValidation, recompresses_only_when_the_topics_codec_differs) {
  ByteBuffer batch = sample_batch({.codec = Codec::kGzip});
  ReadScratch scratch;
  ProduceRules rules{.now = TimestampMs(1000)};
  rules.target_codec = Codec::kGzip;
  EXPECT_TRUE(validate_produce(batch, rules, scratch)->rebuilt.empty());
  rules.target_codec = Codec::kZstd;
  auto rebuilt = validate_produce(batch, rules, scratch);
  ASSERT_TRUE(rebuilt.has_value());
  EXPECT_EQ(*rebuilt->batch.header().attributes.codec(), Codec::kZstd);
  EXPECT_TRUE(rebuilt->batch.verify_crc());
}

TEST(ProduceValidation, a_batch_is_held_to_the_message_size_again_after_recompression) {
  ByteBuffer batch = sample_batch({.codec = Codec::kZstd}, 200);
  ReadScratch scratch;
  ProduceRules rules{.now = TimestampMs(1000),
                     .max_message_bytes = static_cast<int64_t>(batch.size()),
                     .target_codec = Codec::kNone};
  auto result = validate_produce(batch, rules, scratch);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ProduceErrorCode::kMessageTooLarge);
}

TEST(ProduceValidation, sizes_at_the_limits_pass_and_one_byte_more_does_not) {
  const ByteBuffer batch = sample_batch();
  const auto size = static_cast<int64_t>(batch.size());
  ReadScratch scratch;
  auto code = [&](int64_t message, int64_t segment) {
    ByteBuffer copy = batch;
    auto result = validate_produce(
        copy, {.now = TimestampMs(1000), .max_message_bytes = message, .segment_bytes = segment},
        scratch);
    return result ? 0 : static_cast<int>(result.error().code);
  };
  EXPECT_EQ(code(size, size), 0);
  EXPECT_EQ(code(size - 1, size), static_cast<int>(ProduceErrorCode::kMessageTooLarge));
  EXPECT_EQ(code(size, size - 1), static_cast<int>(ProduceErrorCode::kRecordListTooLarge));
}

TEST(ProduceValidation, zstd_needs_produce_version_7) {
  const ByteBuffer batch = sample_batch({.codec = Codec::kZstd});
  ReadScratch scratch;
  ByteBuffer copy = batch;
  auto old = validate_produce(copy, {.api_version = 6, .now = TimestampMs(1000)}, scratch);
  ASSERT_FALSE(old.has_value());
  EXPECT_EQ(old.error().code, ProduceErrorCode::kUnsupportedCompressionType);
  EXPECT_TRUE(validate_produce(copy, {.api_version = 7, .now = TimestampMs(1000)}, scratch));
}

TEST(ProduceValidation, a_record_has_one_error_and_a_bad_timestamp_decides_the_code) {
  BatchBuilder builder({});
  builder.append({.timestamp = TimestampMs(9000), .value = as_bytes("no key, too far ahead")});
  builder.append({.timestamp = TimestampMs(9000), .key = as_bytes("k"), .value = as_bytes("v")});
  ByteBuffer batch = std::move(builder).build();
  ReadScratch scratch;
  auto result = validate_produce(
      batch, {.now = TimestampMs(0), .timestamp_after_max_ms = 500, .keys_required = true},
      scratch);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ProduceErrorCode::kInvalidTimestamp);
  EXPECT_EQ(result.error().record_errors.size(), 2u);
}

TEST(ProduceValidation, extreme_timestamps_wrap_instead_of_passing_by_overflow) {
  for (int64_t extreme : {INT64_MAX, INT64_MIN + 1}) {
    BatchBuilder builder({});
    builder.append({.timestamp = TimestampMs(extreme), .value = as_bytes("v")});
    ByteBuffer batch = std::move(builder).build();
    ReadScratch scratch;
    auto result = validate_produce(
        batch, {.now = TimestampMs(1000), .timestamp_before_max_ms = 1000}, scratch);
    ASSERT_FALSE(result.has_value()) << extreme;
    EXPECT_EQ(result.error().code, ProduceErrorCode::kInvalidTimestamp);
  }
}

TEST(ProduceValidation, a_client_may_not_stamp_log_append_time_where_the_broker_does) {
  ByteBuffer batch = sample_batch(
      {.timestamp_type = TimestampType::kLogAppendTime, .log_append_time = TimestampMs(1)});
  ReadScratch scratch;
  auto result = validate_produce(
      batch, {.now = TimestampMs(9000), .timestamp_type = TimestampType::kLogAppendTime}, scratch);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ProduceErrorCode::kInvalidTimestamp);
}

TEST(ProduceValidation, an_impossible_length_fails_the_whole_request) {
  ReadScratch scratch;
  for (int32_t length : {-1, 0, 13}) {
    ByteBuffer batch = sample_batch();
    store_big(batch.data() + 8, length);
    auto result = validate_produce(batch, {}, scratch);
    ASSERT_FALSE(result.has_value());
    EXPECT_TRUE(result.error().whole_request);
    EXPECT_EQ(result.error().code, ProduceErrorCode::kCorruptMessage);
  }
}

TEST(BatchView, offsets_beyond_64_bits_are_corrupt) {
  ByteBuffer batch = sample_batch();
  patch_base_offset(batch, Offset(INT64_MAX - 1));
  EXPECT_EQ(BatchView::parse(batch).error().code, Errc::kCorrupt);
  patch_base_offset(batch, Offset(INT64_MAX - 3));
  EXPECT_TRUE(BatchView::parse(batch).has_value());
}

TEST(ControlBatch, carries_its_type) {
  const ByteBuffer bytes = build_control_batch(
      {}, {.type = ControlType::kLeaderChange, .timestamp = TimestampMs(5), .value = {}});
  auto batch = *BatchView::parse(bytes);
  EXPECT_TRUE(batch.header().attributes.control());
  ReadScratch scratch;
  auto reader = *RecordReader::open(batch, scratch, 1000);
  RecordView record;
  ASSERT_TRUE(*reader.next(record));
  EXPECT_EQ(*parse_control_key(*record.key), ControlType::kLeaderChange);
}

}  // namespace
}  // namespace millrace::record
