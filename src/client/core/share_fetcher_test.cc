#include "client/core/share_fetcher.h"

#include <gtest/gtest.h>

#include "client/core/testing/cluster.h"
#include "record/builder.h"

namespace millrace::client::core {
namespace {

using testing::cache_of;
using testing::id_of_topic;
using testing::metadata_of;
using wire::ErrorCode;
using enum AcknowledgeType;

const TopicPartition kT0{"t", PartitionIndex(0)};
const TopicPartition kT1{"t", PartitionIndex(1)};

TopicIdPartition id_of(const TopicPartition& partition) {
  return {id_of_topic(partition.topic), partition.partition};
}

ByteBuffer batch_at(int64_t base_offset, const std::vector<std::string>& values) {
  record::BatchBuilder builder({.base_offset = Offset(base_offset)});
  for (const auto& value : values)
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes(value)});
  return std::move(builder).build();
}

// "0-2:accept 5-5:release,gap".
template <class Batches>
std::string text_of(const Batches& batches) {
  static constexpr const char* kNames[] = {"gap", "accept", "release", "reject", "renew"};
  std::string text;
  for (const auto& batch : batches) {
    text += fmt::format("{}{}-{}:", text.empty() ? "" : " ", batch.first_offset, batch.last_offset);
    for (size_t i = 0; i < batch.acknowledge_types.size(); ++i)
      text += fmt::format("{}{}", i ? "," : "", kNames[batch.acknowledge_types[i]]);
  }
  return text;
}

class ShareFetcherTest : public ::testing::Test {
 protected:
  struct Given {
    ErrorCode error = ErrorCode::kNone;  // of the whole request
    ErrorCode partition_error = ErrorCode::kNone;
    ErrorCode acknowledge_error = ErrorCode::kNone;
    std::vector<ByteBuffer> batches{};
    std::vector<wire::ShareFetchResponse::AcquiredRecords> acquired{};
  };

  ShareFetcherTest() : cache(cache_of({{"t", {1, 2}}})) {}

  ShareFetcher::Action resume(ShareFetcher::Event event) {
    auto action = fetcher.resume(std::move(event), now);
    for (const auto& each : action.records)
      read.push_back(fmt::format("{}@{} {} #{}", each.partition.to_string(), each.offset,
                                 as_text(*each.value), *each.delivery_count));
    for (const auto& each : action.acknowledged)
      for (const Offset offset : each.offsets)
        outcomes.push_back(fmt::format("{}@{} {}", each.partition.to_string(), offset,
                                       wire::error_name(each.error)));
    return action;
  }
  ShareFetcher::Action assign(const std::set<TopicPartition>& partitions) {
    ShareFetcher::Assign event;
    for (const auto& each : partitions) event.partitions[id_of(each)] = each.topic;
    return resume(std::move(event));
  }
  ShareFetcher::Action fetched(const ShareFetcher::Send& send, const Given& given,
                               const TopicPartition& partition = kT0) {
    ByteBuffer bytes;
    for (const auto& each : given.batches) bytes.insert(bytes.end(), each.begin(), each.end());
    wire::ShareFetchResponse response{.error_code = wire::code_of(given.error),
                                      .acquisition_lock_timeout_ms = 30'000};
    response.responses.push_back({.topic_id = id_of(partition).topic_id});
    response.responses[0].partitions.push_back(
        {.partition_index = partition.partition.value(),
         .error_code = wire::code_of(given.partition_error),
         .acknowledge_error_code = wire::code_of(given.acknowledge_error),
         .records = wire::Records::of(bytes),
         .acquired_records = given.acquired});
    return resume(ShareFetcher::Fetched{send.id, std::move(response)});
  }
  ShareFetcher::Action acknowledged(const ShareFetcher::Send& send,
                                    ErrorCode error = ErrorCode::kNone) {
    wire::ShareAcknowledgeResponse response;
    response.responses.push_back({.topic_id = id_of(kT0).topic_id});
    response.responses[0].partitions.push_back(
        {.partition_index = 0, .error_code = wire::code_of(error)});
    return resume(ShareFetcher::Acknowledged{send.id, std::move(response)});
  }
  ShareFetcher::Action say(const ShareFetcher::Types& types, bool more = false) {
    return resume(ShareFetcher::Acknowledge{{{kT0, types}}, more});
  }
  ShareFetcher::Action tick_after(Duration delay) {
    now = now + delay;
    return resume(ShareFetcher::Tick{});
  }
  static const wire::ShareFetchRequest& fetch_in(const ShareFetcher::Send& send) {
    return std::get<wire::ShareFetchRequest>(send.request);
  }
  static const wire::ShareAcknowledgeRequest& saying_in(const ShareFetcher::Send& send) {
    return std::get<wire::ShareAcknowledgeRequest>(send.request);
  }
  // Offsets 0 to 2 of t-0 were given.
  void hold_three() {
    const auto begun = assign({kT0});
    fetched(begun.sends.at(0), three());
  }
  static Given three() {
    return {.batches = {batch_at(0, {"a", "b", "c"})}, .acquired = {{0, 2, 1}}};
  }

  MetadataCache cache;
  ShareFetcher fetcher{cache, {.group = "g", .member_id = "m"}};
  Instant now{seconds(1)};
  std::vector<std::string> read, outcomes;
};

TEST_F(ShareFetcherTest, begins_a_session_with_each_leader) {
  const auto begun = assign({kT0, kT1});
  ASSERT_EQ(begun.sends.size(), 2);
  EXPECT_EQ(begun.sends[0].to, NodeId(1));
  EXPECT_EQ(begun.sends[1].to, NodeId(2));
  const auto& fetch = fetch_in(begun.sends[0]);
  EXPECT_EQ(fetch.group_id, "g");
  EXPECT_EQ(fetch.member_id, "m");
  EXPECT_EQ(fetch.share_session_epoch, 0);
  ASSERT_EQ(fetch.topics.size(), 1);
  EXPECT_EQ(fetch.topics[0].partitions.at(0).partition_index, 0);
  const auto next = fetched(begun.sends[0], {});
  ASSERT_EQ(next.sends.size(), 1) << "nothing came: it asks again";
  EXPECT_EQ(fetch_in(next.sends[0]).share_session_epoch, 1);
  EXPECT_TRUE(fetch_in(next.sends[0]).topics.empty()) << "the leader knows what it reads";
  EXPECT_EQ(fetcher.lock_timeout(), Duration(seconds(30)));
}

TEST_F(ShareFetcherTest, gives_what_was_acquired_with_its_delivery_count) {
  const auto begun = assign({kT0});
  const auto given = fetched(begun.sends[0], {.batches = {batch_at(3, {"a", "b", "c", "d"})},
                                              .acquired = {{4, 4, 1}, {5, 5, 3}}});
  EXPECT_EQ(read, (std::vector<std::string>{"t-0@4 b #1", "t-0@5 c #3"}));
  EXPECT_TRUE(given.sends.empty()) << "no more until it is said";
  EXPECT_EQ(resume(ShareFetcher::More{}).sends.size(), 1);
}

TEST_F(ShareFetcherTest, says_what_became_of_records_with_the_next_fetch) {
  hold_three();
  const auto next =
      say({{Offset(0), kAccept}, {Offset(1), kAccept}, {Offset(2), kReject}}, /*more=*/true);
  const auto& fetch = fetch_in(next.sends.at(0));
  EXPECT_EQ(text_of(fetch.topics.at(0).partitions.at(0).acknowledgement_batches),
            "0-2:accept,accept,reject");
  EXPECT_TRUE(outcomes.empty()) << "the leader has not answered";
  fetched(next.sends[0], {});
  EXPECT_EQ(outcomes, (std::vector<std::string>{"t-0@0 NONE", "t-0@1 NONE", "t-0@2 NONE"}));
}

TEST_F(ShareFetcherTest, says_it_by_itself_where_nothing_is_to_be_fetched) {
  hold_three();
  const auto next = say({{Offset(0), kRelease}, {Offset(2), kRelease}});
  const auto& saying = saying_in(next.sends.at(0));
  EXPECT_EQ(saying.share_session_epoch, 1);
  EXPECT_FALSE(saying.is_renew_ack);
  EXPECT_EQ(text_of(saying.topics.at(0).partitions.at(0).acknowledgement_batches),
            "0-0:release 2-2:release");
  acknowledged(next.sends[0], ErrorCode::kInvalidRecordState);
  EXPECT_EQ(outcomes,
            (std::vector<std::string>{"t-0@0 INVALID_RECORD_STATE", "t-0@2 INVALID_RECORD_STATE"}));
  EXPECT_EQ(fetcher.held(), 1);
}

TEST_F(ShareFetcherTest, a_renewed_record_is_still_held) {
  hold_three();
  const auto renewing = say({{Offset(0), kRenew}}, /*more=*/true);
  EXPECT_TRUE(saying_in(renewing.sends.at(0)).is_renew_ack) << "no fetch may renew";
  EXPECT_EQ(fetcher.held(), 3);
  acknowledged(renewing.sends[0]);
  say({{Offset(0), kAccept}});
  EXPECT_EQ(fetcher.held(), 2);
}

TEST_F(ShareFetcherTest, what_is_not_held_cannot_be_spoken_of) {
  hold_three();
  say({{Offset(0), kAccept}});
  EXPECT_TRUE(say({{Offset(0), kAccept}, {Offset(7), kAccept}}).sends.empty());
  EXPECT_EQ(outcomes,
            (std::vector<std::string>{"t-0@0 INVALID_RECORD_STATE", "t-0@7 INVALID_RECORD_STATE"}));
}

TEST_F(ShareFetcherTest, offsets_without_records_are_told_as_gaps) {
  const auto begun = assign({kT0});
  const auto given = fetched(begun.sends[0], {.batches = {batch_at(0, {"a"}), batch_at(4, {"b"})},
                                              .acquired = {{0, 4, 1}}});
  EXPECT_EQ(read, (std::vector<std::string>{"t-0@0 a #1", "t-0@4 b #1"}));
  const auto& saying = saying_in(given.sends.at(0));
  EXPECT_EQ(text_of(saying.topics.at(0).partitions.at(0).acknowledgement_batches), "1-3:gap");
  acknowledged(given.sends[0]);
  EXPECT_TRUE(outcomes.empty());
}

TEST_F(ShareFetcherTest, what_cannot_be_read_is_released) {
  const auto begun = assign({kT0});
  ByteBuffer bad = batch_at(1, {"b"});
  bad.back() ^= 1;
  const auto given =
      fetched(begun.sends[0], {.batches = {batch_at(0, {"a"}), bad}, .acquired = {{0, 1, 1}}});
  EXPECT_EQ(read, std::vector<std::string>{"t-0@0 a #1"});
  ASSERT_EQ(given.problems.size(), 1);
  EXPECT_TRUE(given.problems[0].goes_on);
  const auto& saying = saying_in(given.sends.at(0));
  EXPECT_EQ(text_of(saying.topics.at(0).partitions.at(0).acknowledgement_batches), "1-1:release");
}

TEST_F(ShareFetcherTest, counts_of_a_lying_leader_take_no_memory) {
  const auto begun = assign({kT0});
  EXPECT_EQ(fetched(begun.sends[0], {.acquired = {{0, INT64_MAX, 1}}}).problems.size(), 1);
}

TEST_F(ShareFetcherTest, a_session_that_is_gone_begins_anew) {
  hold_three();
  const auto next = say({{Offset(0), kAccept}}, /*more=*/true);
  EXPECT_TRUE(fetched(next.sends.at(0), {.error = ErrorCode::kShareSessionNotFound}).sends.empty());
  EXPECT_EQ(outcomes, std::vector<std::string>{"t-0@0 SHARE_SESSION_NOT_FOUND"});
  const auto again = tick_after(milliseconds(100));
  EXPECT_EQ(fetch_in(again.sends.at(0)).share_session_epoch, 0);
  EXPECT_EQ(fetch_in(again.sends[0]).topics.size(), 1);
  say({{Offset(1), kAccept}});
  const auto told = fetched(again.sends[0], {});
  EXPECT_EQ(fetch_in(told.sends.at(0)).share_session_epoch, 1);
  EXPECT_EQ(text_of(fetch_in(told.sends[0]).topics.at(0).partitions.at(0).acknowledgement_batches),
            "1-1:accept")
      << "not with the request that begins the session";
}

TEST_F(ShareFetcherTest, a_lost_answer_is_no_acknowledgement) {
  hold_three();
  const auto next = say({{Offset(0), kAccept}});
  const auto lost = resume(
      ShareFetcher::Acknowledged{next.sends.at(0).id, fail(Errc::kClosed, "the broker is gone")});
  EXPECT_EQ(outcomes, std::vector<std::string>{"t-0@0 NETWORK_EXCEPTION"});
  EXPECT_EQ(lost.refresh, std::set<std::string>{"t"});
}

TEST_F(ShareFetcherTest, follows_a_partition_to_its_new_leader) {
  const auto begun = assign({kT0, kT1});
  const auto moved =
      fetched(begun.sends.at(0), {.partition_error = ErrorCode::kNotLeaderOrFollower});
  EXPECT_EQ(moved.refresh, std::set<std::string>{"t"});
  EXPECT_TRUE(moved.sends.empty());
  fetched(begun.sends[1], {}, kT1);
  cache.update(metadata_of({{"t", {2, 2}}}));
  tick_after(milliseconds(100));
  const auto next = resume(ShareFetcher::MetadataRefreshed{});
  EXPECT_TRUE(next.sends.empty()) << "a fetch of broker 2 is under way";
}

TEST_F(ShareFetcherTest, a_partition_that_is_taken_away_is_forgotten) {
  const auto begun = assign({kT0});
  cache.update(metadata_of({{"t", {1, 1}}}));
  assign({kT1});
  const auto next = fetched(begun.sends.at(0), three());
  EXPECT_EQ(read.size(), 3) << "they are ours all the same";
  const auto more = resume(ShareFetcher::More{});
  const auto& fetch = fetch_in(more.sends.at(0));
  EXPECT_EQ(fetch.topics.at(0).partitions.at(0).partition_index, 1);
  EXPECT_EQ(fetch.forgotten_topics_data.at(0).partitions, std::vector<int32_t>{0});
  fetched(more.sends[0], {}, kT1);
}

TEST_F(ShareFetcherTest, records_of_a_partition_that_is_not_read_are_spoken_of_by_themselves) {
  const auto begun = assign({kT0});
  cache.update(metadata_of({{"t", {1, 1}}}));
  assign({kT1});
  fetched(begun.sends.at(0), three());
  const auto saying = say({{Offset(0), kAccept}}, /*more=*/true);
  EXPECT_EQ(saying_in(saying.sends.at(0)).share_session_epoch, 1)
      << "in a fetch it would be read again";
}

TEST_F(ShareFetcherTest, what_cannot_pass_ends_it) {
  const auto begun = assign({kT0});
  const auto ended = fetched(begun.sends.at(0), {.error = ErrorCode::kGroupAuthorizationFailed});
  ASSERT_TRUE(ended.failed);
  EXPECT_EQ(ended.failed->message, "group 'g': broker 1 answers GROUP_AUTHORIZATION_FAILED");
  EXPECT_TRUE(tick_after(seconds(1)).sends.empty());
  EXPECT_TRUE(resume(ShareFetcher::Close{}).closed);
}

TEST_F(ShareFetcherTest, a_topic_that_may_not_be_read_is_told_and_left_out) {
  const auto begun = assign({kT0});
  const auto told =
      fetched(begun.sends.at(0), {.partition_error = ErrorCode::kTopicAuthorizationFailed});
  ASSERT_EQ(told.problems.size(), 1);
  EXPECT_FALSE(told.problems[0].goes_on);
}

TEST_F(ShareFetcherTest, ends_its_sessions_with_what_is_still_to_be_said) {
  hold_three();
  const auto waiting = resume(ShareFetcher::More{});
  say({{Offset(0), kAccept}});
  EXPECT_TRUE(resume(ShareFetcher::Close{}).sends.empty()) << "a fetch is under way";
  const auto last = fetched(waiting.sends.at(0), three());
  EXPECT_TRUE(last.records.empty());
  EXPECT_EQ(saying_in(last.sends.at(0)).share_session_epoch, -1);
  EXPECT_FALSE(last.closed);
  EXPECT_TRUE(acknowledged(last.sends[0]).closed);
  EXPECT_EQ(outcomes, std::vector<std::string>{"t-0@0 NONE"});
}

TEST_F(ShareFetcherTest, is_closed_at_once_where_there_is_no_session) {
  EXPECT_TRUE(resume(ShareFetcher::Close{}).closed);
}

}  // namespace
}  // namespace millrace::client::core
