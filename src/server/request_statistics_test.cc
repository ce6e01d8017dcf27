#include "server/request_statistics.h"

#include <gtest/gtest.h>

namespace millrace::server {
namespace {

using std::chrono::microseconds;

TEST(DurationHistogram, a_quantile_is_at_most_a_quarter_too_long) {
  for (const int64_t us : {1, 3, 4, 5, 7, 100, 1'000, 12'345, 999'999, 60'000'000}) {
    DurationHistogram histogram;
    histogram.add(microseconds(us));
    EXPECT_GT(histogram.quantile(0.5), microseconds(us)) << us;
    EXPECT_LE(histogram.quantile(0.5), microseconds(us + us / 4 + 1)) << us;
  }
}

TEST(DurationHistogram, quantiles_are_those_of_all_that_was_added) {
  DurationHistogram histogram;
  EXPECT_EQ(histogram.quantile(0.99), Duration(0));
  for (int i = 0; i < 90; ++i) histogram.add(microseconds(10));
  for (int i = 0; i < 10; ++i) histogram.add(milliseconds(10));
  EXPECT_LE(histogram.quantile(0.9), microseconds(13));
  EXPECT_GE(histogram.quantile(0.91), milliseconds(10));
  EXPECT_EQ(histogram.count(), 100U);
}

TEST(DurationHistogram, what_is_longer_than_all_steps_is_in_the_last) {
  DurationHistogram histogram;
  histogram.add(std::chrono::hours(24 * 365));
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_GT(histogram.quantile(1), std::chrono::hours(1));
}

TEST(RequestStatistics, old_durations_are_forgotten_and_counts_are_not) {
  RequestStatistics statistics;
  const Instant start{seconds(1'000)};
  statistics.answered(0, seconds(1), start);
  EXPECT_EQ(statistics.at(start).at(0).recent().count(), 1U);
  EXPECT_EQ(statistics.at(start + seconds(61)).at(0).recent().count(), 1U);
  EXPECT_EQ(statistics.at(start + seconds(121)).at(0).recent().count(), 0U);
  EXPECT_EQ(statistics.at(start + seconds(121)).at(0).answered, 1U);
  EXPECT_EQ(statistics.at(start).at(0).total, seconds(1));
}

}  // namespace
}  // namespace millrace::server
