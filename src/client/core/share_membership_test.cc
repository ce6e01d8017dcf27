#include "client/core/share_membership.h"

#include <gtest/gtest.h>

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

const Uuid kT = Uuid::of_words({1, 1});
const Uuid kU = Uuid::of_words({1, 2});
using Assignment = ShareMembership::Assignment;

class ShareMembershipTest : public ::testing::Test {
 protected:
  using Assigned = std::map<Uuid, std::vector<int32_t>>;

  ShareMembership::Action resume(ShareMembership::Event event) {
    return member.resume(std::move(event), now);
  }
  ShareMembership::Action tick_after(Duration delay) {
    now = now + delay;
    return resume(ShareMembership::Tick{});
  }
  ShareMembership::Action found(ErrorCode error = ErrorCode::kNone) {
    return resume(ShareMembership::Coordinator{
        FoundCoordinator{.node = NodeId(1), .error = wire::code_of(error)}});
  }
  ShareMembership::Action beaten(int32_t epoch, std::optional<Assigned> assigned = {}) {
    wire::ShareGroupHeartbeatResponse response{
        .member_id = "me", .member_epoch = epoch, .heartbeat_interval_ms = 1000};
    if (assigned) {
      response.assignment.emplace();
      for (const auto& [id, partitions] : *assigned)
        response.assignment->topic_partitions.push_back({.topic_id = id, .partitions = partitions});
    }
    return resume(ShareMembership::Beaten{std::move(response)});
  }
  ShareMembership::Action refused(ErrorCode error) {
    return resume(ShareMembership::Beaten{wire::ShareGroupHeartbeatResponse{
        .error_code = wire::code_of(error), .error_message = "no"}});
  }
  // A member of epoch 1 that reads partition 0 of t.
  void become_member() {
    resume(ShareMembership::Start{});
    found();
    beaten(1, Assigned{{kT, {0}}});
    resume(ShareMembership::NamesKnown{{{kT, "t"}}});
  }
  static const Assignment& t0() {
    static const Assignment only{{{kT, PartitionIndex(0)}, "t"}};
    return only;
  }

  ShareMembershipOptions options{.group = "g", .member_id = "me", .topics = {"t"}, .rack_id = "r"};
  ShareMembership member{options};
  Instant now{seconds(1)};
};

TEST_F(ShareMembershipTest, joins_with_everything_and_then_tells_nothing) {
  EXPECT_TRUE(resume(ShareMembership::Start{}).find_coordinator);
  const auto join = found();
  EXPECT_EQ(join.to, NodeId(1));
  ASSERT_TRUE(join.request);
  EXPECT_EQ(join.request->group_id, "g");
  EXPECT_EQ(join.request->member_id, "me");
  EXPECT_EQ(join.request->member_epoch, 0);
  EXPECT_EQ(join.request->rack_id, "r");
  EXPECT_EQ(join.request->subscribed_topic_names, std::vector<std::string>{"t"});
  EXPECT_FALSE(beaten(3).request);
  const auto quiet = tick_after(seconds(1));
  ASSERT_TRUE(quiet.request);
  EXPECT_EQ(quiet.request->member_epoch, 3);
  EXPECT_FALSE(quiet.request->rack_id);
  EXPECT_FALSE(quiet.request->subscribed_topic_names);
}

TEST_F(ShareMembershipTest, is_assigned_what_it_knows_the_name_of) {
  resume(ShareMembership::Start{});
  found();
  const auto told = beaten(1, Assigned{{kT, {0}}, {kU, {1}}});
  EXPECT_EQ(told.resolve, (std::set<Uuid>{kT, kU}));
  EXPECT_FALSE(told.assignment);
  const auto named = resume(ShareMembership::NamesKnown{{{kT, "t"}}});
  EXPECT_EQ(named.assignment, t0());
  EXPECT_EQ(tick_after(milliseconds(100)).resolve, std::set<Uuid>{kU});
}

TEST_F(ShareMembershipTest, an_answer_without_an_assignment_changes_nothing) {
  become_member();
  tick_after(seconds(1));
  EXPECT_FALSE(beaten(1).assignment);
  EXPECT_EQ(member.assigned(), t0());
}

TEST_F(ShareMembershipTest, fenced_it_reads_nothing_and_joins_anew) {
  become_member();
  tick_after(seconds(1));
  const auto fenced = refused(ErrorCode::kUnknownMemberId);
  EXPECT_EQ(fenced.assignment, Assignment{});
  ASSERT_TRUE(fenced.request);
  EXPECT_EQ(fenced.request->member_epoch, 0);
  EXPECT_EQ(fenced.request->subscribed_topic_names, std::vector<std::string>{"t"});
  beaten(5, Assigned{{kT, {0}}});
  EXPECT_EQ(resume(ShareMembership::NamesKnown{{{kT, "t"}}}).assignment, t0());
}

TEST_F(ShareMembershipTest, looks_for_another_coordinator_and_tells_it_everything) {
  become_member();
  tick_after(seconds(1));
  EXPECT_FALSE(refused(ErrorCode::kNotCoordinator).request);
  EXPECT_TRUE(tick_after(milliseconds(100)).find_coordinator);
  const auto again = found();
  ASSERT_TRUE(again.request);
  EXPECT_EQ(again.request->member_epoch, 1);
  EXPECT_TRUE(again.request->subscribed_topic_names);
  EXPECT_EQ(member.assigned(), t0()) << "it is a member all the while";
}

TEST_F(ShareMembershipTest, what_cannot_pass_ends_it) {
  resume(ShareMembership::Start{});
  found();
  const auto failed = refused(ErrorCode::kGroupAuthorizationFailed);
  ASSERT_TRUE(failed.failed);
  EXPECT_EQ(failed.failed->message,
            "group 'g': the coordinator answers GROUP_AUTHORIZATION_FAILED: no");
  EXPECT_TRUE(resume(ShareMembership::Leave{}).left);
}

TEST_F(ShareMembershipTest, leaves_with_a_last_heartbeat) {
  become_member();
  const auto leaving = resume(ShareMembership::Leave{});
  EXPECT_EQ(leaving.assignment, Assignment{});
  ASSERT_TRUE(leaving.request);
  EXPECT_EQ(leaving.request->member_epoch, -1);
  EXPECT_FALSE(leaving.left);
  EXPECT_TRUE(beaten(-1).left);
}

TEST_F(ShareMembershipTest, leaves_when_its_join_is_answered) {
  resume(ShareMembership::Start{});
  found();
  EXPECT_FALSE(resume(ShareMembership::Leave{}).left);
  const auto joined = beaten(1, Assigned{{kT, {0}}});
  ASSERT_TRUE(joined.request);
  EXPECT_EQ(joined.request->member_epoch, -1);
}

TEST_F(ShareMembershipTest, leaves_at_once_who_never_joined_or_knows_no_coordinator) {
  ShareMembership never(options);
  EXPECT_TRUE(never.resume(ShareMembership::Leave{}, now).left);
  become_member();
  tick_after(seconds(1));
  refused(ErrorCode::kNotCoordinator);
  EXPECT_TRUE(resume(ShareMembership::Leave{}).left);
}

}  // namespace
}  // namespace millrace::client::core
