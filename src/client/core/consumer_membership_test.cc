#include "client/core/consumer_membership.h"

#include <gtest/gtest.h>

#include <memory>

namespace millrace::client::core {
namespace {

using wire::ErrorCode;
using Heartbeat = wire::ConsumerGroupHeartbeatRequest;

const Uuid kT = Uuid::of_words({1, 1});
const Uuid kU = Uuid::of_words({1, 2});
const TopicPartition kT0{"t", PartitionIndex(0)};
const TopicPartition kT1{"t", PartitionIndex(1)};

template <class Request>
const Request* find(const ConsumerMembership::Action& action) {
  for (const auto& each : action.requests)
    if (const auto* found = std::get_if<Request>(&each)) return found;
  return nullptr;
}
const Heartbeat* beat_in(const ConsumerMembership::Action& action) {
  return find<Heartbeat>(action);
}
// The partitions of topic t that a heartbeat tells.
std::vector<int32_t> told(const Heartbeat* beat) {
  EXPECT_TRUE(beat != nullptr && beat->topic_partitions);
  return beat == nullptr || !beat->topic_partitions || beat->topic_partitions->empty()
             ? std::vector<int32_t>{}
             : beat->topic_partitions->at(0).partitions;
}

class ConsumerMembershipTest : public ::testing::Test {
 protected:
  using Assigned = std::map<Uuid, std::vector<int32_t>>;

  ConsumerMembershipTest() {
    options.group = "g";
    options.member_id = "me";
    options.topics = {"t"};
  }
  ConsumerMembership& member() {
    if (!member_) member_ = std::make_unique<ConsumerMembership>(options);
    return *member_;
  }
  ConsumerMembership::Action resume(ConsumerMembership::Event event) {
    return member().resume(std::move(event), now);
  }
  ConsumerMembership::Action tick_after(Duration delay) {
    now = now + delay;
    return resume(ConsumerMembership::Tick{});
  }
  ConsumerMembership::Action found(int32_t node = 1) {
    return resume(ConsumerMembership::Coordinator{FoundCoordinator{.node = NodeId(node)}});
  }
  ConsumerMembership::Action beaten(int32_t epoch, std::optional<Assigned> assigned = {}) {
    wire::ConsumerGroupHeartbeatResponse response{
        .member_id = "me", .member_epoch = epoch, .heartbeat_interval_ms = 1000};
    if (assigned) {
      response.assignment.emplace();
      for (const auto& [id, partitions] : *assigned)
        response.assignment->topic_partitions.push_back({.topic_id = id, .partitions = partitions});
    }
    return resume(ConsumerMembership::Beaten{std::move(response)});
  }
  ConsumerMembership::Action refused(ErrorCode error, const char* message = "no") {
    return resume(ConsumerMembership::Beaten{wire::ConsumerGroupHeartbeatResponse{
        .error_code = wire::code_of(error), .error_message = message}});
  }
  ConsumerMembership::Action names(std::map<Uuid, std::string> names = {{kT, "t"}, {kU, "u"}}) {
    return resume(ConsumerMembership::NamesKnown{std::move(names)});
  }
  ConsumerMembership::Action offsets(const std::map<TopicPartition, int64_t>& committed,
                                     ErrorCode error = ErrorCode::kNone,
                                     ErrorCode group_error = ErrorCode::kNone) {
    wire::OffsetFetchResponse response;
    auto& group = response.groups.emplace_back();
    group.error_code = wire::code_of(group_error);
    for (const auto& [partition, offset] : committed)
      group.topics.push_back({.name = partition.topic,
                              .partitions = {{.partition_index = partition.partition.value(),
                                              .committed_offset = offset,
                                              .error_code = wire::code_of(error)}}});
    return resume(ConsumerMembership::OffsetsFetched{std::move(response)});
  }
  ConsumerMembership::Action commit(const TopicPartition& partition, int64_t offset) {
    return resume(ConsumerMembership::Commit{{{partition, Offset(offset)}}});
  }
  ConsumerMembership::Action committed(ErrorCode error) {
    wire::OffsetCommitResponse response;
    response.topics.push_back({.name = "t"});
    response.topics[0].partitions.push_back(
        {.partition_index = 0, .error_code = wire::code_of(error)});
    return resume(ConsumerMembership::Committed{std::move(response)});
  }
  // A member of epoch 1 that owns these of topic t, with nothing committed, whom the coordinator
  // has heard.
  void become_member(const std::vector<int32_t>& partitions) {
    resume(ConsumerMembership::Start{});
    found();
    beaten(1, Assigned{{kT, partitions}});
    if (partitions.empty()) return;
    names();
    std::map<TopicPartition, int64_t> none;
    for (const int32_t each : partitions) none[{"t", PartitionIndex(each)}] = -1;
    offsets(none);
    beaten(1);
  }
  ConsumerMembership::Action next_beat() { return tick_after(seconds(1)); }

  ConsumerMembershipOptions options;
  Instant now{seconds(1)};
  std::unique_ptr<ConsumerMembership> member_;
};

TEST_F(ConsumerMembershipTest, tells_everything_when_it_joins) {
  options.instance_id = "i";
  options.rack_id = "r";
  options.server_assignor = "range";
  options.regex = "t.*";
  options.rebalance_timeout = seconds(7);
  EXPECT_TRUE(resume(ConsumerMembership::Start{}).find_coordinator);
  const auto join = found(2);
  EXPECT_EQ(join.to, NodeId(2));
  const auto* beat = beat_in(join);
  ASSERT_NE(beat, nullptr);
  EXPECT_EQ(beat->member_id, "me");
  EXPECT_EQ(beat->member_epoch, 0);
  EXPECT_EQ(beat->instance_id, "i");
  EXPECT_EQ(beat->rack_id, "r");
  EXPECT_EQ(beat->server_assignor, "range");
  EXPECT_EQ(beat->subscribed_topic_names, std::vector<std::string>{"t"});
  EXPECT_EQ(beat->subscribed_topic_regex, "t.*");
  EXPECT_EQ(beat->rebalance_timeout_ms, 7000);
  EXPECT_TRUE(told(beat).empty());
}

TEST_F(ConsumerMembershipTest, takes_over_what_it_gets_and_says_so_at_once) {
  resume(ConsumerMembership::Start{});
  found();
  const auto unknown = beaten(1, Assigned{{kT, {0, 1}}});
  EXPECT_EQ(unknown.resolve, std::set{kT});
  EXPECT_TRUE(unknown.requests.empty());
  const auto known = names();
  EXPECT_TRUE(known.joined);
  EXPECT_EQ(member().owned(), (std::set{kT0, kT1}));
  const auto* fetch = find<wire::OffsetFetchRequest>(known);
  ASSERT_NE(fetch, nullptr);
  EXPECT_EQ(fetch->groups[0].member_id, "me");
  EXPECT_EQ(fetch->groups[0].member_epoch, 1);
  EXPECT_EQ(told(beat_in(known)), (std::vector{0, 1}));
  EXPECT_EQ(beat_in(known)->rebalance_timeout_ms, -1) << "what has not changed is not told again";
  EXPECT_FALSE(beat_in(known)->subscribed_topic_names);
  const auto assigned = offsets({{kT0, 42}, {kT1, -1}});
  EXPECT_EQ(assigned.assigned.at(kT0), Offset(42));
  EXPECT_EQ(assigned.assigned.at(kT1), std::nullopt);
  beaten(1);
  const auto quiet = next_beat();
  ASSERT_NE(beat_in(quiet), nullptr);
  EXPECT_FALSE(beat_in(quiet)->topic_partitions);
}

TEST_F(ConsumerMembershipTest, beats_as_often_as_the_coordinator_says) {
  become_member({});
  EXPECT_EQ(beat_in(tick_after(milliseconds(999))), nullptr);
  EXPECT_NE(beat_in(tick_after(milliseconds(1))), nullptr);
  EXPECT_EQ(beat_in(tick_after(seconds(100))), nullptr) << "CM3";
}

TEST_F(ConsumerMembershipTest, gives_up_first_and_then_takes_over) {
  become_member({0, 1});
  next_beat();
  const auto change = beaten(2, Assigned{{kT, {1}}, {kU, {0}}});
  EXPECT_EQ(change.revoke, std::vector{kT0});
  EXPECT_FALSE(change.lost);
  EXPECT_FALSE(change.joined);
  EXPECT_EQ(member().owned(), std::set{kT1});
  const auto save = commit(kT0, 7);
  ASSERT_NE(find<wire::OffsetCommitRequest>(save), nullptr);
  EXPECT_EQ(find<wire::OffsetCommitRequest>(save)->generation_id_or_member_epoch, 2);
  const auto waits = resume(ConsumerMembership::Revoked{});
  EXPECT_EQ(beat_in(waits), nullptr) << "CM2: the commit is under way";
  const auto done = committed(ErrorCode::kNone);
  EXPECT_TRUE(done.joined);
  EXPECT_EQ(told(beat_in(done)), std::vector{1}) << "the new one when its name is known";
  EXPECT_EQ(done.resolve, std::set{kU});
  EXPECT_TRUE(names().joined);
  EXPECT_EQ(member().owned(), (std::set<TopicPartition>{kT1, {"u", PartitionIndex(0)}}));
}

TEST_F(ConsumerMembershipTest, while_it_gives_up_it_still_owns_and_beats) {
  become_member({0, 1});
  next_beat();
  beaten(2, Assigned{{kT, {1}}});
  EXPECT_FALSE(beat_in(next_beat())->topic_partitions);
  resume(ConsumerMembership::Beaten{fail(Errc::kClosed, "cut")});
  tick_after(options.retry_backoff);
  EXPECT_EQ(told(beat_in(found())), (std::vector{0, 1})) << "CM2";
}

TEST_F(ConsumerMembershipTest, a_target_that_changes_while_it_gives_up_is_gone_to_afterwards) {
  become_member({0, 1});
  next_beat();
  EXPECT_EQ(beaten(2, Assigned{{kT, {1}}}).revoke, std::vector{kT0});
  next_beat();
  EXPECT_TRUE(beaten(3, Assigned{{kT, {0}}}).revoke.empty());
  const auto more = resume(ConsumerMembership::Revoked{});
  EXPECT_EQ(more.revoke, std::vector{kT1});
  EXPECT_EQ(told(beat_in(more)), std::vector{1});
  const auto done = resume(ConsumerMembership::Revoked{});
  EXPECT_TRUE(done.revoke.empty());
  EXPECT_NE(find<wire::OffsetFetchRequest>(done), nullptr) << "another may have read it meanwhile";
  EXPECT_EQ(told(beat_in(beaten(3))), std::vector{0});
}

TEST_F(ConsumerMembershipTest, an_assignment_that_is_the_old_one_is_not_answered) {
  become_member({0});
  next_beat();
  const auto same = beaten(2, Assigned{{kT, {0}}});
  EXPECT_FALSE(same.joined);
  EXPECT_EQ(beat_in(same), nullptr);
}

TEST_F(ConsumerMembershipTest, an_assignment_that_ends_as_it_began_is_answered) {
  become_member({0});
  next_beat();
  EXPECT_EQ(beat_in(beaten(2, Assigned{{kT, {0}}, {kU, {0}}})), nullptr) << "no name yet";
  next_beat();
  EXPECT_EQ(told(beat_in(beaten(3, Assigned{{kT, {0}}}))), std::vector{0});
  EXPECT_EQ(beat_in(beaten(3)), nullptr);
}

TEST_F(ConsumerMembershipTest, an_epoch_that_is_none_fails_the_member) {
  become_member({0});
  next_beat();
  EXPECT_TRUE(beaten(0).failed);
}

TEST_F(ConsumerMembershipTest, what_the_coordinator_may_not_have_heard_is_told_again) {
  become_member({0});
  next_beat();
  resume(ConsumerMembership::Beaten{fail(Errc::kClosed, "cut")});
  EXPECT_TRUE(tick_after(options.retry_backoff).find_coordinator);
  const auto again = found(3);
  EXPECT_EQ(again.to, NodeId(3));
  const auto* beat = beat_in(again);
  ASSERT_NE(beat, nullptr);
  EXPECT_EQ(beat->member_epoch, 1);
  EXPECT_TRUE(beat->subscribed_topic_names);
  EXPECT_EQ(beat->rebalance_timeout_ms, 300'000);
  EXPECT_EQ(told(beat), std::vector{0});
  EXPECT_FALSE(beat->rack_id);
}

TEST_F(ConsumerMembershipTest, a_coordinator_that_loads_or_moved_is_asked_again) {
  become_member({0});
  next_beat();
  EXPECT_EQ(beat_in(refused(ErrorCode::kCoordinatorLoadInProgress)), nullptr);
  EXPECT_NE(beat_in(tick_after(options.retry_backoff)), nullptr);
  refused(ErrorCode::kNotCoordinator);
  EXPECT_TRUE(tick_after(options.retry_backoff).find_coordinator);
  EXPECT_EQ(member().owned(), std::set{kT0});
}

TEST_F(ConsumerMembershipTest, a_fenced_member_has_lost_everything_and_joins_again) {
  for (const auto error : {ErrorCode::kFencedMemberEpoch, ErrorCode::kUnknownMemberId}) {
    member_.reset();
    become_member({0, 1});
    next_beat();
    const auto lost = refused(error);
    EXPECT_TRUE(lost.lost);
    EXPECT_EQ(lost.revoke, (std::vector{kT0, kT1}));
    EXPECT_TRUE(lost.requests.empty());
    EXPECT_EQ(commit(kT0, 5).committed->error, ErrorCode::kUnknownMemberId);
    const auto again = resume(ConsumerMembership::Revoked{});
    ASSERT_NE(beat_in(again), nullptr);
    EXPECT_EQ(beat_in(again)->member_epoch, 0);
    EXPECT_EQ(beat_in(again)->member_id, "me");
    EXPECT_TRUE(told(beat_in(again)).empty());
    EXPECT_EQ(beaten(5, Assigned{{kT, {0}}}).resolve, std::set{kT});
    EXPECT_TRUE(names().joined);
  }
}

TEST_F(ConsumerMembershipTest, fenced_while_it_gives_up_it_waits_for_both_answers) {
  become_member({0, 1});
  next_beat();
  EXPECT_EQ(beaten(2, Assigned{{kT, {1}}}).revoke, std::vector{kT0});
  next_beat();
  EXPECT_EQ(refused(ErrorCode::kFencedMemberEpoch).revoke, std::vector{kT1});
  EXPECT_EQ(beat_in(resume(ConsumerMembership::Revoked{})), nullptr);
  EXPECT_NE(beat_in(resume(ConsumerMembership::Revoked{})), nullptr);
}

TEST_F(ConsumerMembershipTest, a_commit_of_an_old_epoch_is_sent_again_with_the_new_one) {
  become_member({0});
  commit(kT0, 7);
  next_beat();
  EXPECT_FALSE(committed(ErrorCode::kStaleMemberEpoch).committed);
  beaten(2);
  const auto again = tick_after(options.retry_backoff);
  const auto* request = find<wire::OffsetCommitRequest>(again);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(request->generation_id_or_member_epoch, 2);
  EXPECT_EQ(request->topics[0].partitions[0].committed_offset, 7);
  EXPECT_EQ(committed(ErrorCode::kNone).committed->error, ErrorCode::kNone);
}

TEST_F(ConsumerMembershipTest, a_commit_sent_again_does_not_undo_a_newer_one) {
  become_member({0});
  commit(kT0, 7);
  commit(kT0, 9);
  committed(ErrorCode::kNotCoordinator);
  tick_after(options.retry_backoff);
  const auto again = found();
  ASSERT_NE(find<wire::OffsetCommitRequest>(again), nullptr);
  EXPECT_EQ(find<wire::OffsetCommitRequest>(again)->topics[0].partitions[0].committed_offset, 9);
}

// Another member may have gone on from there.
TEST_F(ConsumerMembershipTest, a_commit_of_before_it_was_fenced_is_not_sent_again_afterwards) {
  for (const auto error : {ErrorCode::kStaleMemberEpoch, ErrorCode::kNotCoordinator}) {
    member_.reset();
    become_member({0});
    commit(kT0, 7);
    next_beat();
    refused(ErrorCode::kFencedMemberEpoch);
    resume(ConsumerMembership::Revoked{});
    beaten(5, Assigned{{kT, {0}}});
    names();
    const auto late = committed(error);
    ASSERT_TRUE(late.committed);
    EXPECT_EQ(late.committed->error, ErrorCode::kUnknownMemberId);
    EXPECT_EQ(late.committed->offsets.at(kT0), Offset(7));
    EXPECT_EQ(find<wire::OffsetCommitRequest>(tick_after(options.retry_backoff)), nullptr);
    EXPECT_EQ(find<wire::OffsetCommitRequest>(found()), nullptr);
  }
}

TEST_F(ConsumerMembershipTest, an_offset_asked_for_before_it_was_fenced_is_asked_for_again) {
  resume(ConsumerMembership::Start{});
  found();
  beaten(1, Assigned{{kT, {0}}});
  ASSERT_NE(find<wire::OffsetFetchRequest>(names()), nullptr);
  refused(ErrorCode::kFencedMemberEpoch);
  resume(ConsumerMembership::Revoked{});
  beaten(5, Assigned{{kT, {0}}});
  EXPECT_EQ(find<wire::OffsetFetchRequest>(names()), nullptr) << "CM3";
  const auto late = offsets({{kT0, 3}});
  EXPECT_TRUE(late.assigned.empty());
  ASSERT_NE(find<wire::OffsetFetchRequest>(late), nullptr);
  EXPECT_EQ(find<wire::OffsetFetchRequest>(late)->groups[0].member_epoch, 5);
  EXPECT_EQ(offsets({{kT0, 4}}).assigned.at(kT0), Offset(4));
}

TEST_F(ConsumerMembershipTest, a_commit_that_is_refused_is_told) {
  become_member({0});
  commit(kT0, 7);
  const auto outcome = committed(ErrorCode::kOffsetMetadataTooLarge).committed;
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->error, ErrorCode::kOffsetMetadataTooLarge);
  EXPECT_EQ(outcome->offsets.at(kT0), Offset(7));
}

TEST_F(ConsumerMembershipTest, committed_offsets_are_asked_for_until_they_are_there) {
  resume(ConsumerMembership::Start{});
  found();
  beaten(1, Assigned{{kT, {0}}});
  names();
  beaten(2);
  EXPECT_TRUE(offsets({}, {}, ErrorCode::kStaleMemberEpoch).assigned.empty());
  const auto stale = tick_after(options.retry_backoff);
  ASSERT_NE(find<wire::OffsetFetchRequest>(stale), nullptr);
  EXPECT_EQ(find<wire::OffsetFetchRequest>(stale)->groups[0].member_epoch, 2);
  beaten(2);
  EXPECT_TRUE(offsets({{kT0, 3}}, ErrorCode::kUnstableOffsetCommit).assigned.empty());
  EXPECT_NE(find<wire::OffsetFetchRequest>(tick_after(options.retry_backoff)), nullptr);
  EXPECT_EQ(offsets({{kT0, 3}}).assigned.at(kT0), Offset(3));
}

TEST_F(ConsumerMembershipTest, offsets_of_what_is_revoked_meanwhile_are_nothing_to_read) {
  resume(ConsumerMembership::Start{});
  found();
  beaten(1, Assigned{{kT, {0, 1}}});
  names();
  beaten(2, Assigned{{kT, {1}}});
  const auto assigned = offsets({{kT0, 3}, {kT1, 4}}).assigned;
  EXPECT_EQ(assigned.size(), 1) << "CM1";
  EXPECT_TRUE(assigned.contains(kT1));
}

TEST_F(ConsumerMembershipTest, a_topic_without_a_name_is_looked_for_again) {
  resume(ConsumerMembership::Start{});
  found();
  beaten(1, Assigned{{kT, {0}}, {kU, {0}}});
  const auto some = names({{kT, "t"}});
  EXPECT_EQ(told(beat_in(some)), std::vector{0});
  EXPECT_TRUE(some.resolve.empty());
  EXPECT_EQ(tick_after(options.retry_backoff).resolve, std::set{kU});
}

TEST_F(ConsumerMembershipTest, a_topic_that_was_made_anew_is_given_up_and_taken_over) {
  become_member({0});
  const Uuid anew = Uuid::of_words({9, 9});
  next_beat();
  EXPECT_EQ(beaten(2, Assigned{{anew, {0}}}).revoke, std::vector{kT0});
  EXPECT_EQ(resume(ConsumerMembership::Revoked{}).resolve, std::set{anew});
  EXPECT_TRUE(names({{anew, "t"}}).joined);
  EXPECT_EQ(offsets({{kT0, -1}}).assigned.at(kT0), std::nullopt);
}

TEST_F(ConsumerMembershipTest, leaving_commits_first_and_then_says_so) {
  become_member({0});
  commit(kT0, 7);
  EXPECT_EQ(beat_in(resume(ConsumerMembership::Leave{})), nullptr);
  const auto leave = committed(ErrorCode::kNone);
  ASSERT_NE(beat_in(leave), nullptr);
  EXPECT_EQ(beat_in(leave)->member_epoch, -1);
  EXPECT_TRUE(beaten(-1).left);
  EXPECT_TRUE(next_beat().requests.empty());
}

TEST_F(ConsumerMembershipTest, leaving_with_an_old_epoch_it_hears_of_the_new_one_to_commit) {
  become_member({0});
  commit(kT0, 7);
  resume(ConsumerMembership::Leave{});
  EXPECT_TRUE(committed(ErrorCode::kStaleMemberEpoch).requests.empty());
  const auto beat = tick_after(options.retry_backoff);
  ASSERT_NE(beat_in(beat), nullptr);
  EXPECT_EQ(beat_in(beat)->member_epoch, 1);
  committed(ErrorCode::kStaleMemberEpoch);
  beaten(2);
  const auto again = tick_after(options.retry_backoff);
  ASSERT_NE(find<wire::OffsetCommitRequest>(again), nullptr);
  EXPECT_EQ(find<wire::OffsetCommitRequest>(again)->generation_id_or_member_epoch, 2);
  committed(ErrorCode::kNone);
  EXPECT_EQ(beat_in(beaten(2))->member_epoch, -1);
}

TEST_F(ConsumerMembershipTest, leaving_with_offsets_to_commit_it_looks_for_the_coordinator) {
  become_member({0});
  commit(kT0, 7);
  resume(ConsumerMembership::Leave{});
  EXPECT_FALSE(committed(ErrorCode::kNotCoordinator).left);
  EXPECT_TRUE(tick_after(options.retry_backoff).find_coordinator);
  const auto again = found(2);
  EXPECT_EQ(again.to, NodeId(2));
  ASSERT_NE(find<wire::OffsetCommitRequest>(again), nullptr);
  const auto leave = committed(ErrorCode::kNone);
  EXPECT_EQ(leave.committed->error, ErrorCode::kNone);
  EXPECT_EQ(beat_in(leave)->member_epoch, -1);
}

TEST_F(ConsumerMembershipTest, what_a_member_that_is_out_cannot_commit_is_told) {
  for (const auto error : {ErrorCode::kUnknownMemberId, ErrorCode::kGroupAuthorizationFailed}) {
    member_.reset();
    become_member({0});
    commit(kT0, 7);
    commit(kT0, 9);
    next_beat();
    resume(ConsumerMembership::Leave{});
    const auto out = refused(error);
    EXPECT_EQ(out.left, error == ErrorCode::kUnknownMemberId);
    ASSERT_TRUE(out.committed) << "CM5";
    EXPECT_EQ(out.committed->error, ErrorCode::kUnknownMemberId);
    EXPECT_EQ(out.committed->offsets.at(kT0), Offset(9));
    EXPECT_TRUE(committed(ErrorCode::kNone).committed) << "CM5: the one under way";
    EXPECT_TRUE(resume(ConsumerMembership::Leave{}).left);
  }
}

TEST_F(ConsumerMembershipTest, a_static_member_leaves_for_a_while) {
  options.instance_id = "i";
  become_member({0});
  const auto leave = resume(ConsumerMembership::Leave{});
  ASSERT_NE(beat_in(leave), nullptr);
  EXPECT_EQ(beat_in(leave)->member_epoch, -2);
  EXPECT_EQ(beat_in(leave)->instance_id, "i");
}

TEST_F(ConsumerMembershipTest, leaving_in_the_middle_of_joining_leaves_as_a_member) {
  resume(ConsumerMembership::Start{});
  found();
  const auto waits = resume(ConsumerMembership::Leave{});
  EXPECT_TRUE(waits.requests.empty());
  EXPECT_FALSE(waits.left);
  EXPECT_EQ(beat_in(beaten(3, Assigned{{kT, {0}}}))->member_epoch, -1);
}

TEST_F(ConsumerMembershipTest, leaving_as_nobody_is_done_at_once) {
  resume(ConsumerMembership::Start{});
  EXPECT_TRUE(resume(ConsumerMembership::Leave{}).left);
  member_.reset();
  become_member({0});
  next_beat();
  refused(ErrorCode::kFencedMemberEpoch);
  EXPECT_TRUE(resume(ConsumerMembership::Leave{}).left);
  member_.reset();
  become_member({0});
  next_beat();
  resume(ConsumerMembership::Leave{});
  EXPECT_TRUE(resume(ConsumerMembership::Beaten{fail(Errc::kClosed, "cut")}).left);
}

TEST_F(ConsumerMembershipTest, what_cannot_be_mended_fails_the_member_with_the_brokers_words) {
  for (auto error : {ErrorCode::kGroupAuthorizationFailed, ErrorCode::kFencedInstanceId,
                     ErrorCode::kUnreleasedInstanceId, ErrorCode::kUnsupportedAssignor,
                     ErrorCode::kInvalidRegularExpression, ErrorCode::kGroupMaxSizeReached}) {
    member_.reset();
    resume(ConsumerMembership::Start{});
    found();
    const auto failed = refused(error, "such words").failed;
    ASSERT_TRUE(failed);
    EXPECT_NE(failed->message.find("such words"), std::string::npos);
    EXPECT_TRUE(tick_after(seconds(10)).requests.empty());
  }
}

TEST_F(ConsumerMembershipTest, a_cluster_without_the_protocol_is_named) {
  resume(ConsumerMembership::Start{});
  found();
  EXPECT_EQ(refused(ErrorCode::kUnsupportedVersion).failed->message,
            "the cluster does not serve groups of the consumer protocol");
  member_.reset();
  resume(ConsumerMembership::Start{});
  found();
  const auto failed =
      resume(ConsumerMembership::Beaten{fail(Errc::kUnsupported, "the broker does not serve X")})
          .failed;
  ASSERT_TRUE(failed);
  EXPECT_NE(failed->message.find("does not serve groups of the consumer protocol"),
            std::string::npos);
}

}  // namespace
}  // namespace millrace::client::core
