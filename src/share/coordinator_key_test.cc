#include "share/coordinator_key.h"

#include <gtest/gtest.h>

namespace millrace::share {
namespace {

const std::string kTopic = "lSbourpzTEiRpI-Y56mksA";

TEST(CoordinatorKey, is_read_as_it_is_written) {
  const SharePartitionKey key{"g", *Uuid::parse(kTopic), PartitionIndex(12)};
  EXPECT_EQ(coordinator_key(key), "g:" + kTopic + ":12");
  EXPECT_EQ(parse_coordinator_key(coordinator_key(key)), key);
}

TEST(CoordinatorKey, a_group_may_have_colons) {
  for (const std::string group : {"a:b", ":a", "a:", "a: :b", "a::b"}) {
    const auto key = parse_coordinator_key(group + ":" + kTopic + ":0");
    ASSERT_TRUE(key) << group;
    EXPECT_EQ(key->group, group);
  }
}

TEST(CoordinatorKey, numbers_are_those_that_java_reads) {
  const auto partition = [](const std::string& text) {
    const auto key = parse_coordinator_key("g:" + kTopic + ":" + text);
    return key ? std::to_string(key->partition.value()) : "none";
  };
  EXPECT_EQ(partition("+7"), "7");
  EXPECT_EQ(partition("007"), "7");
  EXPECT_EQ(partition("-1"), "-1");
  EXPECT_EQ(partition("2147483647"), "2147483647");
  EXPECT_EQ(partition("7::"), "7") << "Java drops empty pieces at the end";
  for (const char* wrong : {"2147483648", "", "+", "-", "+-1", "1 ", " 1", "1x", "0x1", "1.0"})
    EXPECT_EQ(partition(wrong), "none") << wrong;
}

TEST(CoordinatorKey, what_is_none_is_refused) {
  for (const std::string& wrong :
       {std::string(""), std::string(":"), std::string("::"), std::string("g"), "g:" + kTopic,
        kTopic + ":0", ":" + kTopic + ":0", " \t:" + kTopic + ":0", std::string("g:short:0"),
        "g:" + kTopic + "A:0", std::string("g::0")})
    EXPECT_FALSE(parse_coordinator_key(wrong)) << wrong;
}

}  // namespace
}  // namespace millrace::share
