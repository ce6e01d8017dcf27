// What a leader answers to its followers, to producers that wait for them and to consumers, through
// the dispatcher of a whole broker; the follower is the test.
#include <gtest/gtest.h>

#include "metadata/features.h"
#include "record/builder.h"
#include "server/testing/broker.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/create_topics.h"
#include "wire/delete_records.h"
#include "wire/errors.h"
#include "wire/fetch.h"
#include "wire/list_offsets.h"
#include "wire/produce.h"

namespace millrace::server {
namespace {

using testing::Broker;
using wire::ErrorCode;

constexpr int32_t kSelf = 1, kFollower = 2;
constexpr auto kLag = seconds(30);  // replica.lag.time.max.ms

class LeaderTest : public ::testing::Test {
 protected:
  LeaderTest()
      : broker_({{"min.insync.replicas", "2"},
                 {"broker.rack", "a"},
                 {"broker.session.timeout.ms", "3600000"},
                 {"replica.selector.class",
                  "org.apache.kafka.common.replica.RackAwareReplicaSelector"}}) {
    register_follower();
  }

  void register_follower() {
    Broker::Client controller(broker_, "CONTROLLER");
    wire::BrokerRegistrationRequest request{.broker_id = kFollower,
                                            .cluster_id = broker_.node().cluster_id(),
                                            .incarnation_id = Uuid::of_words({9, ++incarnation_}),
                                            .rack = "b",
                                            .log_dirs = {Uuid::of_words({8, 8})}};
    request.listeners.push_back({.name = "PLAINTEXT", .host = "other", .port = 9092});
    for (const auto& f : metadata::supported_features())
      request.features.push_back(
          {.name = f.name, .min_supported_version = f.least, .max_supported_version = f.most});
    const auto registered = controller.ask<wire::BrokerRegistrationResponse>(request);
    ASSERT_EQ(registered.error_code, 0);
    epoch_ = registered.broker_epoch;
    const auto beat = controller.ask<wire::BrokerHeartbeatResponse>(wire::BrokerHeartbeatRequest{
        .broker_id = kFollower, .broker_epoch = epoch_, .current_metadata_offset = INT64_MAX - 1});
    ASSERT_EQ(beat.error_code, 0);
    ASSERT_FALSE(beat.is_fenced);
  }
  void create(std::vector<int32_t> replicas = {kSelf, kFollower}) {
    wire::CreateTopicsRequest request;
    request.topics = {{.name = "t", .num_partitions = -1, .replication_factor = -1}};
    request.topics[0].assignments = {{.partition_index = 0, .broker_ids = std::move(replicas)}};
    const auto response = client_.ask<wire::CreateTopicsResponse>(request);
    ASSERT_EQ(response.topics[0].error_code, 0) << response.topics[0].error_message.value_or("");
    topic_ = response.topics[0].topic_id;
  }
  wire::ProduceRequest record_of(int16_t acks) {
    record::BatchBuilder builder({});
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes("value")});
    batch_ = std::move(builder).build();
    wire::ProduceRequest request{.acks = acks, .timeout_ms = 20'000};
    auto& topic = request.topic_data.emplace_back();
    topic.topic_id = topic_;
    topic.partition_data.emplace_back().records = wire::Records::of(batch_);
    return request;
  }
  ErrorCode produce(int16_t acks) {
    const auto response = client_.ask<wire::ProduceResponse>(record_of(acks));
    return static_cast<ErrorCode>(response.responses[0].partition_responses[0].error_code);
  }
  // The answer comes later, if at all.
  void begin_produce() { producer_.receive(Broker::Client::frame_of(record_of(-1), 13)); }
  std::optional<ErrorCode> produced() {
    const ByteBuffer frame = std::exchange(producer_.sent(), {});
    if (frame.empty()) return std::nullopt;
    const auto response = *wire::decode<wire::ProduceResponse>(ByteView(frame).subspan(9), 13);
    return static_cast<ErrorCode>(response.responses[0].partition_responses[0].error_code);
  }
  wire::FetchRequest fetch_of(int32_t replica, int64_t offset) const {
    wire::FetchRequest request{.replica_state = {.replica_id = replica, .replica_epoch = -1},
                               .max_wait_ms = 0,
                               .min_bytes = 1};
    auto& topic = request.topics.emplace_back();
    topic.topic_id = topic_;
    topic.partitions.push_back({.current_leader_epoch = 0,
                                .fetch_offset = offset,
                                .log_start_offset = 0,
                                .partition_max_bytes = 1000});
    return request;
  }
  wire::FetchResponse::PartitionData fetch(const wire::FetchRequest& request) {
    return client_.ask<wire::FetchResponse>(request, 17).responses.at(0).partitions.at(0);
  }
  wire::FetchResponse::PartitionData follow(int64_t offset, int64_t log_start = 0) {
    auto request = fetch_of(kFollower, offset);
    request.replica_state.replica_epoch = epoch_;
    request.topics[0].partitions[0].log_start_offset = log_start;
    return fetch(request);
  }
  std::vector<NodeId> isr() {
    return broker_.node().image()->find_topic(topic_)->partitions[0].isr;
  }

  Broker broker_;
  Broker::Client client_{broker_};
  Broker::Client producer_{broker_};
  uint64_t incarnation_ = 0;
  int64_t epoch_ = -1;
  Uuid topic_;
  ByteBuffer batch_;
};

TEST_F(LeaderTest, acks_all_is_answered_when_the_follower_asks_for_what_comes_after) {
  create();
  begin_produce();
  EXPECT_FALSE(produced());
  const auto first = follow(0);
  EXPECT_FALSE(first.records.bytes.empty()) << "a follower reads beyond the high watermark";
  EXPECT_EQ(first.high_watermark, 0);
  EXPECT_TRUE(fetch(fetch_of(-1, 0)).records.bytes.empty()) << "a consumer does not";
  EXPECT_FALSE(produced());
  EXPECT_EQ(follow(1).high_watermark, 1);
  EXPECT_EQ(produced(), ErrorCode::kNone);
  EXPECT_FALSE(fetch(fetch_of(-1, 0)).records.bytes.empty());
}

TEST_F(LeaderTest, acks_1_does_not_wait_for_followers) {
  create();
  EXPECT_EQ(produce(1), ErrorCode::kNone);
}

TEST_F(LeaderTest, acks_all_ends_when_its_time_is_over) {
  create();
  begin_produce();
  broker_.shard().advance(milliseconds(20'000));
  EXPECT_EQ(produced(), ErrorCode::kRequestTimedOut);
}

TEST_F(LeaderTest, a_follower_that_does_not_keep_up_leaves_and_comes_back) {
  create();
  broker_.shard().advance(kLag - seconds(10));
  begin_produce();
  broker_.shard().advance(seconds(12));
  EXPECT_EQ(isr(), std::vector{NodeId(kSelf)});
  EXPECT_FALSE(produced());
  EXPECT_EQ(produce(-1), ErrorCode::kNotEnoughReplicas);
  EXPECT_EQ(follow(0).high_watermark, 0) << "it stands still below min.insync.replicas (KIP-966)";
  follow(1);
  EXPECT_EQ(isr(), (std::vector{NodeId(kSelf), NodeId(kFollower)}));
  EXPECT_EQ(follow(1).high_watermark, 1);
  EXPECT_EQ(produced(), ErrorCode::kNone);
}

TEST_F(LeaderTest, a_fetch_of_a_process_that_is_gone_counts_for_nothing) {  // KIP-903
  create();
  const int64_t before = epoch_;
  register_follower();
  auto late = fetch_of(kFollower, 0);
  late.replica_state.replica_epoch = before;
  EXPECT_EQ(fetch(late).error_code, wire::code_of(ErrorCode::kNotLeaderOrFollower));
}

TEST_F(LeaderTest, who_is_no_replica_is_asked_to_try_again) {
  create({kSelf});
  EXPECT_EQ(follow(0).error_code, wire::code_of(ErrorCode::kUnknownLeaderEpoch));
  auto without_epoch = fetch_of(kFollower, 0);
  without_epoch.topics[0].partitions[0].current_leader_epoch = -1;
  EXPECT_EQ(fetch(without_epoch).error_code, wire::code_of(ErrorCode::kNotLeaderOrFollower));
}

TEST_F(LeaderTest, a_followers_fetch_that_waits_is_answered_by_an_append) {
  create();
  Broker::Client follower(broker_);
  auto request = fetch_of(kFollower, 0);
  request.max_wait_ms = 500;
  follower.receive(Broker::Client::frame_of(request, 17));
  EXPECT_TRUE(follower.sent().empty());
  begin_produce();
  EXPECT_FALSE(follower.sent().empty());
}

TEST_F(LeaderTest, a_fetch_whose_time_is_over_tells_what_moved_while_it_waited) {
  create();
  begin_produce();
  Broker::Client follower(broker_);
  auto request = fetch_of(kFollower, 0);
  request.max_wait_ms = 500;
  request.min_bytes = 1'000'000;
  follower.receive(Broker::Client::frame_of(request, 17));
  EXPECT_TRUE(follower.sent().empty());
  follow(1);
  broker_.shard().advance(milliseconds(500));
  ASSERT_FALSE(follower.sent().empty());
  const auto response =
      *wire::decode<wire::FetchResponse>(ByteView(follower.sent()).subspan(9), 17);
  EXPECT_EQ(response.responses[0].partitions[0].high_watermark, 1);
  EXPECT_FALSE(response.responses[0].partitions[0].records.bytes.empty());
}

TEST_F(LeaderTest, a_fetch_whose_time_is_over_tells_what_it_found_if_nothing_moved) {
  create();
  begin_produce();
  follow(1);
  Broker::Client follower(broker_);
  auto request = fetch_of(kFollower, 1);
  request.max_wait_ms = 500;
  follower.receive(Broker::Client::frame_of(request, 17));
  EXPECT_TRUE(follower.sent().empty());
  broker_.shard().advance(milliseconds(500));
  ASSERT_FALSE(follower.sent().empty());
  const auto response =
      *wire::decode<wire::FetchResponse>(ByteView(follower.sent()).subspan(9), 17);
  EXPECT_EQ(response.responses[0].partitions[0].error_code, 0);
  EXPECT_EQ(response.responses[0].partitions[0].high_watermark, 1);
}

TEST_F(LeaderTest, a_consumer_is_sent_to_the_replica_in_its_rack) {  // KIP-392
  create();
  begin_produce();
  follow(0);
  follow(1);
  auto request = fetch_of(-1, 0);
  request.rack_id = "b";
  const auto sent = fetch(request);
  EXPECT_EQ(sent.preferred_read_replica, kFollower);
  EXPECT_TRUE(sent.records.bytes.empty());
  request.rack_id = "a";
  EXPECT_EQ(fetch(request).preferred_read_replica, -1);
}

TEST_F(LeaderTest, delete_records_waits_for_the_followers_to_hear_of_it) {  // KIP-107
  create();
  begin_produce();
  follow(1);
  wire::DeleteRecordsRequest request{.timeout_ms = 5'000};
  request.topics = {{.name = "t", .partitions = {{.offset = 1}}}};
  producer_.sent().clear();
  producer_.receive(Broker::Client::frame_of(request, 2));
  broker_.shard().advance(seconds(1));
  EXPECT_TRUE(producer_.sent().empty());
  EXPECT_EQ(follow(1, /*log_start=*/0).log_start_offset, 1);
  follow(1, /*log_start=*/1);
  broker_.shard().advance(seconds(1));
  const ByteBuffer frame = producer_.sent();
  ASSERT_FALSE(frame.empty());
  const auto response = *wire::decode<wire::DeleteRecordsResponse>(ByteView(frame).subspan(9), 2);
  EXPECT_EQ(response.topics[0].partitions[0].error_code, 0);
  EXPECT_EQ(response.topics[0].partitions[0].low_watermark, 1);
}

class FollowerTest : public LeaderTest {
 protected:
  FollowerTest() { create({kFollower, kSelf}); }
};

TEST_F(FollowerTest, says_who_leads_and_where) {  // KIP-951
  const auto response = client_.ask<wire::ProduceResponse>(record_of(1));
  const auto& partition = response.responses[0].partition_responses[0];
  EXPECT_EQ(partition.error_code, wire::code_of(ErrorCode::kNotLeaderOrFollower));
  EXPECT_EQ(partition.current_leader.leader_id, kFollower);
  ASSERT_EQ(response.node_endpoints.size(), 1u);
  EXPECT_EQ(response.node_endpoints[0].host, "other");
}

TEST_F(FollowerTest, serves_consumers_that_know_of_followers_and_no_others) {
  EXPECT_EQ(fetch(fetch_of(-1, 0)).error_code, 0);
  EXPECT_EQ(fetch(fetch_of(-1, 5)).error_code, wire::code_of(ErrorCode::kOffsetOutOfRange));
  EXPECT_EQ(fetch(fetch_of(9, 0)).error_code, wire::code_of(ErrorCode::kNotLeaderOrFollower));
  auto old = fetch_of(-1, 0);
  old.topics[0].topic = "t";
  old.topics[0].topic_id = {};
  const auto answer = client_.ask<wire::FetchResponse>(old, 10).responses.at(0).partitions.at(0);
  EXPECT_EQ(answer.error_code, wire::code_of(ErrorCode::kNotLeaderOrFollower));
}

TEST_F(FollowerTest, does_not_say_where_a_log_ends) {
  wire::ListOffsetsRequest request{.replica_id = -1};
  request.topics = {{.name = "t", .partitions = {{.timestamp = -1}}}};
  const auto response = client_.ask<wire::ListOffsetsResponse>(request, 7);
  EXPECT_EQ(response.topics[0].partitions[0].error_code,
            wire::code_of(ErrorCode::kNotLeaderOrFollower));
}

}  // namespace
}  // namespace millrace::server
