#include <gtest/gtest.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/probe.h"
#include "base/time.h"

namespace millrace {
namespace {

TEST(Crc32c, of_the_check_string_is_the_published_value) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);
}

TEST(Crc32c, of_two_pieces_equals_that_of_the_whole) {
  EXPECT_EQ(crc32c(as_bytes("56789"), crc32c(as_bytes("1234"))), crc32c(as_bytes("123456789")));
}

TEST(Uuid, prints_and_parses_as_kafka_does) {
  Uuid id = Uuid::of_words({0x0123456789abcdefULL, 0xfedcba9876543210ULL});
  EXPECT_EQ(Uuid::parse(id.to_string()), id);
  EXPECT_EQ(Uuid::zero().to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_FALSE(Uuid::parse("short").has_value());
  EXPECT_FALSE(Uuid::parse("AAAAAAAAAAAAAAAAAAAA!A").has_value());
}

TEST(Uuid, random_ones_are_version_4) {
  Uuid id = Uuid::from_random({~0ULL, ~0ULL});
  EXPECT_EQ(id.bytes[6] >> 4, 4);
  EXPECT_EQ(id.bytes[8] >> 6, 2);
}

TEST(Hash, murmur2_of_the_empty_key_is_kafkas) {
  EXPECT_EQ(murmur2({}), 275646681);
  EXPECT_EQ(murmur2(as_bytes("a")), -1563381124);
  EXPECT_EQ(murmur2(as_bytes("abc")), 479470107);
}

TEST(Hash, java_string_hash_counts_utf16_units) {
  EXPECT_EQ(java_string_hash("hello"), 99162322);
  EXPECT_EQ(java_string_hash("\xF0\x9D\x84\x9E"), 31 * 0xD834 + 0xDD1E);
}

TEST(StrongInt, a_difference_that_does_not_fit_is_at_the_bounds) {
  EXPECT_EQ(Offset(5) - Offset(7), -2);
  EXPECT_EQ(Offset(5) - Offset(INT64_MIN), INT64_MAX);
  EXPECT_EQ(Offset(INT64_MIN) - Offset(5), INT64_MIN);
}

TEST(StrongInt, prints_as_its_number) { EXPECT_EQ(fmt::format("{}", Offset{42}), "42"); }

TEST(Bytes, load_gives_back_what_store_wrote) {
  uint8_t buffer[8];
  store_big<int64_t>(buffer, -2);
  EXPECT_EQ(load_big<int64_t>(buffer), -2);
  EXPECT_EQ(buffer[0], 0xFF);
}

TEST(AssertDeathTest, prints_condition_and_values) {
  EXPECT_DEATH(ASSERT(1 == 2, "one is {}", 1), "1 == 2.*one is 1");
}

}  // namespace
}  // namespace millrace
