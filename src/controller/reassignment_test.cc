// AlterPartitionReassignments and ListPartitionReassignments (KIP-455, KIP-860).
#include "controller/reassignment.h"

#include <gtest/gtest.h>

#include "controller/partition_change.h"
#include "controller/testing/cluster.h"

namespace millrace::controller {
namespace {

using wire::ErrorCode;

class ReassignmentTest : public testing::ClusterTest {
 protected:
  ReassignmentTest() {
    for (int32_t id : {2, 3, 4}) add_broker(id);
  }

  wire::AlterPartitionReassignmentsResponse reassign(
      const wire::AlterPartitionReassignmentsRequest& request) {
    auto decided = controller_.decide_alter_partition_reassignments(request);
    commit(decided.records);
    return decided.response;
  }
  static wire::AlterPartitionReassignmentsRequest request(
      std::optional<std::vector<int32_t>> replicas, int32_t index = 0) {
    wire::AlterPartitionReassignmentsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "t";
    topic.partitions.push_back({.partition_index = index, .replicas = std::move(replicas)});
    return request;
  }
  // The only partition's code, and its message.
  std::pair<ErrorCode, std::string> answer(
      const wire::AlterPartitionReassignmentsRequest& request) {
    const auto response = reassign(request);
    EXPECT_EQ(response.error_code, 0);
    EXPECT_EQ(response.error_message, std::nullopt);
    const auto& result = response.responses.at(0).partitions.at(0);
    return {static_cast<ErrorCode>(result.error_code), result.error_message.value_or("")};
  }
  void move_to(std::vector<int32_t> replicas) {
    EXPECT_EQ(answer(request(std::move(replicas))).first, ErrorCode::kNone);
  }
  void cancel() { EXPECT_EQ(answer(request(std::nullopt)).first, ErrorCode::kNone); }
  ErrorCode set_isr(std::vector<int32_t> isr) {
    const auto& now = partition();
    wire::AlterPartitionRequest request{.broker_id = now.leader.value(),
                                        .broker_epoch = broker(now.leader.value()).epoch.value()};
    auto& wanted = request.topics.emplace_back();
    wanted.topic_id = topic().id;
    wanted.partitions.push_back({.leader_epoch = now.leader_epoch.value(),
                                 .new_isr = std::move(isr),
                                 .partition_epoch = now.partition_epoch.value()});
    auto decided = controller_.decide_alter_partition(request);
    commit(decided.records);
    return static_cast<ErrorCode>(decided.response.topics[0].partitions[0].error_code);
  }
};

TEST_F(ReassignmentTest, those_added_catch_up_before_the_others_leave) {
  create_topic({1, 2});
  move_to({3, 2});
  EXPECT_EQ(partition().replicas, ids({3, 2, 1}));
  EXPECT_EQ(partition().adding_replicas, ids({3}));
  EXPECT_EQ(partition().removing_replicas, ids({1}));
  EXPECT_EQ(partition().isr, ids({1, 2}));
  EXPECT_EQ(partition().leader, NodeId(1));
  EXPECT_EQ(partition().leader_epoch, LeaderEpoch(0));
  EXPECT_EQ(set_isr({1, 2, 3}), ErrorCode::kNewLeaderElected);
  EXPECT_EQ(partition().replicas, ids({3, 2}));
  EXPECT_EQ(partition().isr, ids({2, 3}));
  EXPECT_EQ(partition().leader, NodeId(3));
  EXPECT_TRUE(partition().adding_replicas.empty());
  EXPECT_EQ(partition().directories.size(), 2u);
}

TEST_F(ReassignmentTest, an_order_or_a_smaller_set_needs_nobody_to_catch_up) {
  create_topic({1, 2, 3});
  move_to({2, 1, 3});
  EXPECT_EQ(partition().replicas, ids({2, 1, 3}));
  EXPECT_EQ(partition().leader, NodeId(1));
  EXPECT_EQ(partition().leader_epoch, LeaderEpoch(0));
  move_to({2, 3});
  EXPECT_EQ(partition().replicas, ids({2, 3}));
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().leader_epoch, LeaderEpoch(1));
}

TEST_F(ReassignmentTest, one_takes_the_place_of_another) {
  create_topic({1, 2});
  move_to({1, 3});
  move_to({1, 4});
  EXPECT_EQ(partition().replicas, ids({1, 4, 2, 3}));
  EXPECT_EQ(partition().adding_replicas, ids({4}));
  EXPECT_EQ(partition().removing_replicas, ids({2, 3}));
  EXPECT_EQ(set_isr({1, 2, 4}), ErrorCode::kNone);
  EXPECT_EQ(partition().replicas, ids({1, 4}));
  EXPECT_EQ(partition().isr, ids({1, 4}));
}

TEST_F(ReassignmentTest, what_the_one_before_added_or_removed_does_not_linger) {
  create_topic({1, 2});
  move_to({1, 3});
  move_to({1, 2, 3});
  EXPECT_EQ(partition().adding_replicas, ids({3}));
  EXPECT_TRUE(partition().removing_replicas.empty());
  EXPECT_EQ(set_isr({1, 2, 3}), ErrorCode::kNone);
  EXPECT_EQ(partition().replicas, ids({1, 2, 3}));
}

TEST_F(ReassignmentTest, a_cancelled_one_leaves_what_was) {
  create_topic({1, 2});
  move_to({3, 4});
  EXPECT_EQ(set_isr({1, 2, 3}), ErrorCode::kNone);
  EXPECT_EQ(partition().replicas, ids({3, 4, 1, 2}));
  cancel();
  EXPECT_EQ(partition().replicas, ids({1, 2}));
  EXPECT_EQ(partition().isr, ids({1, 2}));
  EXPECT_FALSE(is_reassigning(partition()));
  EXPECT_EQ(answer(request(std::nullopt)),
            std::pair(ErrorCode::kNoReassignmentInProgress, std::string()));
}

TEST_F(ReassignmentTest, cancelling_is_refused_where_only_added_replicas_are_in_sync) {
  create_topic({1});
  move_to({2, 3});
  EXPECT_EQ(set_isr({1, 2}), ErrorCode::kNone);
  heartbeat({.broker_id = 1, .want_fence = true});
  ASSERT_EQ(partition().isr, ids({2}));
  EXPECT_EQ(answer(request(std::nullopt)),
            std::pair(ErrorCode::kInvalidReplicaAssignment,
                      std::string("Unable to revert partition assignment for t:0 because it would "
                                  "require an unclean leader election.")));
  wire::ConfigRecord unclean{.resource_type = 2,
                             .resource_name = "t",
                             .name = "unclean.leader.election.enable",
                             .value = "true"};
  commit({unclean});
  cancel();
  EXPECT_EQ(partition().replicas, ids({1}));
  EXPECT_EQ(partition().isr, ids({1}));
  EXPECT_EQ(partition().leader, kNoNode);
  EXPECT_EQ(partition().recovery_state, 1);
}

TEST_F(ReassignmentTest, assignments_that_cannot_be_are_refused_in_kafkas_words) {
  create_topic({1, 2});
  using Answer = std::pair<ErrorCode, std::string>;
  EXPECT_EQ(answer(request(std::vector<int32_t>{})),
            Answer(ErrorCode::kInvalidReplicaAssignment,
                   "The manual partition assignment includes an empty replica list."));
  EXPECT_EQ(answer(request({{1, 9}})),
            Answer(ErrorCode::kInvalidReplicaAssignment,
                   "The manual partition assignment includes broker 9, but no such broker is "
                   "registered."));
  EXPECT_EQ(answer(request({{1, 1}})),
            Answer(ErrorCode::kInvalidReplicaAssignment,
                   "The manual partition assignment includes the broker 1 more than once."));
  EXPECT_EQ(answer(request({{-1}})).first, ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(answer(request({{1}}, 1)),
            Answer(ErrorCode::kUnknownTopicOrPartition, "Unable to find partition t:1."));
  auto elsewhere = request({{1}});
  elsewhere.topics[0].name = "u";
  EXPECT_EQ(answer(elsewhere),
            Answer(ErrorCode::kUnknownTopicOrPartition, "Unable to find a topic named u."));
  EXPECT_EQ(partition().partition_epoch, PartitionEpoch(0));
}

TEST_F(ReassignmentTest, the_replication_factor_may_be_held) {
  create_topic({1, 2});
  auto held = request({{1, 2, 3}});
  held.allow_replication_factor_change = false;
  EXPECT_EQ(answer(held), std::pair(ErrorCode::kInvalidReplicationFactor,
                                    std::string("The replication factor is changed from 2 to 3")));
  held.topics[0].partitions[0].replicas = {3, 4};
  EXPECT_EQ(answer(held).first, ErrorCode::kNone);
  held.topics[0].partitions[0].replicas = {1, 3};  // counted as it will be: two
  EXPECT_EQ(answer(held).first, ErrorCode::kNone);
  move_to({1, 3, 4});
}

TEST_F(ReassignmentTest, what_moves_is_listed) {
  create_topic({1, 2});
  auto list = [&](wire::ListPartitionReassignmentsRequest request) {
    return controller_.decide_list_partition_reassignments(request).response;
  };
  EXPECT_TRUE(list({}).topics.empty());
  move_to({3, 2});
  for (const auto& response :
       {list({}), list({.topics = {{{.name = "t", .partition_indexes = {0, 5, -1}},
                                    {.name = "u", .partition_indexes = {0}}}}})}) {
    EXPECT_EQ(response.error_message, std::nullopt);
    ASSERT_EQ(response.topics.size(), 1u);
    ASSERT_EQ(response.topics[0].partitions.size(), 1u);
    const auto& ongoing = response.topics[0].partitions[0];
    EXPECT_EQ(ongoing.replicas, (std::vector<int32_t>{3, 2, 1}));
    EXPECT_EQ(ongoing.adding_replicas, (std::vector<int32_t>{3}));
    EXPECT_EQ(ongoing.removing_replicas, (std::vector<int32_t>{1}));
  }
}

}  // namespace
}  // namespace millrace::controller
