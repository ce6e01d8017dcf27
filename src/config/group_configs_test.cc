#include "config/group_configs.h"

#include <gtest/gtest.h>

namespace millrace::config {
namespace {

using To = OffsetReset::To;

TEST(OffsetReset, is_a_place_or_an_age) {
  EXPECT_EQ(parse_offset_reset("latest")->to, To::kLatest);
  EXPECT_EQ(parse_offset_reset("earliest")->to, To::kEarliest);
  auto age = [](const std::string& duration) {
    const auto reset = parse_offset_reset("by_duration:" + duration);
    EXPECT_TRUE(reset && reset->to == To::kAge) << duration;
    return reset ? reset->age : milliseconds(-1);
  };
  EXPECT_EQ(age("PT1H"), milliseconds(3'600'000));
  EXPECT_EQ(age("P2D"), milliseconds(172'800'000));
  EXPECT_EQ(age("P2DT3H4M5.5S"), milliseconds(183'845'500));
  EXPECT_EQ(age("pt10m"), milliseconds(600'000));
  EXPECT_EQ(age("PT0.250S"), milliseconds(250));
  EXPECT_EQ(age("PT+2M-30S"), milliseconds(90'000));
  EXPECT_EQ(age("-PT-1M"), milliseconds(60'000));
}

TEST(OffsetReset, nothing_else_is_one) {
  for (const char* text : {"",
                           "none",
                           "LATEST",
                           "by_duration",
                           "by_duration:",
                           "by_duration:P",
                           "by_duration:PT",
                           "by_duration:P1DT",
                           "by_duration:1H",
                           "by_duration:P1H",
                           "by_duration:PT1D",
                           "by_duration:PT1S1H",
                           "by_duration:PT1.5H",
                           "by_duration:PT1S ",
                           "by_duration:PT0.1234567890S",
                           "by_duration:PTS",
                           "by_duration:-PT1M",
                           "by_duration:PT-1M",
                           "by_duration:PT99999999999999999999S",
                           "by_duration:P9223372036854775807D"})
    EXPECT_FALSE(parse_offset_reset(text)) << text;
}

TEST(GroupNumber, is_held_to_bounds_that_became_narrower) {
  auto values = NodeProperties::embedded_default();
  values["group.share.max.session.timeout.ms"] = "50000";
  const auto node = NodeProperties::of(std::move(values));
  ASSERT_TRUE(node.has_value());
  const Values group{{"share.session.timeout.ms", " 55000"}, {"consumer.session.timeout.ms", "1"}};
  EXPECT_EQ(group_number(group, "share.session.timeout.ms", *node), 50'000);
  EXPECT_EQ(group_number(group, "consumer.session.timeout.ms", *node), 45'000);
  EXPECT_EQ(group_number(group, "share.heartbeat.interval.ms", *node), std::nullopt);
}

}  // namespace
}  // namespace millrace::config
