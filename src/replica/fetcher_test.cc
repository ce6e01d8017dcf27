#include "replica/fetcher.h"

#include <gtest/gtest.h>

#include "wire/errors.h"

namespace millrace::replica {
namespace {

using wire::ErrorCode;

const Uuid kTopic = Uuid::of_words({1, 1});
constexpr LeaderEpoch kEpoch{7};

TopicIdPartition id(int32_t partition) { return {kTopic, PartitionIndex(partition)}; }

class FetcherTest : public ::testing::Test {
 protected:
  void follow(int32_t partition, int64_t end = 0, LeaderEpoch epoch = kEpoch) {
    fetcher_.add({id(partition), {"t", PartitionIndex(partition)}, epoch});
    fetcher_.on_log(id(partition), epoch, log_at(end));
  }
  static FollowedLog log_at(int64_t end) {
    return {.log_start = Offset(0), .durable_end = Offset(end), .last_epoch = LeaderEpoch(6)};
  }
  std::optional<wire::FetchRequest> next() {
    auto request = fetcher_.next_fetch(now_);
    fetcher_.check_invariants();
    return request;
  }
  std::vector<LogAction> answer(wire::FetchResponse response) {
    auto actions = fetcher_.on_fetched(response, now_);
    fetcher_.check_invariants();
    return actions;
  }
  static wire::FetchResponse response(std::vector<wire::FetchResponse::PartitionData> partitions) {
    wire::FetchResponse response{.session_id = 5};
    response.responses.push_back({.topic_id = kTopic, .partitions = std::move(partitions)});
    return response;
  }
  static wire::FetchResponse::PartitionData data(int32_t partition, ByteView records = {}) {
    wire::FetchResponse::PartitionData data{.partition_index = partition, .high_watermark = 3};
    data.records = wire::Records::of(records);
    return data;
  }
  static wire::FetchResponse::PartitionData error(int32_t partition, ErrorCode code) {
    auto result = data(partition);
    result.error_code = wire::code_of(code);
    return result;
  }
  static size_t asked_for(const wire::FetchRequest& request) {
    return request.topics.empty() ? 0 : request.topics[0].partitions.size();
  }

  Fetcher fetcher_{{.self = NodeId(2)}};
  Instant now_{seconds(1)};
  const uint8_t bytes_[4] = {1, 2, 3, 4};
};

TEST_F(FetcherTest, asks_from_the_durable_end_with_the_epoch_of_the_last_record) {
  fetcher_.set_broker_epoch(BrokerEpoch(44));
  follow(0, 10);
  const auto request = next();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->replica_state.replica_id, 2);
  EXPECT_EQ(request->replica_state.replica_epoch, 44);
  EXPECT_EQ(request->session_epoch, 0);
  const auto& partition = request->topics.at(0).partitions.at(0);
  EXPECT_EQ(partition.fetch_offset, 10);
  EXPECT_EQ(partition.last_fetched_epoch, 6);
  EXPECT_EQ(partition.current_leader_epoch, kEpoch.value());
  EXPECT_FALSE(next()) << "one Fetch at a time";
}

TEST_F(FetcherTest, a_partition_is_fetched_again_when_its_log_is_durable) {
  follow(0);
  ASSERT_TRUE(next());
  const auto actions = answer(response({data(0, bytes_)}));
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(std::get<Append>(actions[0]).records.size(), 4u);
  EXPECT_EQ(std::get<Append>(actions[0]).high_watermark, Offset(3));
  EXPECT_FALSE(next());
  fetcher_.on_log(id(0), kEpoch, log_at(4));
  const auto request = next();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->topics.at(0).partitions.at(0).fetch_offset, 4);
}

TEST_F(FetcherTest, others_go_on_after_a_while_when_a_log_is_slow) {
  follow(0);
  follow(1);
  ASSERT_EQ(asked_for(*next()), 2u);
  answer(response({data(0, bytes_)}));
  EXPECT_FALSE(next());
  EXPECT_EQ(fetcher_.next_deadline(now_), now_ + Fetcher::kPatience);
  now_ = now_ + Fetcher::kPatience;
  const auto request = next();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->max_wait_ms, 5) << "so that the slow one is not kept waiting";
  ASSERT_EQ(request->forgotten_topics_data.size(), 1u)
      << "or the leader would send the same records again";
  EXPECT_EQ(request->forgotten_topics_data[0].partitions, std::vector{0});
  EXPECT_EQ(asked_for(*request), 0u) << "the other is in the session as it was";
}

TEST_F(FetcherTest, in_a_session_only_what_changed_is_named) {
  follow(0);
  follow(1);
  ASSERT_TRUE(next());
  answer(response({data(1, bytes_)}));
  fetcher_.on_log(id(1), kEpoch, log_at(4));
  const auto request = next();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->session_id, 5);
  EXPECT_EQ(request->session_epoch, 1);
  ASSERT_EQ(asked_for(*request), 1u);
  EXPECT_EQ(request->topics[0].partitions[0].partition, 1);
}

TEST_F(FetcherTest, a_session_that_the_leader_forgot_is_begun_again_at_once) {
  follow(0);
  ASSERT_TRUE(next());
  answer(response({}));
  ASSERT_EQ(next()->session_epoch, 1);
  answer({.error_code = wire::code_of(ErrorCode::kFetchSessionIdNotFound)});
  const auto request = next();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->session_epoch, 0);
  EXPECT_EQ(asked_for(*request), 1u);
}

TEST_F(FetcherTest, what_is_followed_no_more_is_forgotten) {
  follow(0);
  follow(1);
  ASSERT_TRUE(next());
  fetcher_.remove(id(0));
  EXPECT_TRUE(answer(response({data(0, bytes_)})).empty()) << "its answer came too late";
  EXPECT_EQ(next()->forgotten_topics_data.size(), 1u);
}

TEST_F(FetcherTest, an_answer_to_an_older_leader_epoch_is_ignored) {  // KAFKA-13207
  follow(0);
  ASSERT_TRUE(next());
  follow(0, 0, kEpoch + 1);
  auto late = data(0);
  late.diverging_epoch = {.epoch = 3, .end_offset = 0};
  EXPECT_TRUE(answer(response({late})).empty());
  EXPECT_EQ(next()->topics.at(0).partitions.at(0).current_leader_epoch, kEpoch.value() + 1);
}

TEST_F(FetcherTest, where_logs_part_it_is_cut_first) {  // KAFKA-14704
  follow(0, 10);
  ASSERT_TRUE(next());
  auto diverging = data(0, bytes_);
  diverging.diverging_epoch = {.epoch = 3, .end_offset = 8};
  const auto actions = answer(response({diverging}));
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(std::get<Truncate>(actions[0]).leader_end, (EpochEnd{LeaderEpoch(3), Offset(8)}));
}

TEST_F(FetcherTest, a_log_that_takes_nothing_is_tried_later_and_later) {
  follow(0, 10);
  ASSERT_TRUE(next());
  Duration last{};
  for (int i = 0; i < 5; ++i) {
    answer(response({data(0, bytes_)}));
    EXPECT_EQ(fetcher_.on_log_failed(id(0), kEpoch, now_), i == 0) << "told once";
    const Instant failed = now_;
    while (!next()) now_ = now_ + milliseconds(1);
    EXPECT_GT(now_ - failed, last);
    last = now_ - failed;
  }
  answer(response({data(0, bytes_)}));
  fetcher_.on_log(id(0), kEpoch, log_at(11));
  EXPECT_TRUE(next()) << "at once";
}

TEST_F(FetcherTest, an_error_of_one_partition_does_not_hold_the_others_back) {  // KAFKA-7414
  follow(0);
  follow(1);
  ASSERT_TRUE(next());
  answer(response({error(0, ErrorCode::kUnknownLeaderEpoch)}));
  auto request = next();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->forgotten_topics_data.size(), 1u);
  answer(response({}));
  now_ = now_ + Fetcher::kFirstBackoff;
  request = next();
  EXPECT_EQ(asked_for(*request), 1u) << "a leader that was just elected knows it soon";
}

TEST_F(FetcherTest, a_fenced_partition_waits_for_the_next_epoch) {
  follow(0);
  ASSERT_TRUE(next());
  answer(response({error(0, ErrorCode::kFencedLeaderEpoch)}));
  now_ = now_ + seconds(60);
  EXPECT_FALSE(next());
  follow(0, 0, kEpoch + 1);
  EXPECT_TRUE(next());
}

TEST_F(FetcherTest, a_leader_that_does_not_answer_is_asked_again_later_and_from_scratch) {
  follow(0);
  ASSERT_TRUE(next());
  answer(response({}));
  ASSERT_TRUE(next());
  fetcher_.on_disconnected(now_);
  EXPECT_FALSE(next());
  EXPECT_EQ(fetcher_.next_deadline(now_), now_ + Fetcher::kFirstBackoff);
  now_ = now_ + Fetcher::kFirstBackoff;
  EXPECT_EQ(next()->session_epoch, 0);
}

TEST_F(FetcherTest, with_nothing_to_follow_it_begins_anew) {
  follow(0);
  ASSERT_TRUE(next());
  fetcher_.remove(id(0));
  follow(0);
  EXPECT_TRUE(next()) << "the connection is another one, on which nothing is under way";
}

class OutOfRange : public FetcherTest {
 protected:
  void SetUp() override {
    follow(0, 10);
    ASSERT_TRUE(next());
    answer(response({error(0, ErrorCode::kOffsetOutOfRange)}));
    ASSERT_FALSE(next());
  }
  std::vector<LogAction> look_up(int64_t timestamp, int64_t offset) {
    const auto request = fetcher_.next_lookup(now_);
    EXPECT_TRUE(request);
    EXPECT_EQ(request->topics.at(0).partitions.at(0).timestamp, timestamp);
    wire::ListOffsetsResponse response;
    response.topics.push_back({.name = "t", .partitions = {{.offset = offset}}});
    return fetcher_.on_looked_up(response, now_);
  }
};

TEST_F(OutOfRange, a_log_longer_than_the_leaders_is_cut_to_its_end) {
  const auto actions = look_up(-1, 8);
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(std::get<Truncate>(actions[0]).leader_end, (EpochEnd{kNoLeaderEpoch, Offset(8)}));
}

TEST_F(OutOfRange, a_log_that_ends_before_the_leaders_start_begins_anew_there) {
  EXPECT_TRUE(look_up(-1, 100).empty());
  const auto actions = look_up(-2, 50);
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(std::get<StartOver>(actions[0]).at, Offset(50));
}

TEST_F(OutOfRange, an_answer_that_does_not_come_is_asked_for_again) {
  ASSERT_TRUE(fetcher_.next_lookup(now_));
  fetcher_.on_disconnected(now_);
  now_ = now_ + seconds(1);
  EXPECT_EQ(look_up(-1, 8).size(), 1u);
}

TEST_F(OutOfRange, a_fetch_of_others_meanwhile_leaves_the_answer_its_own) {
  follow(1);
  ASSERT_TRUE(fetcher_.next_lookup(now_));
  ASSERT_TRUE(next());
  wire::ListOffsetsResponse response;
  response.topics.push_back({.name = "t", .partitions = {{.offset = 8}}});
  EXPECT_EQ(fetcher_.on_looked_up(response, now_).size(), 1u);
}

TEST_F(OutOfRange, a_log_that_is_in_range_by_now_is_fetched_again) {
  look_up(-1, 100);
  EXPECT_TRUE(look_up(-2, 5).empty());
  now_ = now_ + seconds(1);
  EXPECT_TRUE(next());
}

TEST(TruncationTarget, is_the_end_of_an_epoch_that_both_have) {
  EXPECT_EQ(
      truncation_target({{LeaderEpoch(3), Offset(8)}, {LeaderEpoch(3), Offset(9)}}, Offset(12)),
      Offset(8));
  EXPECT_EQ(
      truncation_target({{LeaderEpoch(3), Offset(8)}, {LeaderEpoch(3), Offset(6)}}, Offset(12)),
      Offset(6));
}

TEST(TruncationTarget, of_an_epoch_that_only_the_leader_has_is_where_ours_before_it_ends) {
  EXPECT_EQ(
      truncation_target({{LeaderEpoch(3), Offset(8)}, {LeaderEpoch(2), Offset(5)}}, Offset(12)),
      Offset(5));
}

TEST(TruncationTarget, is_within_the_log) {
  EXPECT_EQ(truncation_target({{kNoLeaderEpoch, Offset(20)}, {}}, Offset(12)), Offset(12));
}

}  // namespace
}  // namespace millrace::replica
