#include "node/partition_quota.h"

#include <gtest/gtest.h>

namespace millrace::node {
namespace {

const Instant kStart = Instant() + seconds(1000);

TEST(ReplicationQuota, without_a_rate_nothing_is_too_much) {
  ReplicationQuota quota({});
  quota.note(1 << 30, kStart);
  EXPECT_FALSE(quota.is_exceeded(kStart));
}

TEST(ReplicationQuota, is_exceeded_until_time_has_thinned_what_was_sent) {
  ReplicationQuota quota({});
  quota.set_rate(1000);
  EXPECT_FALSE(quota.is_exceeded(kStart));
  quota.note(1000, kStart);
  EXPECT_FALSE(quota.is_exceeded(kStart)) << "as much as a window may have";
  quota.note(4000, kStart);
  EXPECT_TRUE(quota.is_exceeded(kStart));
  EXPECT_TRUE(quota.is_exceeded(kStart + milliseconds(4900)));
  EXPECT_FALSE(quota.is_exceeded(kStart + milliseconds(5000)));
}

TEST(ReplicationQuota, forgets_what_lies_behind_its_windows) {
  ReplicationQuota quota({.count = 3, .length = seconds(1)});
  quota.set_rate(10);
  quota.note(1'000'000, kStart);
  EXPECT_TRUE(quota.is_exceeded(kStart + milliseconds(2999)));
  EXPECT_FALSE(quota.is_exceeded(kStart + seconds(3)));
}

TEST(ReplicationQuota, takes_a_new_rate_at_once) {
  ReplicationQuota quota({});
  quota.set_rate(10);
  quota.note(1000, kStart);
  EXPECT_TRUE(quota.is_exceeded(kStart));
  quota.set_rate(5000);
  EXPECT_FALSE(quota.is_exceeded(kStart));
}

}  // namespace
}  // namespace millrace::node
