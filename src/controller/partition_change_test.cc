// The rules of a partition's changes: elections in Kafka's order, epochs, eligible leader replicas
// (KIP-966), recovery (KIP-704), the completion of reassignments (KIP-455).
#include "controller/partition_change.h"

#include <gtest/gtest.h>

#include <set>

#include "metadata/directory_id.h"
#include "metadata/features.h"

namespace millrace::controller {
namespace {

using metadata::PartitionState;
using Ids = std::vector<NodeId>;

Ids ids(std::initializer_list<int> numbers) {
  Ids result;
  for (int each : numbers) result.push_back(NodeId(each));
  return result;
}

class PartitionChange : public ::testing::Test {
 protected:
  PartitionChange() {
    now_ = {.replicas = ids({1, 2, 3}),
            .isr = ids({1, 2, 3}),
            .directories = std::vector<Uuid>(3, metadata::kUnassignedDirectory),
            .leader = NodeId(1),
            .leader_epoch = LeaderEpoch(5),
            .partition_epoch = PartitionEpoch(7)};
    rules_ = {.metadata_version = 30,
              .keeps_elr = true,
              .may_lead =
                  [this](NodeId id, const Uuid& directory) {
                    return !dead_.contains(id.value()) && directory != metadata::kLostDirectory;
                  },
              .default_directory = [](NodeId) { return Uuid::of_words({8, 8}); }};
  }
  PartitionGoal goal() const { return PartitionGoal(now_); }
  // Changes the partition; whether anything did.
  bool change(PartitionGoal goal) {
    auto record = change_partition(now_, std::move(goal), rules_);
    if (record) now_ = metadata::merged(now_, *record);
    return record.has_value();
  }
  bool leave(int id) {
    dead_.insert(id);
    PartitionGoal wanted = goal();
    std::erase(wanted.isr, NodeId(id));
    return change(std::move(wanted));
  }
  bool come_back(int id, Election election = Election::kOnline) {
    dead_.erase(id);
    PartitionGoal wanted = goal();
    wanted.election = election;
    return change(std::move(wanted));
  }

  PartitionState now_;
  PartitionRules rules_;
  std::set<int> dead_;
};

TEST_F(PartitionChange, what_is_as_wanted_gives_no_record) { EXPECT_FALSE(change(goal())); }

TEST_F(PartitionChange, a_leader_stays_while_it_may) {
  now_.leader = NodeId(3);
  EXPECT_FALSE(change(goal()));
  PartitionGoal wanted = goal();
  wanted.election = Election::kUnclean;
  EXPECT_FALSE(change(std::move(wanted)));
}

TEST_F(PartitionChange, a_preferred_election_gives_it_to_the_first_replica_in_the_isr) {
  now_.leader = NodeId(3);
  PartitionGoal wanted = goal();
  wanted.election = Election::kPreferred;
  EXPECT_TRUE(change(wanted));
  EXPECT_EQ(now_.leader, NodeId(1));
  EXPECT_EQ(now_.leader_epoch, LeaderEpoch(6));
  EXPECT_EQ(now_.partition_epoch, PartitionEpoch(8));
  now_.leader = NodeId(3);
  now_.isr = ids({2, 3});
  EXPECT_FALSE(change(PartitionGoal(now_)));
}

TEST_F(PartitionChange, the_next_leader_is_the_first_of_the_isr_in_the_order_of_the_replicas) {
  now_.replicas = ids({1, 3, 2});
  now_.isr = ids({1, 2, 3});
  EXPECT_TRUE(leave(1));
  EXPECT_EQ(now_.leader, NodeId(3));
  EXPECT_EQ(now_.isr, ids({2, 3}));
}

TEST_F(PartitionChange, an_isr_that_shrinks_raises_the_leader_epoch_only_before_3_6) {
  rules_.metadata_version = metadata::kNoEpochForIsrShrinkLevel - 1;
  EXPECT_TRUE(leave(3));
  EXPECT_EQ(now_.leader_epoch, LeaderEpoch(6));
  dead_.clear();
  PartitionGoal wanted = goal();
  wanted.isr = ids({1, 2, 3});
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_EQ(now_.leader_epoch, LeaderEpoch(6));  // growing never did
  rules_.metadata_version = metadata::kNoEpochForIsrShrinkLevel;
  EXPECT_TRUE(leave(3));
  EXPECT_EQ(now_.leader_epoch, LeaderEpoch(6));
}

TEST_F(PartitionChange, a_replica_that_goes_raises_the_leader_epoch_one_that_comes_does_not) {
  PartitionGoal wanted = goal();
  wanted.replicas = ids({1, 2, 3, 4});
  wanted.adding_replicas = ids({4});
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_EQ(now_.leader_epoch, LeaderEpoch(5));
  EXPECT_EQ(now_.directories.back(), Uuid::of_words({8, 8}));
  wanted = goal();
  wanted.isr = ids({1, 2, 3, 4});
  wanted.removing_replicas = ids({2});
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_EQ(now_.replicas, ids({1, 3, 4}));
  EXPECT_EQ(now_.isr, ids({1, 3, 4}));
  EXPECT_EQ(now_.leader, NodeId(1));
  EXPECT_EQ(now_.leader_epoch, LeaderEpoch(6));
}

TEST_F(PartitionChange, a_reassignment_waits_until_all_that_stay_are_in_the_isr) {
  PartitionGoal wanted = goal();
  wanted.replicas = ids({4, 5, 1, 2, 3});
  wanted.adding_replicas = ids({4, 5});
  wanted.removing_replicas = ids({1, 2, 3});
  EXPECT_TRUE(change(std::move(wanted)));
  wanted = goal();
  wanted.isr = ids({1, 2, 3, 4});
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_TRUE(is_reassigning(now_));
  EXPECT_EQ(now_.leader, NodeId(1));
  wanted = goal();
  wanted.isr = ids({1, 4, 5});
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_FALSE(is_reassigning(now_));
  EXPECT_EQ(now_.replicas, ids({4, 5}));
  EXPECT_EQ(now_.isr, ids({4, 5}));
  EXPECT_EQ(now_.leader, NodeId(4));
  EXPECT_TRUE(now_.elr.empty());
}

// KIP-966: "if the ISR drops below min ISR, the removed members become eligible".
TEST_F(PartitionChange,
       who_leaves_an_isr_below_its_minimum_is_eligible_and_leads_when_all_are_gone) {
  rules_.min_isr = 2;
  EXPECT_TRUE(leave(3));
  EXPECT_TRUE(now_.elr.empty());
  EXPECT_TRUE(leave(1));
  EXPECT_EQ(now_.leader, NodeId(2));
  EXPECT_EQ(now_.elr, ids({1}));
  EXPECT_TRUE(leave(2));
  EXPECT_EQ(now_.leader, kNoNode);
  EXPECT_TRUE(now_.isr.empty());
  EXPECT_EQ(now_.elr, ids({1, 2}));
  EXPECT_EQ(now_.last_known_elr, ids({2}));
  // 3 left while there were enough: it has not all.
  EXPECT_FALSE(come_back(3));
  EXPECT_TRUE(come_back(1));
  EXPECT_EQ(now_.leader, NodeId(1));
  EXPECT_EQ(now_.isr, ids({1}));
  EXPECT_EQ(now_.elr, ids({2}));
  EXPECT_TRUE(now_.last_known_elr.empty());
  EXPECT_EQ(now_.recovery_state, kRecovered);
  PartitionGoal wanted = goal();
  wanted.isr = ids({1, 3});
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_TRUE(now_.elr.empty());
}

// The minimum was lowered while nobody led: who leads now acknowledges alone.
TEST_F(PartitionChange, one_that_is_enough_alone_leaves_nobody_else_eligible) {
  rules_.min_isr = 1;
  now_.isr = {};
  now_.elr = ids({1, 2});
  now_.leader = kNoNode;
  now_.last_known_elr = ids({2});
  EXPECT_TRUE(change(goal()));
  EXPECT_EQ(now_.leader, NodeId(1));
  EXPECT_TRUE(now_.elr.empty());
}

TEST_F(PartitionChange, who_may_have_lost_records_is_not_eligible_but_led_last) {
  rules_.min_isr = 2;
  now_.isr = ids({1});
  now_.elr = ids({2});
  dead_ = {1, 2};
  PartitionGoal wanted = goal();
  wanted.isr = {};
  wanted.may_have_lost = ids({1});
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_EQ(now_.elr, ids({2}));
  EXPECT_EQ(now_.last_known_elr, ids({1}));
  EXPECT_FALSE(come_back(1));  // 2 has more
  wanted = goal();
  wanted.may_have_lost = ids({2});
  dead_ = {1, 2};
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_TRUE(now_.elr.empty());
  EXPECT_FALSE(come_back(2));
  EXPECT_TRUE(come_back(1));
  EXPECT_EQ(now_.leader, NodeId(1));
  EXPECT_EQ(now_.isr, ids({1}));
  EXPECT_EQ(now_.recovery_state, kRecovering);
  EXPECT_TRUE(now_.last_known_elr.empty());
}

TEST_F(PartitionChange, without_eligible_replicas_the_last_of_the_isr_stays_in_it) {
  rules_.keeps_elr = false;
  now_.isr = ids({1});
  EXPECT_TRUE(leave(1));
  EXPECT_EQ(now_.leader, kNoNode);
  EXPECT_EQ(now_.isr, ids({1}));
  EXPECT_TRUE(now_.elr.empty());
  EXPECT_TRUE(now_.last_known_elr.empty());
  EXPECT_FALSE(come_back(2));
  EXPECT_TRUE(come_back(1));
  EXPECT_EQ(now_.leader, NodeId(1));
  EXPECT_EQ(now_.recovery_state, kRecovered);
}

TEST_F(PartitionChange, who_was_eligible_may_lead_after_the_feature_is_off) {
  rules_.keeps_elr = false;
  now_.isr = {};
  now_.elr = ids({2, 3});
  now_.last_known_elr = ids({1});
  now_.leader = kNoNode;
  dead_ = {2, 3};
  EXPECT_FALSE(change(goal()));
  EXPECT_TRUE(come_back(3));
  EXPECT_EQ(now_.leader, NodeId(3));
  EXPECT_EQ(now_.isr, ids({3}));
  EXPECT_TRUE(now_.elr.empty());
  EXPECT_TRUE(now_.last_known_elr.empty());
}

TEST_F(PartitionChange, an_unclean_election_takes_who_is_alive_and_says_that_it_recovers) {
  now_.isr = ids({1});
  EXPECT_TRUE(leave(1));
  EXPECT_EQ(now_.elr, ids({1}));
  EXPECT_FALSE(come_back(3));
  EXPECT_TRUE(come_back(3, Election::kUnclean));
  EXPECT_EQ(now_.leader, NodeId(2));  // alive all the time, and before 3
  EXPECT_EQ(now_.isr, ids({2}));
  EXPECT_TRUE(now_.elr.empty());
  EXPECT_EQ(now_.recovery_state, kRecovering);
}

TEST_F(PartitionChange, an_unclean_election_prefers_an_eligible_replica) {
  now_.isr = ids({1});
  now_.elr = ids({3});
  rules_.min_isr = 2;
  dead_ = {1};
  PartitionGoal wanted = goal();
  wanted.isr = {};
  wanted.election = Election::kUnclean;
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_EQ(now_.leader, NodeId(3));
  EXPECT_EQ(now_.recovery_state, kRecovered);
  EXPECT_EQ(now_.elr, ids({1}));
}

TEST_F(PartitionChange, a_replica_in_a_lost_directory_does_not_lead) {
  PartitionGoal wanted = goal();
  wanted.directories[NodeId(1)] = metadata::kLostDirectory;
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_EQ(now_.leader, NodeId(2));
  EXPECT_EQ(now_.directories[0], metadata::kLostDirectory);
}

TEST_F(PartitionChange, directories_are_not_spoken_of_before_there_are_any) {
  now_.directories.clear();
  EXPECT_FALSE(change(goal()));
  rules_.metadata_version = metadata::kDirectoryAssignmentLevel - 1;
  PartitionGoal wanted = goal();
  wanted.replicas = ids({1, 2, 3, 4});
  wanted.adding_replicas = ids({4});
  EXPECT_TRUE(change(std::move(wanted)));
  EXPECT_TRUE(now_.directories.empty());
}

TEST_F(PartitionChange, an_order_of_eligible_replicas_is_no_change) {
  rules_.min_isr = 3;
  now_.isr = ids({1});
  now_.elr = ids({3, 2});
  EXPECT_FALSE(change(goal()));
}

}  // namespace
}  // namespace millrace::controller
