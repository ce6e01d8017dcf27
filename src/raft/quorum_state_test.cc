#include "raft/quorum_state.h"

#include <gtest/gtest.h>

namespace millrace::raft {
namespace {

// As Apache Kafka 4.3.1 left it behind.
constexpr std::string_view kKafkas =
    R"({"leaderId":1,"leaderEpoch":2,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA",)"
    R"("data_version":1})";

TEST(QuorumState, reads_and_writes_what_kafka_writes) {
  const auto state = parse_quorum_state(kKafkas);
  ASSERT_TRUE(state.has_value()) << state.error().message;
  EXPECT_EQ(*state, (ElectionState{.epoch = LeaderEpoch(2), .leader = NodeId(1)}));
  EXPECT_EQ(print_quorum_state(*state, {}, 1), kKafkas);
}

TEST(QuorumState, keeps_a_vote_with_its_directory) {
  const ElectionState voted{.epoch = LeaderEpoch(7),
                            .voted = ReplicaKey{NodeId(3), Uuid::of_words({5, 6})}};
  EXPECT_EQ(*parse_quorum_state(print_quorum_state(voted, {}, 1)), voted);
}

TEST(QuorumState, version_0_names_the_voters_and_no_directory) {
  const ElectionState voted{.epoch = LeaderEpoch(7), .voted = ReplicaKey{NodeId(3), Uuid::zero()}};
  const VoterSet voters{.voters = {{NodeId(1), {}}, {NodeId(3), {}}}};
  const std::string text = print_quorum_state(voted, voters, 0);
  EXPECT_EQ(text, R"({"clusterId":"","leaderId":-1,"leaderEpoch":7,"votedId":3,"appliedOffset":0,)"
                  R"("currentVoters":[{"voterId":1},{"voterId":3}],"data_version":0})");
  EXPECT_EQ(*parse_quorum_state(text), voted);
}

TEST(QuorumState, says_what_is_wrong_with_a_damaged_file) {
  for (std::string_view broken :
       {"", "{}", R"({"leaderId":1,"leaderEpoch":x,"votedId":-1,"data_version":1})",
        R"({"leaderId":1,"leaderEpoch":-2,"votedId":-1,"data_version":1})",
        R"({"leaderId":1,"leaderEpoch":2,"votedId":1,"votedDirectoryId":"?","data_version":1})"}) {
    const auto state = parse_quorum_state(broken);
    ASSERT_FALSE(state.has_value()) << broken;
    EXPECT_FALSE(state.error().message.empty());
  }
  EXPECT_EQ(parse_quorum_state(R"({"leaderId":1,"leaderEpoch":2,"votedId":-1,"data_version":2})")
                .error()
                .code,
            Errc::kUnsupported);
}

}  // namespace
}  // namespace millrace::raft
