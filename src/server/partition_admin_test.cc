// What operators ask of the controller, through the bytes of a whole broker in memory; what brokers
// ask of it, on its own listener.
#include <gtest/gtest.h>

#include "server/testing/broker.h"
#include "wire/alter_partition.h"
#include "wire/alter_partition_reassignments.h"
#include "wire/assign_replicas_to_dirs.h"
#include "wire/create_topics.h"
#include "wire/elect_leaders.h"
#include "wire/list_partition_reassignments.h"
#include "wire/unregister_broker.h"

namespace millrace::server {
namespace {

using testing::Broker;
using wire::ErrorCode;

class PartitionAdminTest : public ::testing::Test {
 protected:
  PartitionAdminTest() {
    wire::CreateTopicsRequest request;
    request.topics = {{.name = "t", .num_partitions = 1, .replication_factor = 1}};
    created_ = client_.ask<wire::CreateTopicsResponse>(request).topics.at(0).topic_id;
  }
  const metadata::Broker& self() { return broker_.node().image()->brokers().begin()->second; }

  Broker broker_;
  Broker::Client client_{broker_};
  Broker::Client controller_{broker_, "CONTROLLER"};
  Uuid created_;
};

TEST_F(PartitionAdminTest, a_leader_that_leads_needs_no_election) {
  for (int16_t version = 0; version <= wire::ElectLeadersRequest::kMaxVersion; ++version) {
    wire::ElectLeadersRequest request;
    request.topic_partitions->push_back({.topic = "t", .partitions = {0, 1}});
    const auto response = client_.ask<wire::ElectLeadersResponse>(request, version);
    EXPECT_EQ(response.error_code, 0);
    const auto& results = response.replica_election_results.at(0).partition_result;
    EXPECT_EQ(results.at(0).error_code, wire::code_of(ErrorCode::kElectionNotNeeded));
    EXPECT_EQ(results.at(1).error_code, wire::code_of(ErrorCode::kUnknownTopicOrPartition));
  }
}

TEST_F(PartitionAdminTest, without_any_time_nothing_is_begun) {
  wire::ElectLeadersRequest request{.timeout_ms = 0};
  request.topic_partitions->push_back({.topic = "t", .partitions = {0}});
  const auto response = client_.ask<wire::ElectLeadersResponse>(request);
  EXPECT_EQ(response.error_code, wire::code_of(ErrorCode::kRequestTimedOut));
  EXPECT_EQ(response.replica_election_results.at(0).partition_result.at(0).error_code,
            wire::code_of(ErrorCode::kRequestTimedOut));
}

TEST_F(PartitionAdminTest, a_partition_moves_only_to_brokers_that_there_are) {
  wire::AlterPartitionReassignmentsRequest request;
  request.topics = {{.name = "t", .partitions = {{.partition_index = 0, .replicas = {{9}}}}}};
  auto response = client_.ask<wire::AlterPartitionReassignmentsResponse>(request);
  EXPECT_EQ(response.responses.at(0).partitions.at(0).error_code,
            wire::code_of(ErrorCode::kInvalidReplicaAssignment));
  request.topics[0].partitions[0].replicas.reset();
  response = client_.ask<wire::AlterPartitionReassignmentsResponse>(request);
  EXPECT_EQ(response.responses.at(0).partitions.at(0).error_code,
            wire::code_of(ErrorCode::kNoReassignmentInProgress));
  EXPECT_TRUE(
      client_
          .ask<wire::ListPartitionReassignmentsResponse>(wire::ListPartitionReassignmentsRequest{})
          .topics.empty());
  wire::ListPartitionReassignmentsRequest no_time{.timeout_ms = 0};
  const auto listed = client_.ask<wire::ListPartitionReassignmentsResponse>(no_time);
  EXPECT_EQ(listed.error_code, 0);
}

TEST_F(PartitionAdminTest, a_broker_that_is_not_registered_cannot_be_unregistered) {
  const auto response =
      client_.ask<wire::UnregisterBrokerResponse>(wire::UnregisterBrokerRequest{.broker_id = 9});
  EXPECT_EQ(response.error_code, wire::code_of(ErrorCode::kBrokerIdNotRegistered));
  EXPECT_EQ(response.error_message, "Broker ID 9 is not currently registered");
}

TEST_F(PartitionAdminTest, brokers_speak_of_their_partitions_to_the_controller_alone) {
  wire::AlterPartitionRequest isr{.broker_id = self().id.value(),
                                  .broker_epoch = self().epoch.value()};
  isr.topics = {{.topic_id = created_, .partitions = {{.new_isr = {1}, .partition_epoch = 5}}}};
  const auto altered = controller_.ask<wire::AlterPartitionResponse>(isr, 2);
  EXPECT_EQ(altered.topics.at(0).partitions.at(0).error_code,
            wire::code_of(ErrorCode::kNotController));
  wire::AssignReplicasToDirsRequest directories{.broker_id = self().id.value(), .broker_epoch = 0};
  EXPECT_EQ(controller_.ask<wire::AssignReplicasToDirsResponse>(directories).error_code,
            wire::code_of(ErrorCode::kStaleBrokerEpoch));
  client_.receive(Broker::Client::frame_of(isr, 2));
  EXPECT_FALSE(client_.is_open());
}

}  // namespace
}  // namespace millrace::server
