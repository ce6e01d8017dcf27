#include "controller/controller.h"

#include <gtest/gtest.h>

#include <set>

#include "controller/testing/cluster.h"
#include "wire/metadata_record.h"

namespace millrace::controller {
namespace {

using wire::ErrorCode;

class ControllerTest : public testing::ClusterTest {
 protected:
  static wire::CreateTopicsRequest::CreatableTopic topic(const std::string& name,
                                                         int32_t partitions = 1,
                                                         int16_t replication = 1) {
    return {.name = name, .num_partitions = partitions, .replication_factor = replication};
  }

  wire::CreateTopicsResponse create(std::vector<wire::CreateTopicsRequest::CreatableTopic> topics,
                                    bool validate_only = false) {
    wire::CreateTopicsRequest request;
    request.topics = std::move(topics);
    request.validate_only = validate_only;
    auto decided = controller_.decide_create_topics(request);
    commit(decided.records);
    return decided.response;
  }
  ErrorCode create_one(const wire::CreateTopicsRequest::CreatableTopic& wanted) {
    return static_cast<ErrorCode>(create({wanted}).topics[0].error_code);
  }
};

TEST_F(ControllerTest, a_new_topic_has_leaders_and_is_found_by_name_and_id) {
  auto response = create({topic("orders", 3)});
  EXPECT_EQ(response.topics[0].num_partitions, 3);
  const metadata::Topic* made = controller_.image().find_topic(std::string_view("orders"));
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(controller_.image().find_topic(response.topics[0].topic_id), made);
  EXPECT_EQ(made->partitions.size(), 3u);
  EXPECT_EQ(made->partitions[2].leader, NodeId(1));
}

TEST_F(ControllerTest, minus_one_takes_the_defaults_of_the_broker) {
  EXPECT_EQ(create({topic("t", -1, -1)}).topics[0].num_partitions, 4);
}

TEST_F(ControllerTest, refuses_what_kafka_refuses) {
  EXPECT_EQ(create_one(topic("a.b")), ErrorCode::kNone);
  EXPECT_EQ(create_one(topic("a.b")), ErrorCode::kTopicAlreadyExists);
  EXPECT_EQ(create_one(topic("a_b")), ErrorCode::kInvalidTopicException);
  for (const char* name : {"", ".", "..", "a b", "a/b"})
    EXPECT_EQ(create_one(topic(name)), ErrorCode::kInvalidTopicException) << name;
  EXPECT_EQ(create_one(topic(std::string(250, 'x'))), ErrorCode::kInvalidTopicException);
  EXPECT_EQ(create_one(topic("t", 0)), ErrorCode::kInvalidPartitions);
  EXPECT_EQ(create_one(topic("t", 1, 0)), ErrorCode::kInvalidReplicationFactor);
  EXPECT_EQ(create_one(topic("t", 1, 2)), ErrorCode::kInvalidReplicationFactor);
  auto with_config = topic("t");
  with_config.configs = {{.name = "bad", .value = "1"}};
  EXPECT_EQ(create_one(with_config), ErrorCode::kInvalidConfig);
}

TEST_F(ControllerTest, a_name_twice_in_one_request_is_refused_and_answered_once) {
  auto response = create({topic("t"), topic("t"), topic("u")});
  ASSERT_EQ(response.topics.size(), 2u);
  EXPECT_EQ(response.topics[0].error_code, wire::code_of(ErrorCode::kInvalidRequest));
  EXPECT_EQ(response.topics[1].error_code, 0);
}

TEST_F(ControllerTest, a_count_of_partitions_that_nobody_means_is_refused_before_anything_is_made) {
  EXPECT_EQ(create_one(topic("t", INT32_MAX)), ErrorCode::kPolicyViolation);
  create({topic("u")});
  wire::CreatePartitionsRequest request;
  request.topics = {{.name = "u", .count = INT32_MAX, .assignments = std::nullopt}};
  auto decided = controller_.decide_create_partitions(request);
  EXPECT_EQ(decided.response.results[0].error_code, wire::code_of(ErrorCode::kPolicyViolation));
}

TEST_F(ControllerTest, names_that_collide_within_one_request_are_not_both_made) {
  auto response = create({topic("a.b"), topic("a_b")});
  EXPECT_EQ(response.topics[0].error_code, 0);
  EXPECT_EQ(response.topics[1].error_code, wire::code_of(ErrorCode::kInvalidTopicException));
}

TEST(Image, a_quota_that_was_removed_is_not_in_a_snapshot) {
  metadata::Image image;
  wire::ClientQuotaRecord quota{
      .entity = {{.entity_type = "user", .entity_name = "me"}}, .key = "k", .value = 5};
  ASSERT_TRUE(image.apply(quota, Offset(0)).has_value());
  quota.value = 7;
  ASSERT_TRUE(image.apply(quota, Offset(1)).has_value());
  EXPECT_EQ(image.to_records().size(), 1u);
  quota.remove = true;
  ASSERT_TRUE(image.apply(quota, Offset(2)).has_value());
  EXPECT_TRUE(image.to_records().empty());
}

TEST_F(ControllerTest, validate_only_checks_and_changes_nothing) {
  EXPECT_EQ(create({topic("t")}, true).topics[0].error_code, 0);
  EXPECT_EQ(controller_.image().find_topic(std::string_view("t")), nullptr);
}

// `StripedReplicaPlacer` starts at a random broker.
TEST_F(ControllerTest, topics_of_one_partition_do_not_all_come_to_the_first_broker) {
  for (int32_t id : {2, 3, 4}) add_broker(id);
  std::set<NodeId> leaders;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "t" + std::to_string(i);
    create({topic(name)});
    leaders.insert(controller_.image().find_topic(name)->partitions[0].leader);
  }
  EXPECT_EQ(leaders.size(), 4u);
}

TEST_F(ControllerTest, manual_assignments_are_kept_and_checked) {
  add_broker(2);
  auto wanted = topic("t", -1, -1);
  wanted.assignments = {{.partition_index = 0, .broker_ids = {2, 1}},
                        {.partition_index = 1, .broker_ids = {1, 2}}};
  EXPECT_EQ(create_one(wanted), ErrorCode::kNone);
  EXPECT_EQ(controller_.image().find_topic(std::string_view("t"))->partitions[0].leader, NodeId(2));
  wanted.name = "u";
  wanted.assignments[1].broker_ids = {7};
  EXPECT_EQ(create_one(wanted), ErrorCode::kInvalidReplicaAssignment);
  wanted.assignments[1].broker_ids = {1, 1};
  EXPECT_EQ(create_one(wanted), ErrorCode::kInvalidReplicaAssignment);
  wanted.assignments[1] = {.partition_index = 2, .broker_ids = {1, 2}};
  EXPECT_EQ(create_one(wanted), ErrorCode::kInvalidReplicaAssignment);
}

TEST_F(ControllerTest, fenced_brokers_may_have_replicas_but_are_not_in_the_first_isr) {
  register_broker(registration(2));  // and sends no heartbeat
  EXPECT_EQ(create_one(topic("t", 6, 2)), ErrorCode::kNone);
  for (const auto& partition : controller_.image().find_topic(std::string_view("t"))->partitions) {
    EXPECT_EQ(partition.replicas, (std::vector{NodeId(1), NodeId(2)}));
    EXPECT_EQ(partition.isr, std::vector{NodeId(1)});
  }
  auto by_hand = topic("u", -1, -1);
  by_hand.assignments = {{.partition_index = 0, .broker_ids = {2}}};
  const auto refused = create({by_hand}).topics[0];
  EXPECT_EQ(refused.error_code, wire::code_of(ErrorCode::kInvalidReplicaAssignment));
  EXPECT_EQ(refused.error_message,
            "All brokers specified in the manual partition assignment for partition 0 are fenced "
            "or in controlled shutdown.");
}

TEST_F(ControllerTest, replicas_are_spread_over_racks) {
  for (int32_t id : {2, 3, 4}) {
    auto request = registration(id);
    request.rack = id == 4 ? "b" : "a";
    ASSERT_EQ(register_broker(request).error_code, 0);
    ASSERT_FALSE(heartbeat({.broker_id = id}).is_fenced);
  }
  // Broker 1 has no rack, which is one too.
  EXPECT_EQ(create_one(topic("t", 4, 3)), ErrorCode::kNone);
  wire::CreatePartitionsRequest more;
  more.topics = {{.name = "t", .count = 8, .assignments = std::nullopt}};
  commit(controller_.decide_create_partitions(more).records);
  const auto* made = controller_.image().find_topic(std::string_view("t"));
  ASSERT_EQ(made->partitions.size(), 8u);
  for (const auto& partition : made->partitions) {
    const std::set<NodeId> replicas(partition.replicas.begin(), partition.replicas.end());
    EXPECT_TRUE(replicas.contains(NodeId(1)) && replicas.contains(NodeId(4)));
    EXPECT_NE(replicas.contains(NodeId(2)), replicas.contains(NodeId(3)));
  }
}

TEST_F(ControllerTest, a_deleted_topic_is_gone_with_its_configs) {
  auto wanted = topic("t");
  wanted.configs = {{.name = "retention.ms", .value = "1"}};
  create({wanted});
  wire::DeleteTopicsRequest request;
  request.topic_names = {"t", "unknown"};
  auto decided = controller_.decide_delete_topics(request);
  commit(decided.records);
  EXPECT_EQ(decided.response.responses[0].error_code, 0);
  EXPECT_EQ(decided.response.responses[1].error_code,
            wire::code_of(ErrorCode::kUnknownTopicOrPartition));
  EXPECT_TRUE(controller_.image().configs({metadata::ConfigResourceType::kTopic, "t"}).empty());
}

// kafka.md 2.10: by name and by id, it is one topic and gets one answer.
TEST_F(ControllerTest, a_topic_that_is_named_twice_is_answered_once) {
  create({topic("t")});
  const Uuid id = controller_.image().find_topic(std::string_view("t"))->id;
  using Wanted = wire::DeleteTopicsRequest::DeleteTopicState;
  const Wanted by_name{.name = "t"}, by_id{.name = std::nullopt, .topic_id = id};
  auto refused = [&](std::vector<Wanted> topics) {
    wire::DeleteTopicsRequest request;
    request.topics = std::move(topics);
    const auto decided = controller_.decide_delete_topics(request);
    EXPECT_TRUE(decided.records.empty());
    EXPECT_EQ(decided.response.responses.size(), 1u);
    return decided.response.responses.at(0);
  };
  EXPECT_EQ(refused({by_name, by_id}).topic_id, id);
  EXPECT_EQ(refused({by_id, by_name}).name, "t");
  EXPECT_EQ(refused({by_id, by_id}).topic_id, id);
  EXPECT_EQ(refused({by_name, by_name}).topic_id, Uuid::zero());
}

// kafka.md 2.10, and 10000 partitions of one request as Kafka has it.
TEST_F(ControllerTest, more_partitions_than_one_request_may_have_are_refused_as_a_whole) {
  wire::CreateTopicsRequest request;
  request.topics = {topic("large", Controller::kMaxNewPartitions), topic("small")};
  for (const auto& each : controller_.decide_create_topics(request).response.topics)
    EXPECT_EQ(static_cast<ErrorCode>(each.error_code), ErrorCode::kPolicyViolation);
  request.topics.pop_back();
  EXPECT_EQ(controller_.decide_create_topics(request).response.topics[0].error_code, 0);
}

TEST_F(ControllerTest, partitions_are_only_ever_added) {
  create({topic("t", 2)});
  auto grow = [&](int32_t count) {
    wire::CreatePartitionsRequest request;
    request.topics = {{.name = "t", .count = count, .assignments = std::nullopt}};
    auto decided = controller_.decide_create_partitions(request);
    commit(decided.records);
    return static_cast<ErrorCode>(decided.response.results[0].error_code);
  };
  EXPECT_EQ(grow(2), ErrorCode::kInvalidPartitions);
  EXPECT_EQ(grow(1), ErrorCode::kInvalidPartitions);
  EXPECT_EQ(grow(5), ErrorCode::kNone);
  EXPECT_EQ(controller_.image().find_topic(std::string_view("t"))->partitions.size(), 5u);
}

TEST_F(ControllerTest, changes_of_topics_are_charged_by_their_partitions) {  // KIP-599
  int64_t left = 5;
  controller_.set_mutation_quota([&](int64_t partitions) -> std::optional<Refusal> {
    if (left < partitions) return Refusal{ErrorCode::kThrottlingQuotaExceeded, "too much"};
    left -= partitions;
    return std::nullopt;
  });
  const auto created = create({topic("a", 3), topic("b", 3), topic("c", 1), topic("a b", 1)});
  EXPECT_EQ(created.topics[0].error_code, 0);
  EXPECT_EQ(created.topics[1].error_code, wire::code_of(ErrorCode::kThrottlingQuotaExceeded));
  EXPECT_EQ(created.topics[2].error_code, 0);
  EXPECT_EQ(left, 1) << "what is refused is free";
  wire::CreatePartitionsRequest more;
  more.topics.push_back({.name = "a", .count = 5, .assignments = std::nullopt});
  EXPECT_EQ(controller_.decide_create_partitions(more).response.results[0].error_code,
            wire::code_of(ErrorCode::kThrottlingQuotaExceeded));
  wire::DeleteTopicsRequest gone;
  gone.topics.push_back({.name = "a"});
  EXPECT_EQ(controller_.decide_delete_topics(gone).response.responses[0].error_code,
            wire::code_of(ErrorCode::kThrottlingQuotaExceeded));
  gone.topics[0].name = "c";
  EXPECT_EQ(controller_.decide_delete_topics(gone).response.responses[0].error_code, 0);
  EXPECT_EQ(left, 0);
}

TEST_F(ControllerTest, producer_ids_come_in_blocks_that_never_overlap) {
  auto first = controller_.decide_producer_id_block(NodeId(1), BrokerEpoch(5));
  commit(first.records);
  auto second = controller_.decide_producer_id_block(NodeId(1), BrokerEpoch(5));
  EXPECT_EQ(second.response - first.response, 1000);
}

TEST_F(ControllerTest, replaying_the_log_and_loading_a_snapshot_both_give_the_same_image) {
  add_broker(2);
  auto wanted = topic("t", 3, 2);
  wanted.configs = {{.name = "retention.ms", .value = "5"}};
  create({wanted, topic("u")});
  commit(controller_.decide_producer_id_block(NodeId(1), BrokerEpoch(5)).records);
  metadata::Image replayed, loaded;
  Offset offset{0};
  for (const auto& record : log_) {
    ASSERT_TRUE(replayed.apply(record, offset).has_value());
    ++offset;
  }
  for (const auto& record : controller_.image().to_records())
    ASSERT_TRUE(loaded.apply(record, offset).has_value());
  EXPECT_EQ(replayed.to_records(), controller_.image().to_records());
  EXPECT_EQ(loaded.to_records(), controller_.image().to_records());
}

TEST(Image, a_published_copy_is_not_changed_by_what_follows) {
  metadata::Image image;
  const Uuid id = Uuid::of_words({1, 1});
  ASSERT_TRUE(image.apply(wire::TopicRecord{.name = "t", .topic_id = id}, Offset(0)).has_value());
  ASSERT_TRUE(image
                  .apply(wire::PartitionRecord{.partition_id = 0,
                                               .topic_id = id,
                                               .replicas = {1},
                                               .isr = {1},
                                               .leader = 1,
                                               .leader_epoch = 0,
                                               .partition_epoch = 0},
                         Offset(1))
                  .has_value());
  const metadata::Image published = image;
  ASSERT_TRUE(
      image
          .apply(wire::PartitionChangeRecord{.partition_id = 0, .topic_id = id, .leader = -1},
                 Offset(2))
          .has_value());
  EXPECT_EQ(published.find_topic(id)->partitions[0].leader, NodeId(1));
  EXPECT_EQ(image.find_topic(id)->partitions[0].leader, kNoNode);
}

TEST(Image, refuses_records_that_cannot_be) {
  metadata::Image image;
  const Uuid id = Uuid::of_words({1, 1});
  EXPECT_FALSE(image.apply(wire::RemoveTopicRecord{.topic_id = id}, Offset(0)).has_value());
  EXPECT_FALSE(
      image.apply(wire::PartitionRecord{.partition_id = 0, .topic_id = id}, Offset(0)).has_value());
  ASSERT_TRUE(image.apply(wire::TopicRecord{.name = "t", .topic_id = id}, Offset(0)).has_value());
  EXPECT_FALSE(image.apply(wire::TopicRecord{.name = "t", .topic_id = id}, Offset(1)).has_value());
  EXPECT_FALSE(image.apply(wire::TopicRecord{.name = "u", .topic_id = id}, Offset(1)).has_value());
  EXPECT_FALSE(
      image.apply(wire::PartitionRecord{.partition_id = 5, .topic_id = id}, Offset(1)).has_value());
}

}  // namespace
}  // namespace millrace::controller
