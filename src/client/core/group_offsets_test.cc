#include "client/core/group_offsets.h"

#include <gtest/gtest.h>

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

const TopicPartition kA{"a", PartitionIndex(0)};
const TopicPartition kB{"b", PartitionIndex(0)};
const GroupOffsets::Identity kMe{.group = "g", .member_id = "me", .epoch = 1};

struct Answer {
  TopicPartition partition;
  int64_t offset = -1;
  ErrorCode error = ErrorCode::kNone;
};

wire::OffsetFetchResponse fetched(const std::vector<Answer>& answers) {
  wire::OffsetFetchResponse response;
  auto& group = response.groups.emplace_back();
  for (const auto& each : answers)
    group.topics.push_back({.name = each.partition.topic,
                            .partitions = {{.partition_index = each.partition.partition.value(),
                                            .committed_offset = each.offset,
                                            .error_code = wire::code_of(each.error)}}});
  return response;
}

TEST(GroupOffsets, tells_what_is_committed) {
  GroupOffsets offsets;
  offsets.want({kA, kB});
  const auto request = offsets.fetch(kMe, /*says_member=*/true);
  EXPECT_EQ(request.groups[0].topics->size(), 2);
  EXPECT_FALSE(offsets.has_to_fetch()) << "GO1";
  const auto outcome = offsets.fetched(fetched({{kA, 7}, {kB, -1}}));
  EXPECT_EQ(outcome.offsets.at(kA), Offset(7));
  EXPECT_EQ(outcome.offsets.at(kB), std::nullopt);
  EXPECT_FALSE(offsets.has_to_fetch());
}

TEST(GroupOffsets, what_came_back_after_the_question_is_asked_for_again) {
  GroupOffsets offsets;
  offsets.want({kA, kB});
  offsets.fetch(kMe, true);
  offsets.stop_wanting({kA});
  offsets.want({kA});
  const auto outcome = offsets.fetched(fetched({{kA, 7}, {kB, 8}}));
  EXPECT_FALSE(outcome.offsets.contains(kA)) << "GO3: another may have committed meanwhile";
  EXPECT_EQ(outcome.offsets.at(kB), Offset(8));
  ASSERT_TRUE(offsets.has_to_fetch());
  EXPECT_EQ(offsets.fetch(kMe, true).groups[0].topics->at(0).name, "a");
  EXPECT_EQ(offsets.fetched(fetched({{kA, 9}})).offsets.at(kA), Offset(9));
}

TEST(GroupOffsets, what_was_lost_and_came_back_is_asked_for_again) {
  GroupOffsets offsets;
  offsets.want({kA});
  offsets.fetch(kMe, true);
  offsets.lose_all();
  offsets.want({kA});
  EXPECT_TRUE(offsets.fetched(fetched({{kA, 7}})).offsets.empty()) << "GO3";
  EXPECT_TRUE(offsets.has_to_fetch());
}

TEST(GroupOffsets, one_partition_that_has_to_wait_keeps_no_other_waiting) {
  for (const auto error : {ErrorCode::kUnstableOffsetCommit, ErrorCode::kUnknownTopicOrPartition,
                           ErrorCode::kUnknownTopicId}) {
    GroupOffsets offsets;
    offsets.want({kA, kB});
    offsets.fetch(kMe, true);
    const auto outcome = offsets.fetched(fetched({{kA, -1, error}, {kB, 8}}));
    EXPECT_EQ(outcome.error, ErrorCode::kNone);
    EXPECT_TRUE(outcome.again);
    EXPECT_FALSE(outcome.offsets.contains(kA));
    EXPECT_EQ(outcome.offsets.at(kB), Offset(8));
    EXPECT_TRUE(offsets.has_to_fetch());
  }
}

TEST(GroupOffsets, a_newer_offset_stays_when_an_older_one_is_sent_again) {
  GroupOffsets offsets;
  offsets.commit({{kA, Offset(1)}, {kB, Offset(1)}});
  offsets.send_commits(kMe);
  offsets.commit({{kA, Offset(2)}});
  auto outcome = offsets.committed(fail(Errc::kClosed, "cut"));
  ASSERT_TRUE(offsets.may_commit_again());
  offsets.commit_again(std::move(outcome.offsets));
  const auto again = offsets.send_commits(kMe);
  EXPECT_EQ(again.topics[0].partitions[0].committed_offset, 2) << "GO2";
  EXPECT_EQ(again.topics[1].partitions[0].committed_offset, 1);
}

TEST(GroupOffsets, what_was_under_way_when_all_was_lost_is_not_sent_again) {
  GroupOffsets offsets;
  offsets.commit({{kA, Offset(1)}});
  offsets.send_commits(kMe);
  offsets.commit({{kB, Offset(2)}});
  EXPECT_EQ(offsets.lose_all(), (GroupOffsets::Offsets{{kB, Offset(2)}}));
  EXPECT_FALSE(offsets.has_to_commit());
  offsets.committed(fail(Errc::kClosed, "cut"));
  EXPECT_FALSE(offsets.may_commit_again()) << "GO4";
  offsets.commit({{kA, Offset(3)}});
  offsets.send_commits(kMe);
  offsets.committed(fail(Errc::kClosed, "cut"));
  EXPECT_TRUE(offsets.may_commit_again());
}

}  // namespace
}  // namespace millrace::client::core
