#include "client/core/fetcher.h"

#include <gtest/gtest.h>

#include "client/core/testing/cluster.h"
#include "record/builder.h"
#include "record/control.h"

namespace millrace::client::core {
namespace {

using testing::cache_of;
using testing::id_of_topic;
using testing::metadata_of;
using wire::ErrorCode;

const TopicPartition kT0{"t", PartitionIndex(0)};
const TopicPartition kT1{"t", PartitionIndex(1)};

struct TestBatch {
  int64_t base_offset = 0;
  std::vector<std::string> values;
  record::Codec codec = record::Codec::kNone;
  int64_t producer_id = -1;
};

ByteBuffer bytes_of(const TestBatch& batch) {
  record::BatchOptions options{.base_offset = Offset(batch.base_offset), .codec = batch.codec};
  if (batch.producer_id >= 0) {
    options.producer_id = ProducerId(batch.producer_id);
    options.producer_epoch = ProducerEpoch(0);
    options.base_sequence = ProducerSequence(0);
    options.transactional = true;
  }
  record::BatchBuilder builder(options);
  for (const auto& value : batch.values)
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes(value)});
  return std::move(builder).build();
}

ByteBuffer marker(int64_t offset, int64_t producer_id, record::ControlType type) {
  const ByteBuffer value(6);
  return record::build_control_batch({.base_offset = Offset(offset),
                                      .producer_id = ProducerId(producer_id),
                                      .producer_epoch = ProducerEpoch(0),
                                      .transactional = true},
                                     {.type = type, .timestamp = TimestampMs(1), .value = value});
}

class FetcherTest : public ::testing::Test {
 protected:
  FetcherTest() : cache(cache_of({{"t", {1, 2}}})) {}

  Fetcher& fetcher() {
    if (!fetcher_) fetcher_ = std::make_unique<Fetcher>(cache, options);
    return *fetcher_;
  }
  Fetcher::Action resume(Fetcher::Event event) {
    auto action = fetcher().resume(std::move(event), now);
    for (const auto& each : action.records)
      read.push_back(each.partition.to_string() + "@" + std::to_string(each.offset.value()) + " " +
                     std::string(as_text(each.value.value_or(ByteBuffer{}))));
    return action;
  }
  Fetcher::Action assign(const TopicPartition& partition, StartAt start) {
    return resume(Fetcher::Assign{{{partition, start}}});
  }
  Fetcher::Action fetched(const Fetcher::Send& send, const std::vector<ByteBuffer>& batches,
                          int64_t end = 1000, ErrorCode error = ErrorCode::kNone) {
    ByteBuffer bytes;
    for (const auto& each : batches) bytes.insert(bytes.end(), each.begin(), each.end());
    const auto& asked = std::get<wire::FetchRequest>(send.request).topics.at(0);
    wire::FetchResponse response;
    auto& topic = response.responses.emplace_back();
    topic.topic_id = asked.topic_id;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = asked.partitions.at(0).partition;
    partition.error_code = wire::code_of(error);
    partition.high_watermark = end;
    partition.last_stable_offset = end;
    partition.aborted_transactions = aborted;
    partition.records = wire::Records::of(bytes);
    return resume(Fetcher::Fetched{send.id, std::move(response)});
  }
  Fetcher::Action listed(const Fetcher::Send& send, int64_t offset,
                         ErrorCode error = ErrorCode::kNone) {
    const auto& asked = std::get<wire::ListOffsetsRequest>(send.request).topics.at(0);
    wire::ListOffsetsResponse response;
    response.topics.push_back({.name = asked.name});
    response.topics[0].partitions.push_back({.partition_index = asked.partitions[0].partition_index,
                                             .error_code = wire::code_of(error),
                                             .offset = offset});
    return resume(Fetcher::Listed{send.id, std::move(response)});
  }
  static int64_t fetch_offset(const Fetcher::Send& send) {
    return std::get<wire::FetchRequest>(send.request).topics.at(0).partitions.at(0).fetch_offset;
  }
  static int64_t timestamp(const Fetcher::Send& send) {
    return std::get<wire::ListOffsetsRequest>(send.request).topics.at(0).partitions.at(0).timestamp;
  }
  Fetcher::Action tick_after(Duration delay) {
    now = now + delay;
    return resume(Fetcher::Tick{});
  }

  MetadataCache cache;
  FetcherOptions options;
  Instant now{seconds(1)};
  std::vector<std::string> read;
  std::vector<wire::fetch_response::AbortedTransaction> aborted;
  std::unique_ptr<Fetcher> fetcher_;
};

TEST_F(FetcherTest, asks_the_leader_from_the_offset_and_goes_on_behind_what_came) {
  const auto first = assign(kT0, StartAt::offset(Offset(5)));
  ASSERT_EQ(first.sends.size(), 1);
  EXPECT_EQ(first.sends[0].to, NodeId(1));
  EXPECT_EQ(fetch_offset(first.sends[0]), 5);
  const auto next = fetched(first.sends[0], {bytes_of({5, {"a", "b"}})});
  EXPECT_EQ(read, (std::vector<std::string>{"t-0@5 a", "t-0@6 b"}));
  EXPECT_EQ(fetch_offset(next.sends.at(0)), 7);
  EXPECT_EQ(fetcher().position(kT0), Offset(7));
}

TEST_F(FetcherTest, records_before_the_offset_are_left_out_of_compressed_batches_too) {
  const auto first = assign(kT0, StartAt::offset(Offset(6)));
  fetched(first.sends[0], {bytes_of({5, {"a", "b", "c"}, record::Codec::kZstd})});
  EXPECT_EQ(read, (std::vector<std::string>{"t-0@6 b", "t-0@7 c"}));
}

TEST_F(FetcherTest, the_front_of_a_batch_that_goes_on_is_left_for_the_next_time) {
  const auto first = assign(kT0, StartAt::offset(Offset(0)));
  ByteBuffer torn = bytes_of({1, {"b"}});
  torn.resize(torn.size() - 3);
  const auto next = fetched(first.sends[0], {bytes_of({0, {"a"}}), torn});
  EXPECT_EQ(read, std::vector<std::string>{"t-0@0 a"});
  EXPECT_EQ(fetch_offset(next.sends.at(0)), 1);
}

TEST_F(FetcherTest, start_and_end_and_times_are_asked_of_the_leader) {
  EXPECT_EQ(timestamp(assign(kT0, StartAt::earliest()).sends.at(0)), -2);
  EXPECT_EQ(timestamp(assign(kT0, StartAt::latest()).sends.at(0)), -1);
  EXPECT_EQ(timestamp(assign(kT0, {StartAt::Kind::kTimestamp, 1234}).sends.at(0)), 1234);
  const auto last = assign(kT0, {StartAt::Kind::kBeforeEnd, 3});
  EXPECT_EQ(fetch_offset(listed(last.sends.at(0), 10).sends.at(0)), 7);
}

TEST_F(FetcherTest, a_time_after_the_last_record_means_the_end) {
  const auto asked = assign(kT0, {StartAt::Kind::kTimestamp, 1234});
  const auto again = listed(asked.sends.at(0), -1);
  EXPECT_EQ(timestamp(again.sends.at(0)), -1);
}

TEST_F(FetcherTest, more_records_before_the_end_than_there_are_means_the_start) {
  const auto asked = assign(kT0, {StartAt::Kind::kBeforeEnd, 100});
  const auto fetch = listed(asked.sends.at(0), 10);
  EXPECT_EQ(fetch_offset(fetch.sends.at(0)), 0);
  const auto gone = fetched(fetch.sends[0], {}, -1, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(timestamp(gone.sends.at(0)), -2);
}

TEST_F(FetcherTest, an_offset_that_is_gone_leads_to_where_the_reset_says) {
  const auto first = assign(kT0, StartAt::offset(Offset(5)));
  const auto asked = fetched(first.sends[0], {}, -1, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(timestamp(asked.sends.at(0)), -1);
}

TEST_F(FetcherTest, an_offset_that_is_gone_is_a_problem_without_a_reset) {
  options.reset.reset();
  const auto first = assign(kT0, StartAt::offset(Offset(5)));
  const auto action = fetched(first.sends[0], {}, -1, ErrorCode::kOffsetOutOfRange);
  ASSERT_EQ(action.problems.size(), 1);
  EXPECT_EQ(action.problems[0].error.code, Errc::kNotFound);
  EXPECT_EQ(action.problems[0].code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(fetcher().partition_count(), 0);
}

TEST_F(FetcherTest, a_leader_that_moved_is_looked_for_and_asked) {
  const auto first = assign(kT0, StartAt::offset(Offset(5)));
  const auto moved = fetched(first.sends[0], {}, -1, ErrorCode::kNotLeaderOrFollower);
  EXPECT_TRUE(moved.sends.empty());
  EXPECT_TRUE(moved.refresh.contains("t"));
  cache.update(metadata_of({{"t", {3, 2}}}));
  const auto again = tick_after(options.retry_backoff);
  EXPECT_EQ(again.sends.at(0).to, NodeId(3));
  EXPECT_EQ(fetch_offset(again.sends[0]), 5);
}

TEST_F(FetcherTest, a_lost_connection_is_tried_again) {
  const auto first = assign(kT0, StartAt::offset(Offset(5)));
  const auto lost = resume(Fetcher::Fetched{first.sends[0].id, fail(Errc::kClosed, "reset")});
  EXPECT_EQ(lost.wake, now + options.retry_backoff);
  EXPECT_EQ(tick_after(options.retry_backoff).sends.size(), 1);
  const auto asked = assign(kT1, StartAt::earliest());
  resume(Fetcher::Listed{asked.sends.at(0).id, fail(Errc::kTimedOut, "slow")});
  EXPECT_EQ(tick_after(options.retry_backoff).sends.size(), 1);
}

TEST_F(FetcherTest, a_wrong_checksum_stops_the_partition) {
  const auto first = assign(kT0, StartAt::offset(Offset(0)));
  ByteBuffer rotten = bytes_of({0, {"a"}});
  rotten.back() ^= 1;
  const auto action = fetched(first.sends[0], {rotten});
  ASSERT_EQ(action.problems.size(), 1);
  EXPECT_EQ(action.problems[0].error.code, Errc::kCorrupt);
  EXPECT_TRUE(read.empty());
}

TEST_F(FetcherTest, what_was_revoked_brings_no_more_records) {
  const auto first = assign(kT0, StartAt::offset(Offset(0)));
  resume(Fetcher::Revoke{{kT0}});
  EXPECT_TRUE(fetched(first.sends[0], {bytes_of({0, {"a"}})}).sends.empty());
  EXPECT_TRUE(read.empty());
}

TEST_F(FetcherTest, an_answer_from_before_a_new_assignment_does_not_count) {
  const auto old = assign(kT0, StartAt::offset(Offset(0)));
  assign(kT0, StartAt::offset(Offset(50)));
  const auto next = fetched(old.sends[0], {bytes_of({0, {"a"}})});
  EXPECT_TRUE(read.empty());
  EXPECT_EQ(fetch_offset(next.sends.at(0)), 50);
}

TEST_F(FetcherTest, without_room_nothing_is_asked_for) {
  const auto first = assign(kT0, StartAt::offset(Offset(0)));
  resume(Fetcher::Room{false});
  EXPECT_TRUE(fetched(first.sends[0], {bytes_of({0, {"a"}})}).sends.empty());
  EXPECT_EQ(resume(Fetcher::Room{true}).sends.size(), 1);
}

TEST_F(FetcherTest, what_is_paused_is_not_asked_for_until_it_is_resumed) {
  const auto first = assign(kT0, StartAt::offset(Offset(0)));
  EXPECT_TRUE(resume(Fetcher::Pause{{kT0}}).sends.empty());
  EXPECT_TRUE(fetched(first.sends.at(0), {bytes_of({0, {"a"}})}).sends.empty());
  EXPECT_EQ(read, (std::vector<std::string>{"t-0@0 a"})) << "it was asked for before";
  const auto other = assign(kT1, StartAt::offset(Offset(0)));
  ASSERT_EQ(other.sends.size(), 1) << "others go on";
  EXPECT_EQ(other.sends[0].to, NodeId(2));
  const auto again = resume(Fetcher::Pause{{kT0}, false});
  ASSERT_EQ(again.sends.size(), 1);
  EXPECT_EQ(fetch_offset(again.sends[0]), 1);
}

TEST_F(FetcherTest, what_was_paused_stays_so_at_another_place_and_not_when_it_comes_back) {
  resume(Fetcher::Pause{{kT0}});
  EXPECT_TRUE(assign(kT0, StartAt::offset(Offset(5))).sends.empty()) << "paused before it came";
  EXPECT_TRUE(assign(kT0, StartAt::offset(Offset(7))).sends.empty());
  EXPECT_EQ(fetcher().position(kT0), Offset(7));
  resume(Fetcher::Revoke{{kT0}});
  EXPECT_EQ(assign(kT0, StartAt::offset(Offset(7))).sends.size(), 1);
}

TEST_F(FetcherTest, where_a_paused_partition_begins_is_found_out_all_the_same) {
  resume(Fetcher::Pause{{kT0}});
  const auto asked = assign(kT0, StartAt::latest());
  ASSERT_EQ(asked.sends.size(), 1);
  EXPECT_TRUE(listed(asked.sends[0], 40).sends.empty());
  EXPECT_EQ(fetcher().position(kT0), Offset(40));
}

TEST_F(FetcherTest, until_end_stops_where_the_end_was) {
  options.until_end = true;
  const auto first = assign(kT0, StartAt::offset(Offset(0)));
  EXPECT_EQ(std::get<wire::FetchRequest>(first.sends[0].request).max_wait_ms, 0);
  const auto next = fetched(first.sends[0], {bytes_of({0, {"a"}})}, 2);
  EXPECT_TRUE(next.ended.empty());
  const auto last = fetched(next.sends.at(0), {bytes_of({1, {"b"}})}, 500);
  EXPECT_EQ(last.ended, std::vector<TopicPartition>{kT0});
  EXPECT_TRUE(last.sends.empty());
}

TEST_F(FetcherTest, read_committed_leaves_out_aborted_transactions_and_all_markers) {
  options.read_committed = true;
  aborted.push_back({.producer_id = 7, .first_offset = 0});
  const auto first = assign(kT0, StartAt::offset(Offset(0)));
  EXPECT_EQ(std::get<wire::FetchRequest>(first.sends[0].request).isolation_level, 1);
  fetched(first.sends[0], {bytes_of({0, {"aborted"}, record::Codec::kNone, 7}),
                           bytes_of({1, {"other"}, record::Codec::kNone, 8}),
                           marker(2, 7, record::ControlType::kAbort),
                           bytes_of({3, {"later"}, record::Codec::kNone, 7}),
                           marker(4, 7, record::ControlType::kCommit)});
  EXPECT_EQ(read, (std::vector<std::string>{"t-0@1 other", "t-0@3 later"}));
  EXPECT_EQ(fetcher().position(kT0), Offset(5));
}

TEST_F(FetcherTest, a_topic_that_stays_away_is_a_problem) {
  cache.update(metadata_of({{"gone", {}, ErrorCode::kUnknownTopicOrPartition}}));
  EXPECT_TRUE(assign({"gone", PartitionIndex(0)}, StartAt::earliest()).refresh.contains("gone"));
  EXPECT_TRUE(tick_after(options.retry_backoff).problems.empty());
  const auto action = tick_after(options.topic_patience);
  ASSERT_EQ(action.problems.size(), 1);
  EXPECT_EQ(action.problems[0].error.code, Errc::kNotFound);
}

TEST_F(FetcherTest, an_error_that_does_not_pass_is_a_problem) {
  const auto first = assign(kT0, StartAt::offset(Offset(5)));
  const auto action = fetched(first.sends[0], {}, -1, ErrorCode::kTopicAuthorizationFailed);
  EXPECT_EQ(action.problems.size(), 1);
}

}  // namespace
}  // namespace millrace::client::core
