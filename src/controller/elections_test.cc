// ElectLeaders (KIP-460), what the clock elects, and directories that fail (KIP-858).
#include <gtest/gtest.h>

#include "controller/replication_decisions.h"
#include "controller/testing/cluster.h"
#include "metadata/directory_id.h"

namespace millrace::controller {
namespace {

using wire::ErrorCode;

class ElectionsTest : public testing::ClusterTest {
 protected:
  ElectionsTest() {
    add_broker(2);
    add_broker(3);
  }

  wire::ElectLeadersResponse elect(const wire::ElectLeadersRequest& request) {
    auto decided = controller_.decide_elect_leaders(request);
    commit(decided.records);
    return decided.response;
  }
  ErrorCode elect(int8_t type, int32_t index = 0, const std::string& name = "t") {
    wire::ElectLeadersRequest request{.election_type = type};
    request.topic_partitions->push_back({.topic = name, .partitions = {index}});
    return static_cast<ErrorCode>(
        elect(request).replica_election_results.at(0).partition_result.at(0).error_code);
  }
  void fence(int32_t id) { heartbeat({.broker_id = id, .want_fence = true}); }
  void set_config(const std::string& name, const std::string& value) {
    wire::IncrementalAlterConfigsRequest request;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = 2;
    resource.resource_name = "t";
    resource.configs.push_back({.name = name, .value = value});
    auto decided = controller_.decide_incremental_alter_configs(request);
    ASSERT_EQ(decided.response.responses[0].error_code, 0);
    commit(decided.records);
  }
  // As the host does, with all brokers alive that are not fenced.
  void live(Duration time) {
    for (Duration passed{0}; passed < time; passed += seconds(1)) {
      now_ = now_ + seconds(1);
      for (int32_t id : {1, 2, 3})
        if (!broker(id).fenced) heartbeat({.broker_id = id});
      commit(controller_.decide_periodic(now_));
    }
  }

  static constexpr int8_t kPreferred = 0;
  static constexpr int8_t kUnclean = 1;
};

TEST_F(ElectionsTest, the_preferred_replica_leads_again_when_asked) {
  create_topic({1, 2, 3});
  EXPECT_EQ(elect(kPreferred), ErrorCode::kElectionNotNeeded);
  fence(1);
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(elect(kPreferred), ErrorCode::kPreferredLeaderNotAvailable);
  heartbeat({.broker_id = 1});
  EXPECT_EQ(elect(kPreferred), ErrorCode::kPreferredLeaderNotAvailable);  // not in the ISR yet
  wire::PartitionChangeRecord joined{.partition_id = 0, .topic_id = topic().id};
  joined.isr = std::vector<int32_t>{1, 2, 3};
  commit({joined});
  EXPECT_EQ(elect(kPreferred), ErrorCode::kNone);
  EXPECT_EQ(partition().leader, NodeId(1));
  EXPECT_EQ(partition().isr, ids({1, 2, 3}));
}

TEST_F(ElectionsTest, an_unclean_election_is_for_partitions_without_a_leader) {
  create_topic({1, 2});
  EXPECT_EQ(elect(kUnclean), ErrorCode::kElectionNotNeeded);
  fence(2);
  fence(1);
  ASSERT_EQ(partition().leader, kNoNode);
  EXPECT_EQ(elect(kUnclean), ErrorCode::kEligibleLeadersNotAvailable);
  heartbeat({.broker_id = 2});
  EXPECT_EQ(partition().leader, kNoNode);  // it was not in the ISR at the end
  EXPECT_EQ(elect(kUnclean), ErrorCode::kNone);
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().isr, ids({2}));
  EXPECT_EQ(partition().recovery_state, 1);
}

TEST_F(ElectionsTest, what_there_is_not_is_said_and_a_type_that_there_is_not_refused) {
  create_topic({1, 2});
  EXPECT_EQ(elect(kPreferred, 1), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(elect(kPreferred, -1), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(elect(kPreferred, 0, "u"), ErrorCode::kUnknownTopicOrPartition);
  wire::ElectLeadersRequest request{.election_type = 2};
  request.topic_partitions->push_back({.topic = "t", .partitions = {0}});
  const auto response = elect(request);
  EXPECT_EQ(response.error_code, wire::code_of(ErrorCode::kInvalidRequest));
  const auto& result = response.replica_election_results.at(0).partition_result.at(0);
  EXPECT_EQ(result.error_code, wire::code_of(ErrorCode::kInvalidRequest));
  EXPECT_EQ(result.error_message, "Unknown election type 2");
}

TEST_F(ElectionsTest, of_all_partitions_those_that_need_none_are_left_out) {
  create_topic({2, 1});
  const auto before = next_;
  wire::ElectLeadersRequest all{.topic_partitions = std::nullopt};
  auto response = elect(all);
  ASSERT_EQ(response.replica_election_results.size(), 1u);
  EXPECT_TRUE(response.replica_election_results[0].partition_result.empty());
  EXPECT_EQ(next_, before);
  fence(2);
  response = elect(all);
  ASSERT_EQ(response.replica_election_results[0].partition_result.size(), 1u);
  EXPECT_EQ(response.replica_election_results[0].partition_result[0].error_code,
            wire::code_of(ErrorCode::kPreferredLeaderNotAvailable));
}

TEST_F(ElectionsTest, preferred_leaders_come_back_by_themselves_after_a_while) {
  create_topic({1, 2});
  fence(1);
  heartbeat({.broker_id = 1});
  wire::PartitionChangeRecord joined{.partition_id = 0, .topic_id = topic().id};
  joined.isr = std::vector<int32_t>{1, 2};
  commit({joined});
  live(seconds(299));
  EXPECT_EQ(partition().leader, NodeId(2));
  live(seconds(2));
  EXPECT_EQ(partition().leader, NodeId(1));
}

TEST_F(ElectionsTest, a_topic_that_comes_to_allow_it_gets_a_leader_at_once) {
  create_topic({1, 2});
  fence(2);
  fence(1);
  heartbeat({.broker_id = 2});
  live(seconds(2));
  EXPECT_EQ(partition().leader, kNoNode);
  set_config("unclean.leader.election.enable", "true");
  live(seconds(1));
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().recovery_state, 1);
}

TEST_F(ElectionsTest, a_topic_that_allows_it_loses_its_leader_only_with_its_last_replica) {
  create_topic({1, 2});
  set_config("unclean.leader.election.enable", "true");
  fence(2);
  heartbeat({.broker_id = 2});  // alive, not in the ISR
  fence(1);
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().isr, ids({2}));
}

TEST_F(ElectionsTest, a_changed_minimum_of_the_isr_clears_who_is_eligible_by_the_old_one) {
  create_topic({1, 2}, "2");
  fence(2);
  ASSERT_EQ(partition().elr, ids({2}));
  const PartitionEpoch before = partition().partition_epoch;
  set_config("min.insync.replicas", "1");
  EXPECT_TRUE(std::holds_alternative<wire::ClearElrRecord>(log_.back()));
  EXPECT_TRUE(partition().elr.empty());
  EXPECT_EQ(partition().partition_epoch, before + 1);
}

// Nothing was acknowledged since there was nobody to do it.
TEST_F(ElectionsTest, a_partition_without_a_leader_keeps_its_eligible_ones_all_the_same) {
  create_topic({1, 2}, "2");
  fence(2);
  fence(1);
  ASSERT_EQ(partition().elr, ids({1, 2}));
  set_config("min.insync.replicas", "1");
  EXPECT_EQ(partition().elr, ids({1, 2}));
  EXPECT_EQ(partition().last_known_elr, ids({1}));
}

class DirectoriesTest : public ElectionsTest {
 protected:
  static Uuid directory(int number) { return Uuid::of_words({40, static_cast<uint64_t>(number)}); }
  DirectoriesTest() {
    auto request = registration(4);
    request.log_dirs = {directory(1), directory(2)};
    register_broker(request);
    heartbeat({.broker_id = 4});
  }
  wire::AssignReplicasToDirsRequest assignment(Uuid to) {
    wire::AssignReplicasToDirsRequest request{.broker_id = 4,
                                              .broker_epoch = broker(4).epoch.value()};
    auto& in = request.directories.emplace_back();
    in.id = to;
    in.topics.push_back({.topic_id = topic().id, .partitions = {{.partition_index = 0}}});
    return request;
  }
  wire::AssignReplicasToDirsResponse assign(const wire::AssignReplicasToDirsRequest& request) {
    auto decided = controller_.decide_assign_replicas_to_dirs(request);
    commit(decided.records);
    return decided.response;
  }
  // Broker 4, which had crashed, with these directories; other ones wait for its session's end.
  void come_back(std::vector<Uuid> directories) {
    now_ = now_ + seconds(20);
    auto again = registration(4, /*incarnation=*/2);
    again.log_dirs = std::move(directories);
    ASSERT_EQ(register_broker(again).error_code, 0);
    heartbeat({.broker_id = 4});
  }
  ErrorCode code_of(const wire::AssignReplicasToDirsRequest& request) {
    return static_cast<ErrorCode>(
        assign(request).directories.at(0).topics.at(0).partitions.at(0).error_code);
  }
};

TEST_F(DirectoriesTest, a_broker_says_where_its_replicas_are) {
  create_topic({4, 2});
  EXPECT_EQ(partition().directories[0], metadata::kUnassignedDirectory);
  EXPECT_EQ(code_of(assignment(directory(2))), ErrorCode::kNone);
  EXPECT_EQ(partition().directories[0], directory(2));
  EXPECT_EQ(partition().directories[1], broker(2).log_dirs[0]);
  EXPECT_EQ(partition().leader, NodeId(4));
  EXPECT_EQ(partition().leader_epoch, LeaderEpoch(0));
  const Offset before = next_;
  EXPECT_EQ(code_of(assignment(directory(2))), ErrorCode::kNone);
  EXPECT_EQ(next_, before);
}

TEST_F(DirectoriesTest, what_it_may_not_say_has_its_code) {
  create_topic({1, 2});
  EXPECT_EQ(code_of(assignment(directory(1))), ErrorCode::kNotLeaderOrFollower);
  auto bad = assignment(directory(1));
  bad.directories[0].topics[0].partitions[0].partition_index = 1;
  EXPECT_EQ(code_of(bad), ErrorCode::kUnknownTopicOrPartition);
  bad.directories[0].topics[0].topic_id = directory(9);
  EXPECT_EQ(code_of(bad), ErrorCode::kUnknownTopicId);
  bad.broker_epoch -= 1;
  EXPECT_EQ(assign(bad).error_code, wire::code_of(ErrorCode::kStaleBrokerEpoch));
}

TEST_F(DirectoriesTest, a_replica_in_a_directory_that_is_not_there_is_given_up) {
  create_topic({4, 2});
  EXPECT_EQ(code_of(assignment(metadata::kLostDirectory)), ErrorCode::kNone);
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().isr, ids({2}));
}

TEST_F(DirectoriesTest, an_empty_replica_is_not_elected_for_having_led_last) {
  create_topic({4});
  assign(assignment(directory(1)));
  come_back({directory(8), directory(2)});
  EXPECT_EQ(partition().last_known_elr, ids({4}));
  EXPECT_EQ(partition().leader, kNoNode) << "its directory is not there";
  EXPECT_EQ(code_of(assignment(directory(8))), ErrorCode::kNone);
  EXPECT_EQ(partition().directories[0], directory(8));
  EXPECT_EQ(partition().leader, kNoNode) << "it is there, and new";
  EXPECT_TRUE(partition().last_known_elr.empty());
  EXPECT_EQ(elect(kUnclean), ErrorCode::kNone) << "who asks for it gets it";
  EXPECT_EQ(partition().leader, NodeId(4));
}

TEST_F(DirectoriesTest, one_whose_place_was_not_known_may_have_been_in_the_directory_that_is_gone) {
  create_topic({4});
  ASSERT_EQ(partition().directories[0], metadata::kUnassignedDirectory);
  come_back({directory(8), directory(2)});
  EXPECT_EQ(partition().leader, kNoNode);
  EXPECT_TRUE(partition().last_known_elr.empty());
}

TEST_F(DirectoriesTest, a_replica_that_moves_or_has_caught_up_since_is_not_empty) {
  create_topic({4, 2});
  assign(assignment(directory(1)));
  assign(assignment(directory(2)));  // both are there: AlterReplicaLogDirs
  EXPECT_EQ(partition().leader, NodeId(4));
  come_back({directory(1), directory(8)});
  wire::PartitionChangeRecord joined{.partition_id = 0, .topic_id = topic().id};
  joined.isr = std::vector<int32_t>{2, 4};
  commit({joined});
  fence(2);
  EXPECT_EQ(partition().leader, kNoNode);
  EXPECT_EQ(code_of(assignment(directory(8))), ErrorCode::kNone);
  EXPECT_EQ(partition().leader, NodeId(4));
}

TEST_F(DirectoriesTest, without_eligible_replicas_an_empty_one_leads_no_more_for_being_the_last) {
  wire::UpdateFeaturesRequest request;
  request.feature_updates.push_back(
      {.feature = "eligible.leader.replicas.version", .max_version_level = 0, .upgrade_type = 2});
  commit(controller_.decide_update_features(request, 1).records);
  create_topic({4});
  assign(assignment(directory(1)));
  come_back({directory(8), directory(2)});
  EXPECT_EQ(partition().isr, ids({4}));
  assign(assignment(directory(8)));
  EXPECT_EQ(partition().leader, kNoNode);
  EXPECT_TRUE(partition().isr.empty());
  EXPECT_EQ(elect(kUnclean), ErrorCode::kNone);
  EXPECT_EQ(partition().leader, NodeId(4));
}

TEST_F(DirectoriesTest, a_directory_that_fails_takes_only_its_own_replicas) {
  create_topic({4, 2});
  assign(assignment(directory(1)));
  heartbeat({.broker_id = 4, .offline_log_dirs = {directory(2)}});
  EXPECT_EQ(partition().leader, NodeId(4));
  EXPECT_EQ(broker(4).log_dirs, std::vector<Uuid>{directory(1)});
  heartbeat({.broker_id = 4, .offline_log_dirs = {directory(1), directory(2)}});
  EXPECT_EQ(partition().leader, NodeId(2));
  EXPECT_EQ(partition().isr, ids({2}));
  EXPECT_FALSE(broker(4).fenced);
}

}  // namespace
}  // namespace millrace::controller
