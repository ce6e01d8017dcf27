#include "wire/reader.h"

#include <gtest/gtest.h>

#include "wire/api_table.h"
#include "wire/api_versions.h"
#include "wire/codec.h"
#include "wire/create_topics.h"
#include "wire/errors.h"
#include "wire/fetch.h"
#include "wire/headers.h"

namespace millrace::wire {
namespace {

ByteBuffer bytes_of(std::initializer_list<int> values) {
  ByteBuffer bytes;
  for (int value : values) bytes.push_back(static_cast<uint8_t>(value));
  return bytes;
}

TEST(Reader, refuses_a_value_cut_short) {
  const auto bytes = bytes_of({0, 0, 1});
  Reader reader(bytes);
  EXPECT_EQ(reader.int32("X.Count"), 0);
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.status().error().code, Errc::kTruncated);
  EXPECT_NE(reader.status().error().message.find("X.Count"), std::string::npos);
}

TEST(Reader, refuses_a_length_longer_than_the_bytes_that_are_left) {
  const auto bytes = bytes_of({0x7F, 0xFF, 'a'});
  Reader reader(bytes);
  EXPECT_EQ(reader.string("X.Name", false), "");
  EXPECT_EQ(reader.status().error().code, Errc::kTruncated);
}

TEST(Reader, refuses_negative_lengths_and_null_where_there_must_be_a_value) {
  for (auto bytes : {bytes_of({0xFF, 0xFE}), bytes_of({0xFF, 0xFF})}) {
    Reader reader(bytes);
    reader.string("X.Name", false);
    EXPECT_EQ(reader.status().error().code, Errc::kCorrupt);
  }
}

TEST(Reader, refuses_a_string_that_is_too_long_for_where_its_length_is_not_compact) {
  for (const size_t size : {32'767u, 32'768u}) {
    Writer writer;
    writer.string(std::string(size, 'x'), true);
    const ByteBuffer bytes = std::move(writer).take();
    Reader reader(bytes);
    EXPECT_EQ(reader.string("Name", true).size(), size <= 32'767 ? size : 0);
    EXPECT_EQ(reader.status().has_value(), size <= 32'767);
  }
}

TEST(Reader, refuses_a_varint_of_more_than_32_bits) {
  const auto bytes = bytes_of({0xFF, 0xFF, 0xFF, 0xFF, 0x1F});
  Reader reader(bytes);
  reader.uvarint("X.Count");
  EXPECT_EQ(reader.status().error().code, Errc::kCorrupt);
}

TEST(Reader, keeps_the_first_error) {
  const auto bytes = bytes_of({0xFF, 0xFE});
  Reader reader(bytes);
  reader.string("X.First", false);
  reader.int64("X.Second");
  EXPECT_NE(reader.status().error().message.find("X.First"), std::string::npos);
}

TEST(Reader, refuses_a_count_that_would_take_more_memory_than_the_budget) {
  ByteBuffer bytes(1'000'000);
  store_big<int32_t>(bytes.data(), 900'000);
  Reader reader(bytes, {.base_bytes = 1024, .bytes_per_input_byte = 1});
  EXPECT_EQ(reader.array("X.Items", false, false, 200), 0u);
  EXPECT_EQ(reader.status().error().code, Errc::kLimit);
}

TEST(Reader, a_huge_count_in_a_small_message_is_refused_before_anything_is_allocated) {
  const auto bytes = bytes_of({0x7F, 0xFF, 0xFF, 0xFF});
  EXPECT_EQ(decode<CreateTopicsRequest>(bytes, 2).error().code, Errc::kTruncated);
}

TEST(TagReader, keeps_an_unknown_tag_and_writes_it_again) {
  // ApiVersionsResponse 3 with only a tag 9 that nobody knows.
  const auto bytes = bytes_of({0, 0, 1, 0, 0, 0, 0, 1, 9, 2, 0xAB, 0xCD});
  auto response = decode<ApiVersionsResponse>(bytes, 3);
  ASSERT_TRUE(response.has_value()) << response.error().to_string();
  ASSERT_EQ(response->unknown_tags.size(), 1u);
  EXPECT_EQ(response->unknown_tags[0].tag, 9u);
  EXPECT_EQ(*encode(*response, 3), bytes);
}

TEST(TagReader, refuses_a_tagged_field_that_does_not_use_the_size_it_says) {
  // Tag 1 (an int64) of ApiVersionsResponse with nine bytes.
  const auto bytes = bytes_of({0, 0, 1, 0, 0, 0, 0, 1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 1, 7});
  EXPECT_EQ(decode<ApiVersionsResponse>(bytes, 3).error().code, Errc::kCorrupt);
}

TEST(TagReader, a_failure_inside_a_tag_fails_the_message) {
  const auto bytes = bytes_of({0, 0, 1, 0, 0, 0, 0, 1, 1, 4, 0, 0, 0, 0});
  EXPECT_EQ(decode<ApiVersionsResponse>(bytes, 3).error().code, Errc::kTruncated);
}

TEST(Decode, every_truncation_of_a_message_is_an_error_or_a_shorter_message_and_never_a_crash) {
  CreateTopicsRequest request;
  request.topics.push_back({.name = "orders",
                            .num_partitions = 3,
                            .replication_factor = 1,
                            .assignments = {},
                            .configs = {{.name = "a", .value = "b"}}});
  for (int16_t version = 2; version <= 7; ++version) {
    const auto bytes = *encode(request, version);
    ASSERT_EQ(*decode<CreateTopicsRequest>(bytes, version), request);
    for (size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(
          decode<CreateTopicsRequest>(ByteView(bytes).subspan(0, size), version).has_value());
  }
}

TEST(Encode, a_value_without_a_place_in_the_version_is_an_error_unless_it_may_be_ignored) {
  FetchRequest request;
  request.replica_state.replica_id = 5;  // exists from version 15
  auto encoded = encode(request, 12);
  ASSERT_FALSE(encoded.has_value());
  EXPECT_EQ(encoded.error().code, Errc::kUnsupported);
  EXPECT_TRUE(encode(request, 15).has_value());
}

TEST(Writer, leaves_external_records_out_and_says_where_they_go) {
  FetchResponse response;
  auto& partition = response.responses.emplace_back().partitions.emplace_back();
  partition.records = Records::external(7, 1000);
  Writer writer;
  write(writer, 12, response);
  ASSERT_EQ(writer.external_pieces().size(), 1u);
  EXPECT_EQ(writer.external_pieces()[0].id, 7u);
  EXPECT_EQ(writer.external_pieces()[0].size, 1000u);
  EXPECT_EQ(writer.total_size(), writer.buffer().size() + 1000);
}

TEST(RequestHeader, the_client_id_stays_inflexible_in_version_2) {
  RequestHeader header;
  header.request_api_key = 18;
  header.client_id = "me";
  EXPECT_EQ(*encode(header, 2), bytes_of({0, 18, 0, 0, 0, 0, 0, 0, 0, 2, 'm', 'e', 0}));
}

TEST(ApiTable, knows_every_api_and_its_header_versions) {
  EXPECT_EQ(all_apis().size(), 89u);
  const ApiInfo* versions = find_api(18);
  EXPECT_EQ(request_header_version(*versions, 3), 2);
  EXPECT_EQ(response_header_version(*versions, 3), 0);
  EXPECT_EQ(response_header_version(*find_api(0), 9), 1);
  EXPECT_EQ(find_api(4), nullptr);
}

TEST(ErrorCode, has_its_name_and_whether_to_retry) {
  EXPECT_EQ(error_name(ErrorCode::kNotLeaderOrFollower), "NOT_LEADER_OR_FOLLOWER");
  EXPECT_TRUE(is_retriable(ErrorCode::kNotLeaderOrFollower));
  EXPECT_FALSE(is_retriable(ErrorCode::kInvalidRequest));
  EXPECT_EQ(error_name(static_cast<ErrorCode>(9999)), "UNKNOWN");
}

}  // namespace
}  // namespace millrace::wire
