// AddRaftVoter, RemoveRaftVoter and UpdateRaftVoter of a quorum of one (KIP-853).
#include <gtest/gtest.h>

#include "node/controller_host.h"
#include "server/testing/broker.h"
#include "wire/add_raft_voter.h"
#include "wire/envelope.h"
#include "wire/errors.h"
#include "wire/principal.h"
#include "wire/remove_raft_voter.h"
#include "wire/update_raft_voter.h"

namespace millrace::server {
namespace {

using testing::Broker;
using wire::ErrorCode;

class RaftVotersTest : public ::testing::Test {
 protected:
  node::QuorumView quorum() { return broker_.node().controller().quorum(); }
  raft::ReplicaKey self() { return quorum().self; }
  static wire::AddRaftVoterRequest addition() {
    wire::AddRaftVoterRequest request;
    request.cluster_id.reset();
    request.timeout_ms = 1000;
    request.voter_id = 2;
    request.voter_directory_id = Uuid::of_words({2, 2});
    request.listeners = {{.name = "CONTROLLER", .host = "two", .port = 9093}};
    return request;
  }
  wire::UpdateRaftVoterRequest moving() {
    wire::UpdateRaftVoterRequest request;
    request.cluster_id.reset();
    request.current_leader_epoch = quorum().epoch.value();
    request.voter_id = self().id.value();
    request.voter_directory_id = self().directory_id;
    request.listeners = {{.name = "CONTROLLER", .host = "elsewhere", .port = 9093}};
    request.k_raft_version_feature = {.min_supported_version = 0, .max_supported_version = 1};
    return request;
  }
  ErrorCode add(const wire::AddRaftVoterRequest& request) {
    return static_cast<ErrorCode>(controller_.ask<wire::AddRaftVoterResponse>(request).error_code);
  }
  ErrorCode remove(int32_t id, const Uuid& directory) {
    wire::RemoveRaftVoterRequest request;
    request.cluster_id.reset();
    request.voter_id = id;
    request.voter_directory_id = directory;
    return static_cast<ErrorCode>(
        controller_.ask<wire::RemoveRaftVoterResponse>(request).error_code);
  }
  ErrorCode update(const wire::UpdateRaftVoterRequest& request) {
    return static_cast<ErrorCode>(
        controller_.ask<wire::UpdateRaftVoterResponse>(request).error_code);
  }

  Broker broker_;
  Broker::Client controller_{broker_, "CONTROLLER"};
};

TEST_F(RaftVotersTest, a_voter_of_another_cluster_or_without_a_directory_is_refused) {
  auto request = addition();
  request.cluster_id = "another";
  EXPECT_EQ(add(request), ErrorCode::kInconsistentClusterId);
  request = addition();
  request.voter_directory_id = Uuid::zero();
  EXPECT_EQ(add(request), ErrorCode::kInvalidRequest);
  request = addition();
  request.listeners[0].name = "PLAINTEXT";
  EXPECT_EQ(add(request), ErrorCode::kInvalidRequest);
}

TEST_F(RaftVotersTest, an_id_that_votes_already_is_not_added_again) {
  auto request = addition();
  request.voter_id = self().id.value();
  EXPECT_EQ(add(request), ErrorCode::kDuplicateVoter);
}

TEST_F(RaftVotersTest, a_voter_that_cannot_be_reached_is_not_added) {
  EXPECT_EQ(add(addition()), ErrorCode::kRequestTimedOut);
  EXPECT_EQ(quorum().voters.voters.size(), 1u);
  EXPECT_EQ(add(addition()), ErrorCode::kRequestTimedOut) << "and does not stand in the way";
}

TEST_F(RaftVotersTest, only_voters_are_removed_and_not_the_last_one) {
  EXPECT_EQ(remove(9, Uuid::of_words({2, 2})), ErrorCode::kVoterNotFound);
  EXPECT_EQ(remove(self().id.value(), Uuid::of_words({2, 2})), ErrorCode::kVoterNotFound);
  EXPECT_EQ(remove(self().id.value(), Uuid::zero()), ErrorCode::kInvalidRequest);
  EXPECT_EQ(remove(self().id.value(), self().directory_id), ErrorCode::kInvalidRequest);
}

TEST_F(RaftVotersTest, a_voter_that_moved_is_known_at_its_new_address) {
  EXPECT_EQ(update(moving()), ErrorCode::kNone);
  EXPECT_EQ(quorum().voters.voters.at(self().id).endpoints.at(0).host, "elsewhere");
}

TEST_F(RaftVotersTest, an_update_of_another_epoch_is_refused_with_the_leader) {
  auto request = moving();
  ++request.current_leader_epoch;
  const auto response = controller_.ask<wire::UpdateRaftVoterResponse>(request);
  EXPECT_EQ(static_cast<ErrorCode>(response.error_code), ErrorCode::kUnknownLeaderEpoch);
  EXPECT_EQ(response.current_leader.leader_id, self().id.value());
  request.current_leader_epoch -= 2;
  EXPECT_EQ(update(request), ErrorCode::kFencedLeaderEpoch);
  request = moving();
  request.k_raft_version_feature = {.min_supported_version = 1, .max_supported_version = 0};
  EXPECT_EQ(update(request), ErrorCode::kInvalidRequest);
}

TEST_F(RaftVotersTest, who_does_not_lead_says_so) {
  broker_.node().controller().driver().resign();
  broker_.shard().run();
  EXPECT_EQ(add(addition()), ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(remove(self().id.value(), self().directory_id), ErrorCode::kNotLeaderOrFollower);
  wire::EnvelopeRequest envelope;
  envelope.request_data = copy_of(ByteView(Broker::Client::frame_of(addition(), 1)).subspan(4));
  envelope.request_principal = wire::encode_value(wire::DefaultPrincipalData{}, 0);
  envelope.client_host_address = {127, 0, 0, 1};
  EXPECT_EQ(static_cast<ErrorCode>(controller_.ask<wire::EnvelopeResponse>(envelope).error_code),
            ErrorCode::kNotController);
}

}  // namespace
}  // namespace millrace::server
