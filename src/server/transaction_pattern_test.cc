#include "server/transaction_pattern.h"

#include <gtest/gtest.h>

namespace millrace::server {
namespace {

TEST(TransactionPattern, matches_whole_ids) {
  const auto pattern = TransactionPattern::compile("order-[0-9]+");
  ASSERT_TRUE(pattern);
  EXPECT_TRUE(pattern->matches("order-17"));
  EXPECT_FALSE(pattern->matches("my-order-17"));
  EXPECT_FALSE(pattern->matches("order-17b"));
}

TEST(TransactionPattern, an_empty_one_matches_everything) {
  EXPECT_TRUE(TransactionPattern::compile("")->matches("t"));
}

TEST(TransactionPattern, refuses_what_is_no_pattern_or_too_large) {
  EXPECT_FALSE(TransactionPattern::compile("(["));
  EXPECT_FALSE(TransactionPattern::compile("((a{1000}){1000}){1000}"));
}

}  // namespace
}  // namespace millrace::server
