#include "quota/windows.h"

#include <gtest/gtest.h>

namespace millrace::quota {
namespace {

constexpr Windows kEleven{.count = 11, .length_ms = 1000};

TEST(Rate, counts_what_is_recorded_over_ten_windows_at_least) {
  Rate rate(kEleven);
  rate.record(1000, 0);
  EXPECT_DOUBLE_EQ(rate.measure(0), 100);
  rate.record(1000, 500);
  EXPECT_DOUBLE_EQ(rate.measure(500), 2000 / 10.5) << "the window that has begun counts in part";
}

TEST(Rate, of_ten_whole_windows_and_one_that_has_begun) {
  Rate rate(kEleven);
  for (int64_t now = 0; now <= 10'500; now += 500) rate.record(50, now);
  EXPECT_DOUBLE_EQ(rate.measure(10'500), 22 * 50 / 10.5);
}

TEST(Rate, forgets_a_sample_when_nothing_was_recorded_in_it_for_all_windows) {
  Rate rate(kEleven);
  rate.record(1000, 0);
  EXPECT_DOUBLE_EQ(rate.measure(10'999), 1000 / 10.999);
  EXPECT_DOUBLE_EQ(rate.measure(11'000), 0);
  EXPECT_TRUE(rate.is_idle(1, 11'000));
}

TEST(Rate, a_sample_that_overlaps_the_oldest_window_is_kept_whole) {
  Rate rate(kEleven);
  rate.record(600, 0);
  rate.record(600, 900);  // of the same sample
  rate.record(1, 11'500);
  EXPECT_DOUBLE_EQ(rate.measure(11'500), 1201 / 11.5);
}

TEST(Rate, waits_until_the_rate_has_come_down_to_the_bound) {  // Kafka's ClientQuotaManagerTest
  Rate rate(kEleven);
  for (int64_t i = 0; i < 10; ++i) rate.record(400, i * 1000);
  EXPECT_EQ(rate.throttle_ms(500, 9'000), 0);
  // 10.5 windows: 400 * 10 + 2300 = 6300 in 10.5 s are 600 a second, over 500 by a fifth.
  rate.record(2300, 10'500);
  EXPECT_EQ(rate.throttle_ms(500, 10'500), 2100);
  // The two oldest samples have left by then, and the time that they covered: 5500 in 10.6 s.
  EXPECT_EQ(rate.throttle_ms(500, 12'600), 400);
  EXPECT_EQ(rate.throttle_ms(500, 14'000), 0);
}

TEST(Rate, one_window_alone_is_a_millisecond_long_at_least) {
  Rate rate({.count = 1, .length_ms = 1000});
  rate.record(1, 7);
  EXPECT_DOUBLE_EQ(rate.measure(7), 1000);
}

TEST(Rate, what_is_taken_back_leaves_nothing) {
  Rate rate(kEleven);
  rate.record(500, 0);
  rate.record(-500, 0);
  EXPECT_DOUBLE_EQ(rate.measure(0), 0);
}

TEST(TokenBucket, is_full_at_first_and_spends_a_burst_at_once) {  // KIP-599
  TokenBucket bucket(kEleven);
  EXPECT_DOUBLE_EQ(bucket.measure(2, 0), 22);
  bucket.take(30, 2, 0);
  EXPECT_DOUBLE_EQ(bucket.measure(2, 0), -8);
  EXPECT_EQ(bucket.throttle_ms(2, 0), 4000);
  EXPECT_EQ(bucket.throttle_ms(2, 4000), 0);
  EXPECT_DOUBLE_EQ(bucket.measure(2, 4000), 0);
}

TEST(TokenBucket, never_holds_more_than_a_burst) {
  TokenBucket bucket(kEleven);
  bucket.take(1, 2, 0);
  EXPECT_FALSE(bucket.is_idle(2, 499));
  EXPECT_TRUE(bucket.is_idle(2, 500));
  EXPECT_DOUBLE_EQ(bucket.measure(2, 1'000'000), 22);
  EXPECT_DOUBLE_EQ(bucket.measure(1, 1'000'000), 11) << "the quota was lowered";
}

TEST(Samples, average_of_what_is_not_forgotten) {
  Samples samples({.count = 2, .length_ms = 30'000});
  EXPECT_DOUBLE_EQ(samples.average(0), 0);
  samples.record(10, 0);
  samples.record(20, 31'000);
  EXPECT_DOUBLE_EQ(samples.average(31'000), 15);
  EXPECT_DOUBLE_EQ(samples.average(60'000), 20);
}

}  // namespace
}  // namespace millrace::quota
