// Record batches that Apache Kafka made, and broken ones with the error that its broker answered.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/testing/golden.h"
#include "record/builder.h"
#include "record/produce_validation.h"
#include "record/record.h"

namespace millrace::record {
namespace {

namespace json = boost::json;
using millrace::testing::from_hex;
using millrace::testing::golden_lines;
using millrace::testing::to_hex;

constexpr size_t kEnough = 64 << 20;

std::string text_of(const json::object& o, const char* key) {
  return std::string(o.at(key).as_string());
}

json::value hex_or_null(const std::optional<ByteView>& bytes) {
  return bytes ? json::value(to_hex(copy_of(*bytes))) : json::value(nullptr);
}

void expect_header(const BatchHeader& header, const json::object& stated) {
  EXPECT_EQ(header.magic, stated.at("magic").as_int64());
  EXPECT_EQ(header.size_in_bytes(), stated.at("size").as_int64());
  EXPECT_EQ(header.crc, stated.at("crc").as_int64());
  EXPECT_EQ(header.last_offset().value(), stated.at("last_offset").as_int64());
  EXPECT_EQ(header.max_timestamp.value(), stated.at("max_timestamp").as_int64());
  if (header.is_legacy()) return;
  EXPECT_EQ(header.base_offset.value(), stated.at("base_offset").as_int64());
  EXPECT_EQ(header.producer_id.value(), stated.at("producer_id").as_int64());
  EXPECT_EQ(header.producer_epoch.value(), stated.at("producer_epoch").as_int64());
  EXPECT_EQ(header.base_sequence.value(), stated.at("base_sequence").as_int64());
  EXPECT_EQ(header.last_sequence().value(), stated.at("last_sequence").as_int64());
  EXPECT_EQ(header.leader_epoch.value(), stated.at("partition_leader_epoch").as_int64());
  EXPECT_EQ(header.attributes.transactional(), stated.at("transactional").as_bool());
  EXPECT_EQ(header.attributes.control(), stated.at("control").as_bool());
  EXPECT_EQ(codec_name(*header.attributes.codec()), text_of(stated, "codec"));
}

void expect_record(const RecordView& record, const json::object& stated) {
  EXPECT_EQ(record.offset.value(), stated.at("offset").as_int64());
  EXPECT_EQ(record.timestamp.value(), stated.at("timestamp").as_int64());
  EXPECT_EQ(record.sequence.value(), stated.at("sequence").as_int64());
  EXPECT_EQ(hex_or_null(record.key), stated.at("key"));
  EXPECT_EQ(hex_or_null(record.value), stated.at("value"));
  EXPECT_EQ(static_cast<size_t>(record.headers.size()), stated.at("headers").as_array().size());
}

// Reads every record, and builds the batch again from them.
ByteBuffer read_and_rebuild(const BatchView& batch, const json::object& stated) {
  const BatchHeader& h = batch.header();
  BatchBuilder builder({.base_offset = h.base_offset,
                        .leader_epoch = h.leader_epoch,
                        .timestamp_type = h.timestamp_type(),
                        .log_append_time = h.max_timestamp,
                        .producer_id = h.producer_id,
                        .producer_epoch = h.producer_epoch,
                        .base_sequence = h.base_sequence,
                        .transactional = h.attributes.transactional(),
                        .control = h.attributes.control()});
  ReadScratch scratch;
  auto reader = RecordReader::open(batch, scratch, kEnough);
  EXPECT_TRUE(reader.has_value()) << reader.error().message;
  RecordView record;
  for (const auto& each : stated.at("records").as_array()) {
    auto more = reader->next(record);
    EXPECT_TRUE(more.has_value() && *more) << more.error().message;
    expect_record(record, each.as_object());
    std::vector<HeaderView> headers;
    for (const HeaderView& header : record.headers) headers.push_back(header);
    builder.append_at(record.offset, {record.timestamp, record.key, record.value, headers});
  }
  EXPECT_EQ(reader->next(record), false);
  return std::move(builder).build();
}

TEST(GoldenBatches, are_read_as_apache_kafka_reads_them) {
  int compressed = 0, rebuilt = 0, legacy = 0;
  for (const auto& line : golden_lines("batches.jsonl")) {
    const auto vector = json::parse(line).as_object();
    SCOPED_TRACE(text_of(vector, "case"));
    const auto bytes = from_hex(text_of(vector, "hex"));
    BatchIterator batches(bytes);
    for (const auto& each : vector.at("batches").as_array()) {
      auto batch = batches.next();
      ASSERT_TRUE(batch.has_value() && *batch);
      EXPECT_TRUE((*batch)->verify_crc());
      if ((*batch)->header().is_legacy()) {
        ++legacy;
        continue;
      }
      expect_header((*batch)->header(), each.as_object());
      const ByteBuffer again = read_and_rebuild(**batch, each.as_object());
      const BatchHeader& h = (*batch)->header();
      compressed += h.attributes.compressed();
      // What compression, compaction and log append time hide cannot be built again.
      if (h.attributes.compressed() || h.record_count != h.last_offset_delta + 1 ||
          h.attributes.has_delete_horizon() || h.timestamp_type() == TimestampType::kLogAppendTime)
        continue;
      EXPECT_EQ(to_hex(again), to_hex(copy_of((*batch)->bytes())));
      ++rebuilt;
    }
    EXPECT_EQ(batches.remaining(), 0u);
  }
  EXPECT_GT(compressed, 10);
  EXPECT_GT(rebuilt, 10);
  EXPECT_GT(legacy, 0);
}

TEST(GoldenBatches, broken_ones_get_the_error_that_apache_kafkas_broker_answered) {
  int seen = 0;
  for (const auto& line : golden_lines("batches_bad.jsonl")) {
    const auto vector = json::parse(line).as_object();
    SCOPED_TRACE(text_of(vector, "case"));
    auto bytes = from_hex(text_of(vector, "hex"));
    ReadScratch scratch;
    const TopicPartition partition{"t", PartitionIndex(0)};
    auto result = validate_produce(bytes,
                                   {.partition = &partition,
                                    .api_version = 8,
                                    .now = TimestampMs(1'760'000'000'000),
                                    .max_decompressed = kEnough},
                                   scratch);
    const int64_t code = result ? 0 : static_cast<int64_t>(result.error().code);
    EXPECT_EQ(code, vector.at("broker_error_code").as_int64())
        << (result ? "" : result.error().detail);
    if (!result)
      EXPECT_EQ(result.error().error_message.has_value(), vector.at("error_message").as_bool());
    ++seen;
  }
  EXPECT_EQ(seen, 30);
}

}  // namespace
}  // namespace millrace::record
