#include "client/core/membership.h"

#include <gtest/gtest.h>

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

const TopicPartition kT0{"t", PartitionIndex(0)};
const TopicPartition kT1{"t", PartitionIndex(1)};

template <class Request>
const Request* find(const Membership::Action& action) {
  for (const auto& each : action.requests)
    if (const auto* found = std::get_if<Request>(&each)) return found;
  return nullptr;
}

class MembershipTest : public ::testing::Test {
 protected:
  MembershipTest() {
    options.group = "g";
    options.topics = {"t"};
  }
  Membership& member() {
    if (!member_) member_ = std::make_unique<Membership>(options);
    return *member_;
  }
  Membership::Action resume(Membership::Event event) {
    return member().resume(std::move(event), now);
  }
  Membership::Action tick_after(Duration delay) {
    now = now + delay;
    return resume(Membership::Tick{});
  }
  Membership::Action found(int32_t node = 1) {
    return resume(Membership::Coordinator{FoundCoordinator{.node = NodeId(node)}});
  }
  Membership::Action joined(const std::string& leader = "other", ErrorCode error = ErrorCode::kNone,
                            std::vector<GroupMember> members = {}) {
    wire::JoinGroupResponse response{
        .error_code = wire::code_of(error),
        .generation_id = ++generation,
        .protocol_name = std::string(assignor_name(options.assignors.front())),
        .leader = leader,
        .member_id = "me"};
    for (const auto& each : members)
      response.members.push_back(
          {.member_id = each.id,
           .metadata = encode_subscription(options.assignors.front(), each.subscription)});
    return resume(Membership::Joined{std::move(response)});
  }
  Membership::Action synced(const std::vector<TopicPartition>& partitions,
                            ErrorCode error = ErrorCode::kNone) {
    return resume(Membership::Synced{wire::SyncGroupResponse{
        .error_code = wire::code_of(error), .assignment = encode_assignment(partitions)}});
  }
  Membership::Action beaten(ErrorCode error) {
    return resume(Membership::Beaten{wire::HeartbeatResponse{.error_code = wire::code_of(error)}});
  }
  Membership::Action offsets(const std::map<TopicPartition, int64_t>& committed,
                             ErrorCode error = ErrorCode::kNone) {
    wire::OffsetFetchResponse response;
    auto& group = response.groups.emplace_back();
    for (const auto& [partition, offset] : committed)
      group.topics.push_back({.name = partition.topic,
                              .partitions = {{.partition_index = partition.partition.value(),
                                              .committed_offset = offset,
                                              .error_code = wire::code_of(error)}}});
    return resume(Membership::OffsetsFetched{std::move(response)});
  }
  Membership::Action committed(ErrorCode error) {
    wire::OffsetCommitResponse response;
    response.topics.push_back({.name = "t"});
    response.topics[0].partitions.push_back(
        {.partition_index = 0, .error_code = wire::code_of(error)});
    return resume(Membership::Committed{std::move(response)});
  }
  // A member of generation 1 that owns these, with nothing committed.
  void become_stable(const std::vector<TopicPartition>& partitions) {
    resume(Membership::Start{});
    found();
    joined();
    synced(partitions);
    std::map<TopicPartition, int64_t> none;
    for (const auto& each : partitions) none[each] = -1;
    if (!partitions.empty()) offsets(none);
  }
  // The heartbeat that is due.
  Membership::Action beat() { return tick_after(options.heartbeat_interval); }

  MembershipOptions options;
  Instant now{seconds(1)};
  int32_t generation = 0;
  std::unique_ptr<Membership> member_;
};

TEST_F(MembershipTest, finds_the_coordinator_joins_syncs_and_asks_for_offsets) {
  EXPECT_TRUE(resume(Membership::Start{}).find_coordinator);
  const auto join = found(2);
  EXPECT_EQ(join.to, NodeId(2));
  ASSERT_NE(find<wire::JoinGroupRequest>(join), nullptr);
  EXPECT_EQ(find<wire::JoinGroupRequest>(join)->protocol_type, "consumer");
  EXPECT_EQ(find<wire::JoinGroupRequest>(join)->protocols.at(0).name, "range");
  const auto sync = joined();
  ASSERT_NE(find<wire::SyncGroupRequest>(sync), nullptr);
  EXPECT_TRUE(find<wire::SyncGroupRequest>(sync)->assignments.empty());
  const auto stable = synced({kT0, kT1});
  EXPECT_TRUE(stable.joined);
  ASSERT_NE(find<wire::OffsetFetchRequest>(stable), nullptr);
  const auto assigned = offsets({{kT0, 42}, {kT1, -1}});
  EXPECT_EQ(assigned.assigned.at(kT0), Offset(42));
  EXPECT_EQ(assigned.assigned.at(kT1), std::nullopt);
}

TEST_F(MembershipTest, takes_the_member_id_that_the_coordinator_requires) {
  resume(Membership::Start{});
  found();
  const auto again = joined("", ErrorCode::kMemberIdRequired);
  ASSERT_NE(find<wire::JoinGroupRequest>(again), nullptr);
  EXPECT_EQ(find<wire::JoinGroupRequest>(again)->member_id, "me");
}

TEST_F(MembershipTest, the_leader_shares_out_the_partitions_of_all_members) {
  resume(Membership::Start{});
  found();
  const auto asks = joined("me", ErrorCode::kNone,
                           {{.id = "me", .instance_id = {}, .subscription = {.topics = {"t"}}},
                            {.id = "you", .instance_id = {}, .subscription = {.topics = {"t"}}}});
  EXPECT_EQ(asks.know, std::set<std::string>{"t"});
  const auto sync = resume(Membership::PartitionsKnown{{{"t", 2}}});
  const auto* request = find<wire::SyncGroupRequest>(sync);
  ASSERT_NE(request, nullptr);
  ASSERT_EQ(request->assignments.size(), 2);
  EXPECT_EQ(*decode_assignment(request->assignments[0].assignment), std::vector{kT0});
  EXPECT_EQ(*decode_assignment(request->assignments[1].assignment), std::vector{kT1});
}

TEST_F(MembershipTest, a_leader_rejoins_when_its_topics_get_more_partitions) {
  resume(Membership::Start{});
  found();
  joined("me", ErrorCode::kNone,
         {{.id = "me", .instance_id = {}, .subscription = {.topics = {"t"}}}});
  resume(Membership::PartitionsKnown{{{"t", 1}}});
  synced({kT0});
  offsets({{kT0, -1}});
  EXPECT_EQ(tick_after(seconds(31)).know, std::set<std::string>{"t"});
  EXPECT_TRUE(resume(Membership::PartitionsKnown{{{"t", 1}}}).revoke.empty());
  EXPECT_EQ(resume(Membership::PartitionsKnown{{{"t", 2}}}).revoke, std::vector{kT0});
}

TEST_F(MembershipTest, beats_in_the_interval) {
  become_stable({kT0});
  EXPECT_EQ(find<wire::HeartbeatRequest>(tick_after(options.heartbeat_interval / 2)), nullptr);
  EXPECT_NE(find<wire::HeartbeatRequest>(tick_after(options.heartbeat_interval / 2)), nullptr);
  EXPECT_EQ(find<wire::HeartbeatRequest>(beat()), nullptr) << "one is under way";
  EXPECT_NE(find<wire::HeartbeatRequest>(beaten(ErrorCode::kNone)), nullptr) << "it is overdue";
}

TEST_F(MembershipTest, an_eager_member_gives_up_everything_before_it_joins_again) {
  become_stable({kT0, kT1});
  beat();
  const auto revoke = beaten(ErrorCode::kRebalanceInProgress);
  EXPECT_EQ(revoke.revoke, (std::vector{kT0, kT1}));
  EXPECT_FALSE(revoke.lost);
  EXPECT_TRUE(revoke.requests.empty()) << "ME2";
  const auto commit = resume(Membership::Commit{{{kT0, Offset(7)}}});
  ASSERT_NE(find<wire::OffsetCommitRequest>(commit), nullptr);
  EXPECT_TRUE(resume(Membership::Revoked{}).requests.empty()) << "the commit is under way";
  const auto join = committed(ErrorCode::kNone);
  EXPECT_TRUE(join.committed);
  ASSERT_NE(find<wire::JoinGroupRequest>(join), nullptr);
  EXPECT_EQ(find<wire::JoinGroupRequest>(join)->member_id, "me");
}

TEST_F(MembershipTest, a_cooperative_member_keeps_what_it_has_and_gives_up_what_it_must) {
  options.assignors = {Assignor::kCooperativeSticky};
  become_stable({kT0, kT1});
  beat();
  const auto join = beaten(ErrorCode::kRebalanceInProgress);
  EXPECT_TRUE(join.revoke.empty());
  const auto* request = find<wire::JoinGroupRequest>(join);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(decode_subscription(request->protocols.at(0).metadata)->owned, (std::vector{kT0, kT1}));
  joined();
  const auto less = synced({kT0});
  EXPECT_EQ(less.revoke, std::vector{kT1});
  const auto again = resume(Membership::Revoked{});
  ASSERT_NE(find<wire::JoinGroupRequest>(again), nullptr);
  joined();
  const auto same = synced({kT0});
  EXPECT_TRUE(same.revoke.empty());
  EXPECT_EQ(find<wire::OffsetFetchRequest>(same), nullptr) << "nothing is new";
}

TEST_F(MembershipTest, a_member_that_was_thrown_out_has_lost_its_partitions) {
  become_stable({kT0});
  beat();
  const auto lost = beaten(ErrorCode::kUnknownMemberId);
  EXPECT_TRUE(lost.lost);
  EXPECT_EQ(lost.revoke, std::vector{kT0});
  const auto join = resume(Membership::Revoked{});
  EXPECT_EQ(find<wire::JoinGroupRequest>(join)->member_id, "");
}

TEST_F(MembershipTest, an_old_generation_joins_again_under_its_member_id) {
  become_stable({kT0});
  beat();
  EXPECT_TRUE(beaten(ErrorCode::kIllegalGeneration).lost);
  EXPECT_EQ(find<wire::JoinGroupRequest>(resume(Membership::Revoked{}))->member_id, "me");
}

TEST_F(MembershipTest, a_coordinator_that_moved_is_looked_for_and_the_member_stays) {
  become_stable({kT0});
  beat();
  EXPECT_TRUE(beaten(ErrorCode::kNotCoordinator).revoke.empty());
  EXPECT_TRUE(tick_after(options.retry_backoff).find_coordinator);
  const auto again = found(3);
  EXPECT_EQ(again.to, NodeId(3));
  EXPECT_NE(find<wire::HeartbeatRequest>(again), nullptr);
}

TEST_F(MembershipTest, every_step_that_loses_its_connection_begins_with_the_coordinator_again) {
  const Error reset{Errc::kClosed, "reset"};
  resume(Membership::Start{});
  resume(Membership::Coordinator{std::unexpected(reset)});
  EXPECT_TRUE(tick_after(options.retry_backoff).find_coordinator);
  found();
  resume(Membership::Joined{std::unexpected(reset)});
  EXPECT_TRUE(tick_after(options.retry_backoff).find_coordinator);
  EXPECT_NE(find<wire::JoinGroupRequest>(found()), nullptr);
  joined();
  resume(Membership::Synced{std::unexpected(reset)});
  EXPECT_TRUE(tick_after(options.retry_backoff).find_coordinator);
  EXPECT_NE(find<wire::JoinGroupRequest>(found()), nullptr);
  joined();
  synced({kT0});
  resume(Membership::OffsetsFetched{std::unexpected(reset)});
  EXPECT_TRUE(tick_after(options.retry_backoff).find_coordinator);
  EXPECT_NE(find<wire::OffsetFetchRequest>(found()), nullptr);
  EXPECT_EQ(offsets({{kT0, 3}}).assigned.at(kT0), Offset(3));
}

TEST_F(MembershipTest, a_commit_that_loses_its_coordinator_is_sent_again) {
  become_stable({kT0});
  resume(Membership::Commit{{{kT0, Offset(7)}}});
  resume(Membership::Commit{{{kT0, Offset(9)}}});
  committed(ErrorCode::kNotCoordinator);
  tick_after(options.retry_backoff);
  const auto again = found();
  const auto* request = find<wire::OffsetCommitRequest>(again);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(request->topics[0].partitions[0].committed_offset, 9) << "the newer one";
}

TEST_F(MembershipTest, a_commit_that_is_refused_is_told) {
  become_stable({kT0});
  resume(Membership::Commit{{{kT0, Offset(7)}}});
  const auto action = committed(ErrorCode::kOffsetMetadataTooLarge);
  ASSERT_TRUE(action.committed);
  EXPECT_EQ(action.committed->error, ErrorCode::kOffsetMetadataTooLarge);
}

TEST_F(MembershipTest, an_offset_of_an_open_transaction_is_waited_for) {
  resume(Membership::Start{});
  found();
  joined();
  synced({kT0});
  EXPECT_TRUE(offsets({{kT0, 3}}, ErrorCode::kUnstableOffsetCommit).assigned.empty());
  EXPECT_NE(find<wire::OffsetFetchRequest>(tick_after(options.retry_backoff)), nullptr);
}

TEST_F(MembershipTest, leaving_commits_first_and_then_says_so) {
  become_stable({kT0});
  const auto commit = resume(Membership::Commit{{{kT0, Offset(7)}}});
  EXPECT_NE(find<wire::OffsetCommitRequest>(commit), nullptr);
  EXPECT_EQ(find<wire::LeaveGroupRequest>(resume(Membership::Leave{})), nullptr);
  const auto leave = committed(ErrorCode::kNone);
  ASSERT_NE(find<wire::LeaveGroupRequest>(leave), nullptr);
  EXPECT_EQ(find<wire::LeaveGroupRequest>(leave)->members.at(0).member_id, "me");
  EXPECT_TRUE(resume(Membership::Left{}).left);
  EXPECT_TRUE(beat().requests.empty());
}

TEST_F(MembershipTest, leaving_without_a_coordinator_is_done_at_once) {
  resume(Membership::Start{});
  EXPECT_TRUE(resume(Membership::Leave{}).left);
}

TEST_F(MembershipTest, a_static_member_goes_without_a_word) {
  options.instance_id = "i";
  become_stable({kT0});
  const auto action = resume(Membership::Leave{});
  EXPECT_EQ(find<wire::LeaveGroupRequest>(action), nullptr);
  EXPECT_TRUE(action.left);
}

TEST_F(MembershipTest, what_cannot_be_mended_fails_the_member) {
  for (auto error : {ErrorCode::kGroupAuthorizationFailed, ErrorCode::kFencedInstanceId,
                     ErrorCode::kInconsistentGroupProtocol}) {
    member_.reset();
    resume(Membership::Start{});
    found();
    EXPECT_TRUE(joined("", error).failed);
    EXPECT_TRUE(tick_after(seconds(10)).requests.empty());
  }
}

TEST_F(MembershipTest, an_assignment_that_is_none_fails_the_member) {
  resume(Membership::Start{});
  found();
  joined();
  EXPECT_TRUE(
      resume(Membership::Synced{wire::SyncGroupResponse{.assignment = ByteBuffer{0}}}).failed);
}

TEST_F(MembershipTest, a_rebalance_during_the_sync_joins_again) {
  resume(Membership::Start{});
  found();
  joined();
  EXPECT_NE(find<wire::JoinGroupRequest>(synced({}, ErrorCode::kRebalanceInProgress)), nullptr);
}

}  // namespace
}  // namespace millrace::client::core
