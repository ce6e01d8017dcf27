// AlterPartition as Kafka's controller checks it (KIP-497, KIP-841, KIP-903), elections (KIP-460),
// directories (KIP-858).
#include "controller/replication_decisions.h"

#include <gtest/gtest.h>

#include "controller/testing/cluster.h"
#include "metadata/node_ids.h"

namespace millrace::controller {
namespace {

using wire::ErrorCode;

class AlterPartitionTest : public testing::ClusterTest {
 protected:
  AlterPartitionTest() {
    add_broker(2);
    add_broker(3);
  }

  // As its leader asks for it now.
  wire::AlterPartitionRequest request(std::vector<int32_t> isr) {
    const auto& now = partition();
    wire::AlterPartitionRequest request{.broker_id = now.leader.value(),
                                        .broker_epoch = broker(now.leader.value()).epoch.value()};
    auto& wanted = request.topics.emplace_back();
    wanted.topic_id = topic().id;
    wanted.partitions.push_back(
        {.leader_epoch = now.leader_epoch.value(), .partition_epoch = now.partition_epoch.value()});
    for (int32_t id : isr)
      wanted.partitions[0].new_isr_with_epochs.push_back(
          {.broker_id = id, .broker_epoch = broker(id).epoch.value()});
    return request;
  }
  static auto& wanted(wire::AlterPartitionRequest& request) {
    return request.topics[0].partitions[0];
  }
  wire::AlterPartitionResponse alter(const wire::AlterPartitionRequest& request) {
    auto decided = controller_.decide_alter_partition(request);
    commit(decided.records);
    return decided.response;
  }
  ErrorCode code_of(const wire::AlterPartitionRequest& request) {
    return static_cast<ErrorCode>(alter(request).topics[0].partitions[0].error_code);
  }
};

TEST_F(AlterPartitionTest, the_leader_shrinks_and_grows_its_isr) {
  create_topic({1, 2, 3});
  auto response = alter(request({1, 2}));
  auto result = response.topics[0].partitions[0];
  EXPECT_EQ(result.error_code, 0);
  EXPECT_EQ(result.leader_id, 1);
  EXPECT_EQ(result.leader_epoch, 0);
  EXPECT_EQ(result.partition_epoch, 1);
  EXPECT_EQ(result.isr, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(partition().isr, ids({1, 2}));
  EXPECT_EQ(partition().leader_epoch, LeaderEpoch(0));
  EXPECT_EQ(code_of(request({1, 2, 3})), ErrorCode::kNone);
  EXPECT_EQ(partition().partition_epoch, PartitionEpoch(2));
}

TEST_F(AlterPartitionTest, an_isr_that_stays_gives_no_record_and_the_same_epoch) {
  create_topic({1, 2, 3});
  const Offset before = next_;
  EXPECT_EQ(alter(request({1, 2, 3})).topics[0].partitions[0].partition_epoch, 0);
  EXPECT_EQ(next_, before);
}

TEST_F(AlterPartitionTest, version_2_has_an_isr_without_epochs) {
  create_topic({1, 2});
  auto old = request({});
  wanted(old).new_isr = {1};
  EXPECT_EQ(code_of(old), ErrorCode::kNone);
  EXPECT_EQ(partition().isr, ids({1}));
}

TEST_F(AlterPartitionTest, the_broker_epoch_comes_first_of_all) {
  create_topic({1, 2});
  auto stale = request({1});
  stale.broker_epoch -= 1;
  stale.topics[0].topic_id = Uuid::zero();
  const auto response = alter(stale);
  EXPECT_EQ(response.error_code, wire::code_of(ErrorCode::kStaleBrokerEpoch));
  EXPECT_TRUE(response.topics.empty());
  stale.broker_id = 9;
  EXPECT_EQ(alter(stale).error_code, wire::code_of(ErrorCode::kStaleBrokerEpoch));
}

TEST_F(AlterPartitionTest, each_check_has_its_code_and_its_place) {
  create_topic({1, 2});
  auto next = request({1, 2});  // epochs that a second request has at hand
  ASSERT_EQ(code_of(request({1})), ErrorCode::kNone);

  auto bad = next;
  bad.topics[0].topic_id = Uuid::of_words({5, 5});
  EXPECT_EQ(code_of(bad), ErrorCode::kUnknownTopicId);
  bad = next;
  wanted(bad).partition_index = 1;
  EXPECT_EQ(code_of(bad), ErrorCode::kUnknownTopicOrPartition);
  wanted(bad).partition_index = -1;
  EXPECT_EQ(code_of(bad), ErrorCode::kUnknownTopicOrPartition);
  // Of another controller, later than what this one knows.
  bad = next;
  wanted(bad).leader_epoch = 1;
  EXPECT_EQ(code_of(bad), ErrorCode::kNotController);
  bad = next;
  wanted(bad).partition_epoch = 2;
  wanted(bad).leader_epoch = -1;
  EXPECT_EQ(code_of(bad), ErrorCode::kNotController);
  wanted(bad).partition_epoch = 1;
  EXPECT_EQ(code_of(bad), ErrorCode::kFencedLeaderEpoch);
  // Who does not lead is told so before its partition epoch is looked at.
  bad = next;
  bad.broker_id = 2;
  bad.broker_epoch = broker(2).epoch.value();
  EXPECT_EQ(code_of(bad), ErrorCode::kInvalidRequest);
  EXPECT_EQ(code_of(next), ErrorCode::kInvalidUpdateVersion);
  EXPECT_EQ(partition().isr, ids({1}));
}

TEST_F(AlterPartitionTest, an_isr_has_the_leader_and_only_replicas_each_once) {
  create_topic({1, 2});
  EXPECT_EQ(code_of(request({2})), ErrorCode::kInvalidRequest);
  EXPECT_EQ(code_of(request({1, 3})), ErrorCode::kInvalidRequest);
  EXPECT_EQ(code_of(request({1, 2, 2})), ErrorCode::kInvalidRequest);
  EXPECT_EQ(code_of(request({})), ErrorCode::kInvalidRequest);
}

TEST_F(AlterPartitionTest, who_joins_is_alive_and_of_the_epoch_that_caught_up) {
  create_topic({1, 2, 3});
  auto stale = request({1, 2, 3});
  wanted(stale).new_isr_with_epochs[1].broker_epoch -= 1;
  EXPECT_EQ(code_of(stale), ErrorCode::kIneligibleReplica);
  wanted(stale).new_isr_with_epochs[1].broker_epoch = -1;  // nobody says
  EXPECT_EQ(code_of(stale), ErrorCode::kNone);
  heartbeat({.broker_id = 2, .want_fence = true});
  EXPECT_EQ(code_of(request({1, 2, 3})), ErrorCode::kIneligibleReplica);
  commit({wire::BrokerRegistrationChangeRecord{.broker_id = 3, .in_controlled_shutdown = 1}});
  EXPECT_EQ(code_of(request({1, 3})), ErrorCode::kIneligibleReplica);
}

TEST_F(AlterPartitionTest, a_second_change_of_the_same_partition_is_too_late) {
  create_topic({1, 2, 3});
  auto twice = request({1, 2});
  twice.topics[0].partitions.push_back(wanted(twice));
  wanted(twice).new_isr_with_epochs.pop_back();
  const auto response = alter(twice);
  EXPECT_EQ(response.topics[0].partitions[0].error_code, 0);
  EXPECT_EQ(response.topics[0].partitions[1].error_code,
            wire::code_of(ErrorCode::kInvalidUpdateVersion));
  EXPECT_EQ(partition().isr, ids({1}));
}

TEST_F(AlterPartitionTest, a_leader_that_recovers_is_alone_until_it_has) {
  create_topic({1, 2});
  auto recovering = request({1});
  wanted(recovering).leader_recovery_state = 1;
  EXPECT_EQ(code_of(recovering), ErrorCode::kInvalidRequest);  // it had recovered
  wire::PartitionChangeRecord unclean{
      .partition_id = 0, .topic_id = topic().id, .leader_recovery_state = 1};
  unclean.isr = std::vector<int32_t>{1};
  commit({unclean});
  recovering = request({1, 2});
  wanted(recovering).leader_recovery_state = 1;
  EXPECT_EQ(code_of(recovering), ErrorCode::kInvalidRequest);
  wanted(recovering).leader_recovery_state = 7;
  EXPECT_EQ(code_of(recovering), ErrorCode::kInvalidRequest);
  EXPECT_EQ(code_of(request({1, 2})), ErrorCode::kNone);
  EXPECT_EQ(partition().recovery_state, 0);
}

TEST_F(AlterPartitionTest, whoever_leaves_an_isr_below_its_minimum_stays_eligible) {
  create_topic({1, 2, 3}, "2");
  EXPECT_EQ(code_of(request({1, 2})), ErrorCode::kNone);
  EXPECT_TRUE(partition().elr.empty());
  EXPECT_EQ(code_of(request({1})), ErrorCode::kNone);
  EXPECT_EQ(partition().elr, ids({2}));
  EXPECT_EQ(code_of(request({1, 3})), ErrorCode::kNone);
  EXPECT_TRUE(partition().elr.empty());
}

// A reassignment from {1, 2} to {2, 3}, as it stands when 3 has caught up.
TEST_F(AlterPartitionTest, a_leader_that_completes_the_reassignment_away_from_it_learns_so) {
  create_topic({1, 2});
  wire::PartitionChangeRecord moving{.partition_id = 0, .topic_id = topic().id};
  moving.replicas = std::vector<int32_t>{2, 3, 1};
  moving.adding_replicas = std::vector<int32_t>{3};
  moving.removing_replicas = std::vector<int32_t>{1};
  moving.directories = std::vector<Uuid>(3, Uuid::of_words({0, 1}));
  commit({moving});
  EXPECT_EQ(code_of(request({1, 2, 3})), ErrorCode::kNewLeaderElected);
  EXPECT_EQ(partition().replicas, ids({2, 3}));
  EXPECT_EQ(partition().isr, ids({2, 3}));
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().leader_epoch, LeaderEpoch(1));
  EXPECT_TRUE(partition().adding_replicas.empty());
  EXPECT_TRUE(partition().removing_replicas.empty());
}

}  // namespace
}  // namespace millrace::controller
