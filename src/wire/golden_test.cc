// Every golden message vector: decoding its bytes gives the stated fields, encoding those gives the
// bytes again.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <functional>
#include <map>

#include "base/hash.h"
#include "base/testing/golden.h"
#include "wire/all_messages.h"
#include "wire/codec.h"
#include "wire/metadata_record.h"

namespace millrace::wire {
namespace {

namespace json = boost::json;
using millrace::testing::from_hex;
using millrace::testing::golden_lines;
using millrace::testing::to_hex;

struct Outcome {
  std::string json;
  std::string encoded_hex;
};
using Check = std::function<Result<Outcome>(ByteView bytes, int16_t version)>;

template <class Message>
Result<Outcome> check_message(ByteView bytes, int16_t version) {
  ASSIGN_OR_RETURN(Message message, decode<Message>(bytes, version));
  ASSIGN_OR_RETURN(ByteBuffer again, encode(message, version));
  return Outcome{to_json(version, message), to_hex(again)};
}

const std::map<std::string, Check, std::less<>>& checks() {
#define X(Name) {#Name, check_message<Name>},
  static const std::map<std::string, Check, std::less<>> all = {MILLRACE_FOR_EACH_MESSAGE(X)};
#undef X
  return all;
}

std::string text_of(const json::object& vector, const char* key) {
  return std::string(vector.at(key).as_string());
}

// A tagged field at its default is not on the wire; some vectors state it all the same.
bool may_be_left_out(const json::value& value) {
  return value.is_null() || value == json::value(false) || value == json::value(INT64_MAX);
}

bool same(const json::value& ours, const json::value& stated);

bool same(const json::object& ours, const json::object& stated) {
  for (const auto& [name, value] : ours)
    if (!stated.contains(name) || !same(value, stated.at(name))) return false;
  for (const auto& [name, value] : stated)
    if (!ours.contains(name) && !may_be_left_out(value)) return false;
  return true;
}

bool same(const json::value& ours, const json::value& stated) {
  if (ours.is_object() && stated.is_object()) return same(ours.as_object(), stated.as_object());
  if (ours.is_number() && stated.is_double()) return ours.to_number<double>() == stated.as_double();
  if (!ours.is_array() || !stated.is_array()) return ours == stated;
  const auto &a = ours.as_array(), &b = stated.as_array();
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return same(x, y); });
}

void check_vector(const json::object& vector) {
  SCOPED_TRACE(text_of(vector, "name") + " v" + std::to_string(vector.at("version").as_int64()) +
               " " + text_of(vector, "case"));
  auto check = checks().find(text_of(vector, "name"));
  ASSERT_NE(check, checks().end());
  const auto version = static_cast<int16_t>(vector.at("version").as_int64());
  auto outcome = check->second(from_hex(text_of(vector, "hex")), version);
  ASSERT_TRUE(outcome.has_value()) << outcome.error().to_string();
  EXPECT_EQ(outcome->encoded_hex, text_of(vector, "hex"));
  EXPECT_TRUE(same(json::parse(outcome->json), vector.at("json"))) << outcome->json;
}

class GoldenMessages : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenMessages, decode_and_encode_as_apache_kafka_does) {
  for (const auto& line : golden_lines(GetParam())) check_vector(json::parse(line).as_object());
}

INSTANTIATE_TEST_SUITE_P(All, GoldenMessages,
                         ::testing::Values("messages/wire.jsonl", "messages/metadata.jsonl",
                                           "messages/raft.jsonl", "messages/group.jsonl",
                                           "messages/transaction.jsonl", "messages/share.jsonl",
                                           "messages/storage.jsonl"));

TEST(GoldenFrames, metadata_records_stand_in_their_frame) {
  for (const auto& line : golden_lines("messages/metadata.jsonl")) {
    const auto vector = json::parse(line).as_object();
    const auto framed = from_hex(text_of(vector, "framed"));
    auto record = decode_metadata_record(framed);
    ASSERT_TRUE(record.has_value()) << record.error().to_string();
    EXPECT_EQ(record_name(*record), text_of(vector, "name"));
    const auto version = static_cast<int16_t>(vector.at("version").as_int64());
    EXPECT_EQ(to_hex(encode_metadata_record(*record, version)), text_of(vector, "framed"));
  }
}

TEST(GoldenFrames, coordinator_keys_carry_their_type_and_values_their_version) {
  for (const auto* file :
       {"messages/group.jsonl", "messages/transaction.jsonl", "messages/share.jsonl"})
    for (const auto& line : golden_lines(file)) {
      const auto vector = json::parse(line).as_object();
      const bool is_key = text_of(vector, "type") == "coordinator-key";
      Writer writer;
      writer.int16(static_cast<int16_t>(vector.at(is_key ? "key" : "version").as_int64()));
      EXPECT_EQ(to_hex(writer.buffer()) + text_of(vector, "hex"), text_of(vector, "framed"));
    }
}

TEST(GoldenFunctions, murmur2_and_the_partition_of_a_key) {
  int seen = 0;
  for (const auto& line : golden_lines("functions.jsonl")) {
    const auto vector = json::parse(line).as_object();
    if (vector.at("function").as_string() != "murmur2") continue;
    const auto key = from_hex(text_of(vector, "in"));
    EXPECT_EQ(murmur2(key), vector.at("out").as_int64());
    for (const auto& [count, partition] : vector.at("partition_of").as_object())
      EXPECT_EQ(partition_of_key(key, std::stoi(std::string(count))), partition.as_int64());
    ++seen;
  }
  EXPECT_GT(seen, 50);
}

TEST(GoldenFunctions, java_string_hash_and_the_coordinators_partition) {
  int seen = 0;
  for (const auto& line : golden_lines("functions.jsonl")) {
    const auto vector = json::parse(line).as_object();
    if (vector.at("function").as_string() != "coordinator_partition") continue;
    const auto key = text_of(vector, "in");
    EXPECT_EQ(java_string_hash(key), vector.at("java_hash").as_int64());
    for (const auto& [count, partition] : vector.at("partition_of").as_object())
      EXPECT_EQ(coordinator_partition(key, std::stoi(std::string(count))), partition.as_int64());
    ++seen;
  }
  EXPECT_GT(seen, 5);
}

TEST(GoldenFunctions, uuids_and_unsigned_varints) {
  int seen = 0;
  for (const auto& line : golden_lines("functions.jsonl")) {
    const auto vector = json::parse(line).as_object();
    if (vector.at("function").as_string() == "uuid") {
      Uuid id;
      std::ranges::copy(from_hex(text_of(vector, "in")), id.bytes.begin());
      EXPECT_EQ(id.to_string(), text_of(vector, "out"));
      ++seen;
    } else if (vector.at("function").as_string() == "varint") {
      Writer writer;
      writer.uvarint(static_cast<uint32_t>(vector.at("in").as_int64()));
      EXPECT_EQ(to_hex(writer.buffer()), text_of(vector, "unsigned"));
      ++seen;
    }
  }
  EXPECT_GT(seen, 30);
}

}  // namespace
}  // namespace millrace::wire
