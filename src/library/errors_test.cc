#include "library/errors.h"

#include <gtest/gtest.h>

namespace millrace::library {
namespace {

TEST(Error, has_kafkas_code_name_and_whether_to_try_again) {
  const v0::Error error(v0::ErrorCode::kNotLeaderOrFollower, "moved");
  EXPECT_EQ(static_cast<int16_t>(error.code()), 6);
  EXPECT_EQ(error.name(), "NOT_LEADER_OR_FOLLOWER");
  EXPECT_TRUE(error.retriable());
  EXPECT_STREQ(error.what(), "moved");
  EXPECT_FALSE(v0::Error(v0::ErrorCode::kInvalidConfig, "").retriable());
  EXPECT_EQ(v0::Error(static_cast<v0::ErrorCode>(30'000), "").name(), "UNKNOWN");
}

// The public list is a copy.
TEST(ErrorCode, of_the_public_header_is_that_of_the_protocol) {
  EXPECT_EQ(static_cast<int16_t>(v0::ErrorCode::kUnknownServerError),
            wire::code_of(wire::ErrorCode::kUnknownServerError));
  EXPECT_EQ(static_cast<int16_t>(v0::ErrorCode::kShareSessionLimitReached),
            wire::code_of(wire::ErrorCode::kShareSessionLimitReached));
  EXPECT_EQ(wire::error_name(static_cast<wire::ErrorCode>(
                static_cast<int16_t>(v0::ErrorCode::kShareSessionLimitReached) + 1)),
            "UNKNOWN")
      << "the protocol has a new code, the header has not";
}

TEST(Error, of_a_refusal_prefers_the_brokers_own_words) {
  const auto told = error_of(wire::code_of(wire::ErrorCode::kPolicyViolation), "create topic 'x'",
                             "no topics on Sundays");
  EXPECT_STREQ(told.what(), "cannot create topic 'x': no topics on Sundays");
  const auto silent = error_of(wire::ErrorCode::kPolicyViolation, "create topic 'x'");
  EXPECT_STREQ(silent.what(), "cannot create topic 'x': the broker answers POLICY_VIOLATION");
}

TEST(Error, of_a_connection_is_a_network_exception) {
  EXPECT_EQ(error_of({Errc::kClosed, "gone"}).code(), v0::ErrorCode::kNetworkException);
  EXPECT_EQ(error_of({Errc::kTimedOut, "late"}).code(), v0::ErrorCode::kRequestTimedOut);
}

}  // namespace
}  // namespace millrace::library
