// APIs through the dispatcher of a whole broker in memory, where the clock is the test's.
#include <gtest/gtest.h>

#include "record/builder.h"
#include "server/testing/broker.h"
#include "wire/api_versions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/describe_quorum.h"
#include "wire/fetch.h"
#include "wire/find_coordinator.h"
#include "wire/metadata.h"
#include "wire/offset_commit.h"
#include "wire/produce.h"
#include "wire/sync_group.h"

namespace millrace::server {
namespace {

using testing::Broker;

class BrokerTest : public ::testing::Test {
 protected:
  void create(const std::string& name) {
    wire::CreateTopicsRequest request;
    request.topics = {{.name = name, .num_partitions = 1, .replication_factor = 1}};
    const auto response = client_.ask<wire::CreateTopicsResponse>(request);
    ASSERT_EQ(response.topics[0].error_code, 0) << response.topics[0].error_message.value_or("");
  }
  static wire::FetchRequest fetch_of(const std::string& topic, int32_t wait_ms) {
    wire::FetchRequest request{.max_wait_ms = wait_ms, .min_bytes = 1, .session_epoch = 0};
    request.topics = {{.topic = topic, .partitions = {{.partition_max_bytes = 1000}}}};
    return request;
  }

  Broker broker_;
  Broker::Client client_{broker_};
};

constexpr int16_t kFetchByName = 12;

TEST_F(BrokerTest, every_api_that_is_served_is_advertised_with_its_versions) {
  const auto answer = client_.ask<wire::ApiVersionsResponse>(
      wire::ApiVersionsRequest{.client_software_name = "t", .client_software_version = "1"});
  std::vector<ServedApi> served;
  std::ranges::copy_if(served_apis(ListenerKind::kBroker), std::back_inserter(served),
                       [](const ServedApi& api) { return !api.is_telemetry; });
  ASSERT_EQ(answer.api_keys.size(), served.size());
  for (size_t i = 0; i < served.size(); ++i) {
    EXPECT_EQ(answer.api_keys[i].api_key, static_cast<int16_t>(served[i].key));
    EXPECT_EQ(answer.api_keys[i].max_version, served[i].versions.max);
  }
}

TEST_F(BrokerTest, telemetry_is_served_where_somebody_may_look_at_it) {
  const auto is_advertised = [&] {
    const auto answer = client_.ask<wire::ApiVersionsResponse>(
        wire::ApiVersionsRequest{.client_software_name = "t", .client_software_version = "1"});
    return std::ranges::any_of(answer.api_keys, [](const auto& api) {
      return api.api_key == wire::PushTelemetryRequest::kApiKey;
    });
  };
  EXPECT_FALSE(is_advertised());
  Broker::Client refused(broker_);
  refused.receive(Broker::Client::frame_of(wire::GetTelemetrySubscriptionsRequest{}, 0));
  EXPECT_FALSE(refused.is_open());
  broker_.telemetry().open();
  EXPECT_TRUE(is_advertised());
  const auto answer = client_.ask<wire::GetTelemetrySubscriptionsResponse>(
      wire::GetTelemetrySubscriptionsRequest{});
  EXPECT_FALSE(answer.client_instance_id.is_zero());
  EXPECT_TRUE(answer.requested_metrics.empty());
}

// The Java consumer ends over COORDINATOR_LOAD_IN_PROGRESS here.
TEST_F(BrokerTest, who_syncs_while_the_group_is_loaded_is_told_to_join_again) {
  create("t");
  wire::FindCoordinatorRequest find;
  find.coordinator_keys = {"g"};
  (void)client_.ask<wire::FindCoordinatorResponse>(find);
  wire::OffsetCommitRequest commit{.group_id = "g"};
  commit.topics = {{.name = "t", .partitions = {{.committed_offset = 1}}}};
  const int16_t by_name = 9;
  (void)client_.ask<wire::OffsetCommitResponse>(commit, by_name);
  broker_.host().disk().fault = [](std::string_view operation, const std::string& path) {
    return operation == "write" && path.find("__consumer_offsets") != std::string::npos
               ? Result<>(fail(Errc::kNoSpace, "full"))
               : Result<>{};
  };
  broker_.host().delay_disks(seconds(1));
  (void)client_.ask<wire::OffsetCommitResponse>(commit, by_name);  // what it knows begins anew
  const auto answer = client_.ask<wire::SyncGroupResponse>(
      wire::SyncGroupRequest{.group_id = "g", .generation_id = 1, .member_id = "m"});
  EXPECT_EQ(answer.error_code, wire::code_of(wire::ErrorCode::kRebalanceInProgress));
}

// kafka.md 2.1: the answer has version 0's form and names ApiVersions alone.
TEST_F(BrokerTest, api_versions_of_no_known_version_is_answered_at_version_zero) {
  for (const int16_t version : {99, -1}) {
    ByteBuffer frame = Broker::Client::frame_of(wire::ApiVersionsRequest{}, 4);
    store_big<int16_t>(frame.data() + 6, version);
    client_.receive(frame);
    const ByteBuffer sent = std::exchange(client_.sent(), {});
    const auto answer = wire::decode<wire::ApiVersionsResponse>(ByteView(sent).subspan(8), 0);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->error_code, 35);
    ASSERT_EQ(answer->api_keys.size(), 1u);
    EXPECT_EQ(answer->api_keys[0].api_key, 18);
  }
}

TEST_F(BrokerTest, a_request_that_is_cut_short_closes_its_connection_alone) {
  ByteBuffer frame = Broker::Client::frame_of(wire::MetadataRequest{}, 12);
  frame.resize(frame.size() - 1);
  store_big<int32_t>(frame.data(), static_cast<int32_t>(frame.size() - 4));
  Broker::Client other(broker_);
  other.receive(frame);
  EXPECT_FALSE(other.is_open());
  EXPECT_TRUE(client_.is_open());
}

// kafka.md 2.4: a fetch that finds nothing waits for its time, and is answered then.
TEST_F(BrokerTest, a_fetch_without_data_waits_and_is_answered_when_its_time_is_over) {
  create("t");
  client_.receive(Broker::Client::frame_of(fetch_of("t", 500), kFetchByName));
  EXPECT_TRUE(client_.sent().empty());
  broker_.shard().advance(milliseconds(499));
  EXPECT_TRUE(client_.sent().empty());
  broker_.shard().advance(milliseconds(1));
  EXPECT_FALSE(client_.sent().empty());
}

wire::ProduceRequest produce_of(ByteView batch, int32_t timeout_ms) {
  wire::ProduceRequest request{.acks = -1, .timeout_ms = timeout_ms};
  auto& topic = request.topic_data.emplace_back();
  topic.name = "t";
  topic.partition_data.push_back({.index = 0, .records = wire::Records::of(batch)});
  return request;
}

// kafka.md 2.3: after its timeout a produce is answered REQUEST_TIMED_OUT, and its record stays.
TEST_F(BrokerTest, a_produce_whose_time_is_over_is_told_so_and_its_record_stays) {
  create("t");
  broker_.host().delay_disks(milliseconds(300));
  record::BatchBuilder builder({});
  builder.append({.timestamp = TimestampMs(1), .value = as_bytes("value")});
  const ByteBuffer batch = std::move(builder).build();
  constexpr int16_t kProduceByName = 12;
  client_.receive(Broker::Client::frame_of(produce_of(batch, 200), kProduceByName));
  broker_.shard().advance(milliseconds(199));
  EXPECT_TRUE(client_.sent().empty());
  broker_.shard().advance(milliseconds(1));
  auto answer = wire::decode<wire::ProduceResponse>(
      ByteView(std::exchange(client_.sent(), {})).subspan(9), kProduceByName);
  ASSERT_TRUE(answer.has_value());
  const auto& late = answer->responses.at(0).partition_responses.at(0);
  EXPECT_EQ(late.error_code, wire::code_of(wire::ErrorCode::kRequestTimedOut));
  EXPECT_EQ(late.base_offset, 0);
  broker_.shard().advance(milliseconds(1000));
  EXPECT_TRUE(client_.sent().empty()) << "one answer a request";
  client_.receive(Broker::Client::frame_of(produce_of(batch, 1000), kProduceByName));
  broker_.shard().advance(milliseconds(1000));
  answer = wire::decode<wire::ProduceResponse>(ByteView(client_.sent()).subspan(9), kProduceByName);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->responses.at(0).partition_responses.at(0).error_code, 0);
  EXPECT_EQ(answer->responses.at(0).partition_responses.at(0).base_offset, 1);
}

// kafka.md 2.10: REQUEST_TIMED_OUT, and the topic may be there later.
TEST_F(BrokerTest, a_creation_whose_time_is_over_is_told_so_and_happens_all_the_same) {
  broker_.host().delay_disks(milliseconds(300));
  wire::CreateTopicsRequest request{.timeout_ms = 200};
  request.topics = {{.name = "t", .num_partitions = 1, .replication_factor = 1}};
  client_.receive(Broker::Client::frame_of(request, 7));
  broker_.shard().advance(milliseconds(200));
  const auto answer = wire::decode<wire::CreateTopicsResponse>(
      ByteView(std::exchange(client_.sent(), {})).subspan(9), 7);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->topics.at(0).error_code, wire::code_of(wire::ErrorCode::kRequestTimedOut));
  broker_.shard().advance(milliseconds(1000));
  EXPECT_TRUE(client_.sent().empty());
  EXPECT_NE(broker_.node().image()->find_topic(std::string_view("t")), nullptr);
}

TEST_F(BrokerTest, a_fetch_that_waits_is_answered_when_its_topic_goes) {
  create("t");
  client_.receive(Broker::Client::frame_of(fetch_of("t", 60'000), kFetchByName));
  ASSERT_TRUE(client_.sent().empty());
  Broker::Client other(broker_);
  wire::DeleteTopicsRequest request{.timeout_ms = 1000};
  request.topics = {{.name = "t"}};
  EXPECT_EQ(other.ask<wire::DeleteTopicsResponse>(request).responses[0].error_code, 0);
  const auto answer =
      wire::decode<wire::FetchResponse>(ByteView(client_.sent()).subspan(9), kFetchByName);
  ASSERT_TRUE(answer.has_value());
  EXPECT_NE(answer->responses.at(0).partitions.at(0).error_code, 0);
}

// kafka.md 2.4: a session belongs to the broker, not to the connection that began it.
TEST_F(BrokerTest, a_fetch_session_goes_on_from_another_connection) {
  create("t");
  const auto begun = client_.ask<wire::FetchResponse>(fetch_of("t", 0), kFetchByName);
  ASSERT_GT(begun.session_id, 0);
  Broker::Client other(broker_);
  const wire::FetchRequest next{.session_id = begun.session_id, .session_epoch = 1};
  const auto answer = other.ask<wire::FetchResponse>(next, kFetchByName);
  EXPECT_EQ(answer.error_code, 0);
  EXPECT_EQ(answer.session_id, begun.session_id);
  EXPECT_TRUE(answer.responses.empty());
}

TEST_F(BrokerTest, the_quorum_is_led_by_this_node) {
  wire::DescribeQuorumRequest request;
  request.topics = {{.topic_name = "__cluster_metadata", .partitions = {{.partition_index = 0}}}};
  const auto partition =
      client_.ask<wire::DescribeQuorumResponse>(request).topics.at(0).partitions.at(0);
  EXPECT_EQ(partition.error_code, 0);
  EXPECT_EQ(partition.leader_id, 1);
  ASSERT_EQ(partition.current_voters.size(), 1u);
  EXPECT_EQ(partition.current_voters[0].log_end_offset, partition.high_watermark);
}

}  // namespace
}  // namespace millrace::server
