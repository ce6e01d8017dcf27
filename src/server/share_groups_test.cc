// The APIs of share groups (KIP-932) through a whole broker in memory, with share coordinators that
// are the test's.
#include <gtest/gtest.h>

#include "node/partition_groups.h"
#include "node/testing/share_states.h"
#include "record/builder.h"
#include "server/testing/broker.h"
#include "wire/create_topics.h"
#include "wire/delete_groups.h"
#include "wire/describe_share_group_offsets.h"
#include "wire/find_coordinator.h"
#include "wire/produce.h"
#include "wire/update_features.h"

namespace millrace::server {
namespace {

using testing::Broker;
using wire::ErrorCode;
using Heartbeat = wire::ShareGroupHeartbeatRequest;
using HeartbeatAnswer = wire::ShareGroupHeartbeatResponse;

class ShareGroupsTest : public ::testing::Test {
 protected:
  ShareGroupsTest() {
    broker_.node().groups().use(states_);
    wire::CreateTopicsRequest topics;
    topics.topics = {{.name = "t", .num_partitions = 1, .replication_factor = 1}};
    (void)client_.ask<wire::CreateTopicsResponse>(topics);
    wire::FindCoordinatorRequest find;
    find.coordinator_keys = {"s"};
    (void)client_.ask<wire::FindCoordinatorResponse>(find);
  }
  HeartbeatAnswer beat(int32_t epoch, const std::string& member = "m") {
    Heartbeat request{.group_id = "s", .member_id = member, .member_epoch = epoch};
    if (epoch == 0) request.subscribed_topic_names = {"t"};
    return client_.ask<HeartbeatAnswer>(request);
  }
  // With one partition of t that is initialised, without members.
  void use_and_leave() {
    (void)beat(0);
    (void)beat(-1);
  }
  void produce(int records) {
    record::BatchBuilder builder({});
    for (int i = 0; i < records; ++i) builder.append({.value = as_bytes("v")});
    const ByteBuffer batch = std::move(builder).build();
    wire::ProduceRequest request{.acks = 1, .timeout_ms = 1000};
    request.topic_data = {{.name = "t", .partition_data = {{.records = wire::Records::of(batch)}}}};
    (void)client_.ask<wire::ProduceResponse>(request, 12);
  }
  wire::DescribeShareGroupOffsetsResponse::DescribeShareGroupOffsetsResponseGroup describe(
      std::optional<std::vector<std::string>> topics) {
    wire::DescribeShareGroupOffsetsRequest request;
    auto& group = request.groups.emplace_back();
    group.group_id = "s";
    group.topics.reset();
    if (topics) {
      group.topics.emplace();
      for (const std::string& name : *topics)
        group.topics->push_back({.topic_name = name, .partitions = {0}});
    }
    return client_.ask<wire::DescribeShareGroupOffsetsResponse>(request).groups.at(0);
  }
  wire::AlterShareGroupOffsetsResponse alter(int64_t start) {
    wire::AlterShareGroupOffsetsRequest request{.group_id = "s"};
    request.topics = {{.topic_name = "t", .partitions = {{.start_offset = start}}}};
    return client_.ask<wire::AlterShareGroupOffsetsResponse>(request);
  }

  node::testing::ShareStates states_;
  Broker broker_;
  Broker::Client client_{broker_};
};

TEST_F(ShareGroupsTest, a_member_is_assigned_what_its_group_has_initialised) {
  const auto joined = beat(0);
  EXPECT_EQ(joined.error_code, 0) << joined.error_message.value_or("");
  EXPECT_EQ(states_.states.size(), 1u);
  broker_.shard().advance(seconds(2));
  const auto assigned = beat(joined.member_epoch);
  ASSERT_TRUE(assigned.assignment);
  ASSERT_EQ(assigned.assignment->topic_partitions.size(), 1u);
  EXPECT_EQ(assigned.assignment->topic_partitions[0].partitions, std::vector<int32_t>{0});
  wire::ShareGroupDescribeRequest request;
  request.group_ids = {"s", "", "x"};
  request.include_authorized_operations = true;
  const auto described = client_.ask<wire::ShareGroupDescribeResponse>(request);
  EXPECT_EQ(described.groups.at(0).group_state, "Stable");
  EXPECT_EQ(described.groups[0].authorized_operations, 3400);
  EXPECT_EQ(described.groups.at(1).error_code, wire::code_of(ErrorCode::kInvalidGroupId));
  EXPECT_EQ(described.groups.at(2).error_code, wire::code_of(ErrorCode::kGroupIdNotFound));
}

TEST_F(ShareGroupsTest, member_ids_are_no_longer_than_uuids) {
  EXPECT_EQ(beat(0, std::string(36, 'm')).error_code, 0);
  const auto refused = beat(0, std::string(37, 'm'));
  EXPECT_EQ(refused.error_code, wire::code_of(ErrorCode::kInvalidRequest));
  EXPECT_FALSE(refused.error_message);
  EXPECT_EQ(beat(0, "").error_code, wire::code_of(ErrorCode::kInvalidRequest));
}

TEST_F(ShareGroupsTest, offsets_are_described_with_their_lag) {
  use_and_leave();
  produce(5);
  const auto uninitialised = describe(std::nullopt);
  ASSERT_EQ(uninitialised.topics.size(), 1u);
  EXPECT_EQ(uninitialised.topics[0].partitions.at(0).start_offset, -1);
  EXPECT_EQ(uninitialised.topics[0].partitions[0].lag, -1);
  EXPECT_EQ(alter(1).error_code, 0);
  states_.states.begin()->second.delivery_complete_count = 2;
  for (const auto& topics : {std::optional<std::vector<std::string>>{},
                             std::optional{std::vector<std::string>{"absent", "t"}}}) {
    const auto group = describe(topics);
    EXPECT_EQ(group.error_code, 0);
    EXPECT_EQ(group.topics.at(0).topic_name, "t");
    EXPECT_EQ(group.topics[0].partitions.at(0).start_offset, 1);
    EXPECT_EQ(group.topics[0].partitions[0].lag, 2);
    if (!topics) continue;
    EXPECT_EQ(group.topics.at(1).topic_name, "absent");
    EXPECT_EQ(group.topics[1].partitions.at(0).start_offset, -1);
  }
}

TEST_F(ShareGroupsTest, what_share_coordinators_do_not_tell_has_no_start) {
  use_and_leave();
  (void)alter(1);
  states_.error = ErrorCode::kCoordinatorNotAvailable;
  const auto group = describe(std::nullopt);
  EXPECT_EQ(group.error_code, 0);
  EXPECT_EQ(group.topics.at(0).partitions.at(0).start_offset, -1);
  EXPECT_EQ(group.topics[0].partitions[0].error_code, 0);
}

TEST_F(ShareGroupsTest, nobody_is_asked_about_a_partition_that_is_not_there) {
  const Uuid topic = broker_.node().image()->find_topic("t")->id;
  states_.states[{"s", topic, PartitionIndex(1)}] = {.start_offset = Offset(5)};
  wire::DescribeShareGroupOffsetsRequest request;
  request.groups = {{.group_id = "s", .topics = {{{.topic_name = "t", .partitions = {1, -1}}}}}};
  const auto group = client_.ask<wire::DescribeShareGroupOffsetsResponse>(request).groups.at(0);
  for (const auto& partition : group.topics.at(0).partitions) {
    EXPECT_EQ(partition.error_code, 0);
    EXPECT_EQ(partition.start_offset, -1);
  }
  EXPECT_EQ(group.topics[0].partitions.size(), 2u);
}

TEST_F(ShareGroupsTest, offsets_are_altered_and_deleted_when_nobody_is_there) {
  (void)beat(0);
  EXPECT_EQ(alter(7).error_code, wire::code_of(ErrorCode::kNonEmptyGroup));
  (void)beat(-1);
  EXPECT_EQ(alter(7).responses.at(0).partitions.at(0).error_code, 0);
  EXPECT_EQ(states_.states.begin()->second.start_offset, Offset(7));
  wire::DeleteShareGroupOffsetsRequest request{.group_id = "s"};
  request.topics = {{.topic_name = "t"}};
  const auto deleted = client_.ask<wire::DeleteShareGroupOffsetsResponse>(request);
  EXPECT_EQ(deleted.responses.at(0).error_code, 0);
  EXPECT_TRUE(states_.states.empty());
  request.group_id = "";
  const auto nameless = client_.ask<wire::DeleteShareGroupOffsetsResponse>(request);
  EXPECT_EQ(nameless.error_code, wire::code_of(ErrorCode::kInvalidGroupId));
  EXPECT_EQ(nameless.error_message, "The group id is invalid.");
}

TEST_F(ShareGroupsTest, a_group_is_deleted_with_its_state) {
  use_and_leave();
  EXPECT_EQ(states_.states.size(), 1u);
  wire::DeleteGroupsRequest request;
  request.groups_names = {"s"};
  EXPECT_EQ(client_.ask<wire::DeleteGroupsResponse>(request).results.at(0).error_code, 0);
  EXPECT_TRUE(states_.states.empty());
}

TEST_F(ShareGroupsTest, nothing_is_served_when_the_feature_is_off) {
  wire::UpdateFeaturesRequest off;
  off.feature_updates = {{.feature = "share.version", .max_version_level = 0, .upgrade_type = 2}};
  EXPECT_EQ(client_.ask<wire::UpdateFeaturesResponse>(off).error_code, 0);
  const int16_t unsupported = wire::code_of(ErrorCode::kUnsupportedVersion);
  EXPECT_EQ(beat(0).error_code, unsupported);
  EXPECT_EQ(alter(0).error_message, "The version of API is not supported.");
  EXPECT_EQ(describe(std::nullopt).error_code, unsupported);
  wire::ShareGroupDescribeRequest request;
  request.group_ids = {"s"};
  EXPECT_EQ(client_.ask<wire::ShareGroupDescribeResponse>(request).groups.at(0).error_code,
            unsupported);
}

}  // namespace
}  // namespace millrace::server
