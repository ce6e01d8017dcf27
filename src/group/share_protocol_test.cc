// Share groups (KIP-932): heartbeats, sessions, and when what is assigned.
#include "group/share_protocol.h"

#include "group/testing/sharer.h"

namespace millrace::group {
namespace {

using namespace testing;
using Partitions = std::set<int32_t>;

// A member that has joined, and whose partitions are initialised and assigned.
Sharer settled(Host& host, const std::string& id = "m0") {
  Sharer member(host, id);
  member.join();
  host.grant();
  host.advance(seconds(2));
  member.beat();
  EXPECT_EQ(member.partitions(), (Partitions{0, 1, 2, 3}));
  return member;
}

std::string refusal(Host& host,
                    const std::function<void(wire::ShareGroupHeartbeatRequest&)>& edit) {
  wire::ShareGroupHeartbeatRequest request;
  request.group_id = "s";
  request.member_id = "m";
  request.subscribed_topic_names = {"t0"};
  edit(request);
  const auto answer = host.share_beat(request);
  return fmt::format("{} {}", wire::error_name(static_cast<ErrorCode>(answer.error_code)),
                     answer.error_message.value_or(""));
}

TEST(ShareProtocol, what_is_too_large_for_the_log_is_refused_and_changes_nothing) {
  Host host;
  host.topics.max_batch = 2000;
  Sharer member = settled(host);
  const size_t written = host.log.size();
  const ShareBeat refused = member.subscribe({std::string(2000, 't')});
  EXPECT_EQ(refused.error_code, code_of(ErrorCode::kUnknownServerError));
  EXPECT_EQ(host.log.size(), written);
  EXPECT_EQ(member.beat().error_code, 0);
}

TEST(ShareProtocol, refuses_what_kafka_refuses_in_its_words) {
  Host host;
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_id = " "; }),
            "INVALID_REQUEST MemberId can't be empty.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.group_id = ""; }),
            "INVALID_REQUEST GroupId can't be empty.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.rack_id = ""; }),
            "INVALID_REQUEST RackId can't be empty.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.subscribed_topic_names.reset(); }),
            "INVALID_REQUEST SubscribedTopicNames must be set in first request.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.subscribed_topic_names->clear(); }),
            "INVALID_REQUEST SubscribedTopicNames must be set in first request.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_epoch = -2; }),
            "INVALID_REQUEST MemberEpoch is invalid.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_epoch = 1; }),
            "GROUP_ID_NOT_FOUND Share group s not found.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_epoch = -1; }),
            "GROUP_ID_NOT_FOUND Group s not found.");
  EXPECT_TRUE(host.log.empty());
  EXPECT_TRUE(host.wishes.empty());
}

TEST(ShareProtocol, is_no_protocol_for_groups_of_others) {
  Host host;
  Member classic(host, "s");
  classic.join();
  EXPECT_EQ(refusal(host, [](auto&) {}), "GROUP_ID_NOT_FOUND Group s is not a share group.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_epoch = -1; }),
            "GROUP_ID_NOT_FOUND Group s is not a share group.");
}

TEST(ShareProtocol, a_partition_is_assigned_when_it_is_initialised) {
  Host host;
  Sharer member(host, "m0");
  const ShareBeat joined = member.join();
  EXPECT_EQ(joined.error_code, 0);
  EXPECT_EQ(joined.member_id, "m0");
  EXPECT_EQ(joined.member_epoch, 2);
  EXPECT_EQ(joined.heartbeat_interval_ms, 5000);
  ASSERT_TRUE(joined.assignment);
  EXPECT_TRUE(joined.assignment->topic_partitions.empty());
  ASSERT_EQ(host.wishes.size(), 1u);
  const ShareStateWish& wish = host.wishes.front();
  EXPECT_EQ(wish.kind, ShareStateWish::Kind::kInitialize);
  EXPECT_EQ(wish.state_epoch, 2);
  ASSERT_EQ(wish.partitions.size(), 4u);
  EXPECT_EQ(wish.partitions[3].index, PartitionIndex(3));
  EXPECT_EQ(wish.partitions[3].start_offset, kUninitializedOffset);
  EXPECT_FALSE(member.beat().assignment);  // nothing new
  EXPECT_EQ(host.wishes.size(), 1u);
  host.grant();
  host.advance(seconds(1));
  const ShareBeat assigned = member.beat();
  EXPECT_EQ(assigned.member_epoch, 3);
  EXPECT_TRUE(assigned.assignment);
  EXPECT_EQ(member.partitions(), (Partitions{0, 1, 2, 3}));
  EXPECT_FALSE(member.beat().assignment);
  EXPECT_TRUE(host.wishes.empty());
}

TEST(ShareProtocol, a_second_member_takes_its_share_at_once) {
  Host host;
  Sharer first = settled(host);
  host.advance(seconds(1));
  Sharer second(host, "m1");
  second.join();
  EXPECT_EQ(second.partitions().size(), 2u);
  first.beat();
  EXPECT_EQ(first.partitions().size(), 2u);
  EXPECT_EQ(first.epoch, second.epoch);
}

TEST(ShareProtocol, more_members_than_partitions_share_them) {
  Host host;
  host.topics.counts["t0"] = 1;
  std::vector<Sharer> members;
  for (int i = 0; i < 3; ++i) {
    members.emplace_back(host, fmt::format("m{}", i));
    members.back().join();
    if (i == 0) host.grant();
    host.advance(seconds(2));
  }
  for (Sharer& member : members) {
    member.beat();
    EXPECT_EQ(member.partitions(), Partitions{0}) << member.id;
  }
}

TEST(ShareProtocol, a_new_target_waits_for_the_assignment_interval) {
  Host host;
  Sharer first = settled(host);  // its target was made just now
  Sharer second(host, "m1");
  second.join();
  EXPECT_TRUE(second.partitions().empty());
  EXPECT_EQ(second.epoch, first.epoch);
  host.advance(seconds(1));
  second.beat();
  EXPECT_EQ(second.partitions().size(), 2u);
  host.topics.share_times["s"].assignment_interval = milliseconds(0);
  Sharer(host, "m2").join();
  second.beat();
  EXPECT_EQ(described(host).group_epoch, second.epoch);
}

TEST(ShareProtocol, epochs_other_than_the_last_two_are_fenced) {
  Host host;
  Sharer member = settled(host);
  const int32_t epoch = member.epoch;
  member.epoch = epoch - 1;  // the answer was lost
  EXPECT_EQ(member.beat().error_code, 0);
  EXPECT_EQ(member.epoch, epoch);
  member.epoch = epoch + 1;
  const ShareBeat ahead = member.beat();
  EXPECT_EQ(error_of(ahead), ErrorCode::kFencedMemberEpoch);
  EXPECT_EQ(ahead.error_message,
            "The share group member has a greater member epoch (4) than the one known by the group "
            "coordinator (3). The member must abandon all its partitions and rejoin.");
  member.epoch = epoch - 2;
  const ShareBeat behind = member.beat();
  EXPECT_EQ(error_of(behind), ErrorCode::kFencedMemberEpoch);
  EXPECT_EQ(behind.error_message,
            "The share group member has a smaller member epoch (1) than the one known by the group "
            "coordinator (3), and it does not match the previous member epoch (2). The member must "
            "abandon all its partitions and rejoin.");
  member.epoch = 0;  // begins anew, and is told all
  EXPECT_EQ(member.subscribe({"t0"}).member_epoch, epoch);
  EXPECT_EQ(member.partitions().size(), 4u);
  EXPECT_EQ(error_of(Sharer(host, "m9").leave()), ErrorCode::kUnknownMemberId);
  Sharer stranger(host, "m9");
  stranger.epoch = 1;
  EXPECT_EQ(stranger.beat().error_message, "Member m9 is not a member of group s.");
}

TEST(ShareProtocol, a_group_takes_so_many_members) {
  Host host({.share_max_size = 1});
  Sharer first(host, "m0"), second(host, "m1");
  first.join();
  const ShareBeat full = second.join();
  EXPECT_EQ(error_of(full), ErrorCode::kGroupMaxSizeReached);
  EXPECT_EQ(full.error_message, "The share group has reached its maximum capacity of 1 members.");
  EXPECT_EQ(first.join().error_code, 0);
}

TEST(ShareProtocol, who_leaves_or_is_silent_gives_its_share_to_the_others) {
  Host host;
  Sharer first = settled(host);
  Sharer second(host, "m1"), third(host, "m2");
  second.join();
  third.join();
  host.advance(seconds(20));
  first.beat();
  const ShareBeat left = second.leave();
  EXPECT_EQ(left.member_epoch, -1);
  EXPECT_EQ(left.member_id, "m1");
  EXPECT_EQ(described(host).members.size(), 2u);
  host.advance(seconds(30));  // the third one's session is over
  EXPECT_EQ(described(host).members.size(), 1u);
  first.beat();
  EXPECT_EQ(first.partitions().size(), 4u);
  host.advance(seconds(46));
  EXPECT_EQ(described(host).group_state, "Empty");
  EXPECT_EQ(error_of(first.beat()), ErrorCode::kUnknownMemberId);
}

TEST(ShareProtocol, a_groups_own_times_come_before_the_brokers) {
  Host host;
  host.topics.share_times["s"] = {.session_timeout = seconds(60), .heartbeat_interval = seconds(7)};
  Sharer member(host, "m0");
  EXPECT_EQ(member.join().heartbeat_interval_ms, 7000);
  host.advance(seconds(59));
  EXPECT_EQ(described(host).members.size(), 1u);
  host.advance(seconds(1));
  EXPECT_TRUE(described(host).members.empty());
}

TEST(ShareProtocol, sessions_begin_anew_with_a_restart_and_nothing_else_changes) {
  Host host;
  Sharer member = settled(host);
  const std::string before = host.machine->describe_replicated();
  host.start();
  EXPECT_EQ(host.machine->describe_replicated(), before);
  EXPECT_EQ(member.beat().error_code, 0);
  host.advance(seconds(45));
  EXPECT_TRUE(described(host).members.empty());
}

TEST(ShareProtocol, topics_that_change_are_noticed_with_the_next_heartbeat) {
  Host host;
  Sharer member = settled(host);
  host.topics.counts["t0"] = 6;
  ++host.topics.version_now;
  host.machine->on_topics_changed({.names = {"t0"}}, host.topics);
  host.advance(seconds(2));
  EXPECT_EQ(member.beat().error_code, 0);
  ASSERT_EQ(host.wishes.size(), 1u);
  ASSERT_EQ(host.wishes.front().partitions.size(), 2u);
  EXPECT_EQ(host.wishes.front().partitions.front().index, PartitionIndex(4));
  host.grant();
  host.advance(seconds(2));
  member.beat();
  EXPECT_EQ(member.partitions().size(), 6u);
}

TEST(ShareProtocol, another_subscription_takes_partitions_away_at_once) {
  Host host;
  Sharer member = settled(host);
  member.subscribe({"t1"});
  EXPECT_TRUE(member.has.empty());
  host.grant();
  host.advance(seconds(2));
  member.beat();
  EXPECT_EQ(member.has.size(), 1u);
  EXPECT_TRUE(member.has.contains(*host.topics.id_of("t1")));
}

TEST(ShareProtocol, topics_that_there_are_not_are_nothing_to_share) {
  Host host;
  Sharer member(host, "m0");
  EXPECT_EQ(member.join({"absent"}).error_code, 0);
  EXPECT_TRUE(host.wishes.empty());
  EXPECT_EQ(described(host).group_state, "Stable");
}

TEST(ShareProtocol, a_partition_that_could_not_be_initialised_is_tried_again) {
  Host host;
  Sharer member(host, "m0");
  member.join();
  host.grant(ErrorCode::kCoordinatorNotAvailable);
  EXPECT_TRUE(host.wishes.empty());
  member.beat();
  ASSERT_EQ(host.wishes.size(), 1u);
  EXPECT_EQ(host.wishes.front().partitions.size(), 4u);
}

TEST(ShareProtocol, a_wish_of_which_nothing_is_heard_is_repeated_after_the_retry_interval) {
  Host host;
  Sharer member(host, "m0");
  member.join();
  host.wishes.clear();  // lost
  host.advance(seconds(29));
  member.beat();
  EXPECT_TRUE(host.wishes.empty());
  host.start();
  host.advance(seconds(29));
  member.beat();
  EXPECT_TRUE(host.wishes.empty());  // the coordinator of before may still be at it
  host.advance(seconds(1));
  member.beat();
  EXPECT_EQ(host.wishes.size(), 1u);
  host.grant();
  member.beat();
  EXPECT_EQ(member.partitions().size(), 4u);
}

TEST(ShareProtocol, an_outcome_of_a_coordinator_before_changes_nothing) {
  Host host;
  Sharer(host, "m0").join();
  const size_t records = host.log.size();
  host.start();
  host.grant();
  EXPECT_EQ(host.log.size(), records);
  EXPECT_TRUE(host.machine->initialized_share_partitions("s").empty());
}

TEST(ShareProtocol, topics_that_are_deleted_are_forgotten) {
  Host host;
  Sharer member = settled(host);
  member.subscribe({"t0", "t1"});
  const Uuid t0 = *host.topics.id_of("t0"), t1 = *host.topics.id_of("t1");
  host.topics.ids.erase("t0");
  host.topics.ids.erase("t1");
  const std::vector<DeletedTopic> deleted = {{"t0", t0}, {"t1", t1}};
  host.take(host.machine->on_topics_deleted(deleted, host.topics));
  EXPECT_TRUE(host.machine->initialized_share_partitions("s").empty());
  host.grant();  // of t1, too late
  EXPECT_TRUE(host.machine->initialized_share_partitions("s").empty());
  const size_t records = host.log.size();
  host.take(host.machine->on_topics_deleted(deleted, host.topics));
  EXPECT_EQ(host.log.size(), records);
}

TEST(ShareProtocol, a_group_is_listed_and_described_by_its_members) {
  Host host;
  Sharer member = settled(host);
  const auto all = host.machine->list_groups({});
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].group_type + all[0].protocol_type + all[0].group_state, "shareshareStable");
  wire::ListGroupsRequest filter;
  filter.types_filter = {"Share"};
  EXPECT_EQ(host.machine->list_groups(filter).size(), 1u);
  filter.types_filter = {"consumer"};
  EXPECT_TRUE(host.machine->list_groups(filter).empty());
  const auto group = described(host);
  EXPECT_EQ(group.group_state, "Stable");
  EXPECT_EQ(group.assignor_name, "simple");
  EXPECT_EQ(group.group_epoch, 3);
  EXPECT_EQ(group.assignment_epoch, 3);
  ASSERT_EQ(group.members.size(), 1u);
  EXPECT_EQ(group.members[0].client_host, "/127.0.0.1");
  EXPECT_EQ(group.members[0].subscribed_topic_names, std::vector<std::string>{"t0"});
  ASSERT_EQ(group.members[0].assignment.topic_partitions.size(), 1u);
  EXPECT_EQ(group.members[0].assignment.topic_partitions[0].topic_name, "t0");
  EXPECT_EQ(described(host, "x").error_message, "Group x not found.");
  EXPECT_EQ(host.machine->describe_group("s", 6).error_message, "Group s is not a classic group.");
}

TEST(ShareProtocol, share_groups_have_no_offsets_to_commit_fetch_or_delete) {
  Host host;
  settled(host);
  Member classic(host, "s");
  EXPECT_EQ(classic.commit("t0", 0, 5), ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(host.join_error(classic.join()), ErrorCode::kInconsistentGroupProtocol);
  wire::OffsetDeleteRequest removal;
  removal.group_id = "s";
  EXPECT_EQ(host.error<wire::OffsetDeleteResponse>(host.delete_offsets(removal)),
            ErrorCode::kGroupIdNotFound);
  wire::OffsetFetchRequest::OffsetFetchRequestGroup fetch;
  fetch.group_id = "s";
  fetch.topics = {{.name = "t0", .partition_indexes = {0}}};
  const auto fetched = host.fetch(fetch);  // Kafka says nothing of the group here
  EXPECT_EQ(fetched.error_code, 0);
  EXPECT_EQ(fetched.topics.at(0).partitions.at(0).committed_offset, -1);
}

TEST(ShareProtocol, an_empty_group_does_not_expire) {
  Host host;
  settled(host).leave();
  host.advance(seconds(3600 * 24 * 30));
  EXPECT_EQ(described(host).group_state, "Empty");
}

TEST(ShareProtocol, a_topic_that_went_while_nobody_coordinated_is_forgotten) {
  Host host;
  Sharer member(host, "m0");
  member.join({"t0", "t1"});
  host.grant();
  member.beat();
  host.topics.ids.erase("t1");
  host.start();
  const auto beat_for_a_minute = [&] {
    for (int i = 0; i < 20; ++i) {
      host.advance(seconds(3));
      member.beat();
    }
    return member.epoch;
  };
  EXPECT_EQ(beat_for_a_minute(), beat_for_a_minute());
  EXPECT_EQ(host.machine->initialized_share_partitions("s").size(), 1u);
}

TEST(ShareProtocol, members_that_come_and_go_leave_nothing) {
  Host host;
  Sharer stays(host, "stays");
  stays.join();
  for (int i = 0; i < 50; ++i) {
    Sharer member(host, fmt::format("m{}", i));
    member.join();
    member.leave();
    host.advance(seconds(2));
    stays.beat();
  }
  host.advance(seconds(60));  // GC12
}

}  // namespace
}  // namespace millrace::group
