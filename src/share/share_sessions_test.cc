#include "share/share_sessions.h"

#include <gtest/gtest.h>

namespace millrace::share {
namespace {

using wire::ErrorCode;

const SessionKey kAnna{"g", "anna"}, kBert{"g", "bert"}, kCarl{"h", "carl"};
constexpr ConnectionId kOne{1}, kTwo{2};

TopicIdPartition partition(int32_t index) {
  return {Uuid::of_words({0, 7}), PartitionIndex(index)};
}

class Sessions : public ::testing::Test {
 protected:
  ~Sessions() override { sessions_.check_invariants(); }

  ErrorCode fetch(const SessionKey& key, int32_t epoch, std::vector<int32_t> wanted,
                  ConnectionId connection = kOne) {
    ShareSessions::FetchRequest request{.key = key, .epoch = epoch, .connection = connection};
    for (const int32_t index : wanted) request.wanted.push_back(partition(index));
    return begin(request);
  }
  ErrorCode begin(const ShareSessions::FetchRequest& request) {
    const auto begun = sessions_.begin_fetch(request);
    read_.clear();
    for (const auto& each : begun.partitions) read_.push_back(each.partition.value());
    sessions_.check_invariants();
    return begun.error;
  }
  // Which of them the answer tells.
  std::vector<int32_t> told(const SessionKey& key, int32_t epoch,
                            std::vector<ShareSessions::Found> found) {
    last_ = sessions_.finish_fetch(key, epoch, found);
    std::vector<int32_t> result;
    for (const auto& each : found)
      if (each.is_told) result.push_back(each.partition.partition.value());
    return result;
  }

  ShareSessions sessions_{3};
  std::vector<int32_t> read_;
  ErrorCode last_ = ErrorCode::kNone;
};
using Indexes = std::vector<int32_t>;

TEST_F(Sessions, count_on) {
  EXPECT_EQ(fetch(kAnna, 1, {0}), ErrorCode::kShareSessionNotFound);
  EXPECT_EQ(fetch(kAnna, 0, {0, 1, 0}), ErrorCode::kNone);
  EXPECT_EQ(read_, Indexes({0, 1}));
  EXPECT_EQ(fetch(kAnna, 1, {2}), ErrorCode::kNone);
  EXPECT_EQ(read_, Indexes({0, 1, 2}));
  EXPECT_EQ(fetch(kAnna, 1, {}), ErrorCode::kInvalidShareSessionEpoch);
  EXPECT_EQ(fetch(kAnna, 3, {}), ErrorCode::kInvalidShareSessionEpoch);
  EXPECT_EQ(sessions_.begin_acknowledge(kAnna, 2), ErrorCode::kNone);
  EXPECT_EQ(begin({.key = kAnna, .epoch = 3, .forgotten = {partition(1), partition(9)}}),
            ErrorCode::kNone);
  EXPECT_EQ(read_, Indexes({0, 2}));
  EXPECT_EQ(next_session_epoch(INT32_MAX), 1);
  EXPECT_EQ(next_session_epoch(-1), -1);
}

TEST_F(Sessions, acknowledge_only_where_one_is) {
  EXPECT_EQ(sessions_.begin_acknowledge(kAnna, 0), ErrorCode::kInvalidShareSessionEpoch);
  EXPECT_EQ(sessions_.begin_acknowledge(kAnna, 1), ErrorCode::kShareSessionNotFound);
  EXPECT_EQ(sessions_.begin_acknowledge(kAnna, -1), ErrorCode::kShareSessionNotFound);
  EXPECT_EQ(begin({.key = kAnna, .epoch = 0, .acknowledges = true}), ErrorCode::kInvalidRequest);
  fetch(kAnna, 0, {0});
  EXPECT_EQ(sessions_.begin_acknowledge(kAnna, 2), ErrorCode::kInvalidShareSessionEpoch);
  EXPECT_EQ(sessions_.begin_acknowledge(kAnna, -1), ErrorCode::kNone);
  EXPECT_EQ(sessions_.begin_acknowledge(kAnna, 1), ErrorCode::kNone);
}

TEST_F(Sessions, end_when_they_are_removed) {
  EXPECT_EQ(fetch(kAnna, -1, {}), ErrorCode::kShareSessionNotFound);
  fetch(kAnna, 0, {1, 0});
  EXPECT_EQ(fetch(kAnna, -1, {}), ErrorCode::kNone);
  EXPECT_TRUE(read_.empty());
  EXPECT_EQ(sessions_.remove(kAnna)->size(), 2);
  EXPECT_FALSE(sessions_.remove(kAnna).has_value());
  EXPECT_FALSE(sessions_.has_members("g"));
}

TEST_F(Sessions, are_no_more_than_may_be) {
  fetch(kAnna, 0, {});
  fetch(kBert, 0, {});
  fetch(kCarl, 0, {});
  EXPECT_EQ(fetch({"h", "dora"}, 0, {}), ErrorCode::kShareSessionLimitReached);
  EXPECT_EQ(fetch(kAnna, 0, {}), ErrorCode::kNone);  // its own one makes room
}

TEST_F(Sessions, end_with_their_connection) {
  fetch(kAnna, 0, {0});
  fetch(kBert, 0, {}, kTwo);
  fetch(kCarl, 0, {});
  fetch(kCarl, 0, {}, kTwo);  // it has come by another one since
  const auto gone = sessions_.connection_gone(kOne);
  ASSERT_EQ(gone.size(), 1);
  EXPECT_EQ(gone.front().key, kAnna);
  EXPECT_EQ(gone.front().partitions.size(), 1);
  EXPECT_TRUE(sessions_.has_members("g"));
  EXPECT_EQ(sessions_.connection_gone(kTwo).size(), 2);
  EXPECT_EQ(sessions_.size(), 0);
}

TEST_F(Sessions, tell_what_is_new) {
  fetch(kAnna, 0, {0, 1});
  EXPECT_EQ(told(kAnna, 0, {{partition(0)}, {partition(1)}}), Indexes({0, 1}));
  fetch(kAnna, 1, {2});
  EXPECT_EQ(told(kAnna, 1, {{partition(0)}, {partition(1)}, {partition(2)}}), Indexes({2}));
  fetch(kAnna, 2, {});
  EXPECT_EQ(told(kAnna, 2, {{partition(0), true}, {partition(1), false, true}, {partition(2)}}),
            Indexes({0, 1}));
  // The error is over; who had records comes last.
  fetch(kAnna, 3, {});
  EXPECT_EQ(read_, Indexes({1, 2, 0}));
  EXPECT_EQ(told(kAnna, 3, {{partition(1)}, {partition(2)}, {partition(0)}}), Indexes({1}));
  EXPECT_TRUE(sessions_.is_current(kAnna, 3));
  fetch(kAnna, 4, {});
  EXPECT_FALSE(sessions_.is_current(kAnna, 3));
  EXPECT_FALSE(sessions_.is_current(kBert, 0));
  told(kAnna, 3, {});
  EXPECT_EQ(last_, ErrorCode::kInvalidShareSessionEpoch);
}

}  // namespace
}  // namespace millrace::share
