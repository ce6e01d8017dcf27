// The APIs of streams groups (KIP-1071) through a whole broker in memory.
#include <gtest/gtest.h>

#include "server/testing/broker.h"
#include "wire/create_topics.h"
#include "wire/find_coordinator.h"
#include "wire/metadata.h"
#include "wire/streams_group_describe.h"
#include "wire/streams_group_heartbeat.h"
#include "wire/update_features.h"

namespace millrace::server {
namespace {

using testing::Broker;
using wire::ErrorCode;
using Request = wire::StreamsGroupHeartbeatRequest;
using Answer = wire::StreamsGroupHeartbeatResponse;
using Described = wire::StreamsGroupDescribeResponse;

class StreamsGroupsTest : public ::testing::Test {
 protected:
  StreamsGroupsTest() {
    wire::CreateTopicsRequest topics;
    topics.topics = {{.name = "lines", .num_partitions = 2, .replication_factor = 1}};
    (void)client_.ask<wire::CreateTopicsResponse>(topics);
    wire::FindCoordinatorRequest find;
    find.coordinator_keys = {"app"};
    (void)client_.ask<wire::FindCoordinatorResponse>(find);
  }
  static Request join() {
    Request request{.group_id = "app", .member_id = "m", .rebalance_timeout_ms = 10'000};
    request.process_id = "p";
    for (auto* tasks : {&request.active_tasks, &request.standby_tasks, &request.warmup_tasks})
      tasks->emplace();
    auto& subtopology = request.topology.emplace().subtopologies.emplace_back();
    subtopology.subtopology_id = "0";
    subtopology.source_topics = {"lines"};
    subtopology.state_changelog_topics = {
        {.name = "app-store-changelog",
         .topic_configs = {{.key = "cleanup.policy", .value = "compact"}}}};
    return request;
  }
  static Request beat(int32_t epoch) {
    return {.group_id = "app", .member_id = "m", .member_epoch = epoch};
  }
  Described::DescribedGroup describe(const std::string& group) {
    wire::StreamsGroupDescribeRequest request;
    request.group_ids = {group};
    request.include_authorized_operations = true;
    return client_.ask<Described>(request).groups.at(0);
  }

  Broker broker_{{{"group.streams.initial.rebalance.delay.ms", "0"},
                  {"group.streams.assignment.interval.ms", "0"}}};
  Broker::Client client_{broker_};
};

TEST_F(StreamsGroupsTest, topics_of_the_applications_own_are_made_and_tasks_given_out) {
  const Answer joined = client_.ask<Answer>(join());
  ASSERT_EQ(joined.error_code, 0) << joined.error_message.value_or("");
  ASSERT_EQ(joined.status->size(), 1u);
  EXPECT_EQ(joined.status->at(0).status_detail, "Internal topics are missing: app-store-changelog");
  const Answer ready = client_.ask<Answer>(beat(joined.member_epoch));
  EXPECT_TRUE(ready.status->empty());
  ASSERT_TRUE(ready.active_tasks);
  EXPECT_EQ(ready.active_tasks->at(0).partitions, (std::vector<int32_t>{0, 1}));
  const auto group = describe("app");
  EXPECT_EQ(group.group_state, "Stable");
  EXPECT_EQ(group.topology->subtopologies->at(0).state_changelog_topics.at(0).partitions, 2);
  EXPECT_NE(group.authorized_operations, INT32_MIN);
  EXPECT_EQ(describe("nobody").error_code, wire::code_of(ErrorCode::kGroupIdNotFound));
  EXPECT_EQ(describe("").error_code, wire::code_of(ErrorCode::kInvalidGroupId));
}

TEST_F(StreamsGroupsTest, why_a_topic_could_not_be_made_is_told_with_the_next_heartbeat) {
  Request request = join();
  request.topology->subtopologies[0].state_changelog_topics[0].replication_factor = 3;
  const Answer joined = client_.ask<Answer>(request);
  const Answer told = client_.ask<Answer>(beat(joined.member_epoch));
  ASSERT_EQ(told.status->size(), 1u);
  EXPECT_TRUE(told.status->at(0).status_detail.starts_with(
      "Internal topics are missing: app-store-changelog; Creation failed: app-store-changelog ("))
      << told.status->at(0).status_detail;
}

TEST_F(StreamsGroupsTest, topics_that_nobody_may_use_are_refused) {
  Request request = join();
  request.topology->subtopologies[0].source_topics = {"__consumer_offsets", "lines"};
  Answer refused = client_.ask<Answer>(request);
  EXPECT_EQ(refused.error_code, wire::code_of(ErrorCode::kStreamsInvalidTopology));
  EXPECT_EQ(refused.error_message,
            "Use of Kafka internal topics __consumer_offsets in a Kafka Streams topology is "
            "prohibited.");
  request.topology->subtopologies[0].source_topics = {"a b"};
  request.topology->subtopologies[0].repartition_sink_topics = {".."};
  refused = client_.ask<Answer>(request);
  EXPECT_EQ(refused.error_message, "Topic names a b,.. are not valid topic names.");
}

TEST_F(StreamsGroupsTest, are_a_feature_that_can_be_switched_off) {
  wire::UpdateFeaturesRequest off;
  off.feature_updates = {{.feature = "streams.version", .max_version_level = 0, .upgrade_type = 2}};
  (void)client_.ask<wire::UpdateFeaturesResponse>(off);
  EXPECT_EQ(client_.ask<Answer>(join()).error_code, wire::code_of(ErrorCode::kUnsupportedVersion));
  EXPECT_EQ(describe("app").error_code, wire::code_of(ErrorCode::kUnsupportedVersion));
}

TEST(StreamsGroups, are_a_protocol_that_can_be_left_out) {
  Broker broker({{"group.coordinator.rebalance.protocols", "classic,consumer"}});
  Broker::Client client(broker);
  EXPECT_EQ(client.ask<Answer>(Request{.group_id = "app", .member_id = "m"}).error_code,
            wire::code_of(ErrorCode::kUnsupportedVersion));
}

}  // namespace
}  // namespace millrace::server
