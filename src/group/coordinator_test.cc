// The facts of classic groups and committed offsets (reference: KIP-62, KIP-345, KIP-394, KIP-814,
// KIP-211), one test each.
#include <algorithm>

#include "group/testing/host.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using namespace testing;

TEST(Join, an_empty_group_id_is_invalid) {
  Host host;
  EXPECT_EQ(host.join_error(Member(host, "").join()), ErrorCode::kInvalidGroupId);
}

TEST(Join, a_session_timeout_out_of_bounds_is_invalid) {
  Host host;
  Member a(host, "g");
  for (int32_t ms : {5'999, 1'800'001}) {
    a.request.session_timeout_ms = ms;
    EXPECT_EQ(host.join_error(a.join()), ErrorCode::kInvalidSessionTimeout);
  }
}

TEST(Join, a_member_id_in_an_unknown_group_is_unknown) {
  Host host;
  Member a(host, "g");
  a.id = "somebody";
  EXPECT_EQ(host.join_error(a.join()), ErrorCode::kUnknownMemberId);
}

TEST(Join, from_version_4_a_dynamic_member_is_first_given_an_id) {
  Host host;
  Member a(host, "g");
  const auto answer = host.reply<wire::JoinGroupResponse>(host.join(a.request, 4));
  EXPECT_EQ(answer.error_code, wire::code_of(ErrorCode::kMemberIdRequired));
  EXPECT_EQ(answer.member_id, "client-11112222-3333-4444-0000-000000000001");
  EXPECT_TRUE(host.is_parked(host.join(a.request, 3)));
}

TEST(Join, a_static_member_joins_at_once) {
  Host host;
  Member a(host, "g");
  a.request.group_instance_id = "i";
  EXPECT_TRUE(host.is_parked(host.join(a.request, 9)));
}

TEST(Join, an_unused_id_holds_up_the_join_until_its_session_ends) {
  Host host;
  auto members = stable_group(host, 1);
  Member late(host, "g");
  host.join(late.request);  // takes an id and never comes back
  members[0].join();
  EXPECT_TRUE(host.is_parked(members[0].ticket));
  host.advance(seconds(11));
  EXPECT_TRUE(members[0].take_join());
  EXPECT_EQ(members[0].generation, 2);
}

TEST(Join, another_protocol_type_no_protocol_or_none_in_common_is_inconsistent) {
  Host host;
  stable_group(host, 1);
  Member other(host, "g");
  other.request.protocol_type = "connect";
  EXPECT_EQ(host.join_error(other.join()), ErrorCode::kInconsistentGroupProtocol);
  other.request.protocol_type = "consumer";
  other.request.protocols = {};
  EXPECT_EQ(host.join_error(other.join()), ErrorCode::kInconsistentGroupProtocol);
  other.request.protocols = {{.name = "unheard-of"}};
  EXPECT_EQ(host.join_error(other.join()), ErrorCode::kInconsistentGroupProtocol);
}

TEST(Join, of_a_hundred_at_once_as_many_as_the_group_may_have_get_in) {
  Host host({.max_size = 10});
  std::vector<Member> members;
  for (int i = 0; i < 100; ++i) members.emplace_back(host, "g");
  for (Member& member : members) member.join();
  host.advance(seconds(70));
  EXPECT_EQ(std::ranges::count_if(members, [](Member& m) { return m.take_join(); }), 10);
}

TEST(Join, the_initial_delay_grows_with_each_new_member_up_to_the_rebalance_timeout) {
  Host host;
  Member a(host, "g");
  Member b(host, "g");
  a.request.rebalance_timeout_ms = b.request.rebalance_timeout_ms = 4'000;
  a.join();
  host.advance(milliseconds(2'500));
  b.join();
  host.advance(milliseconds(1'000));
  EXPECT_FALSE(a.take_join());
  host.advance(milliseconds(3'000));
  EXPECT_TRUE(a.take_join());
  EXPECT_EQ(a.members.size(), 2u);
}

TEST(Join, only_the_leader_learns_of_the_members_and_it_leads_again) {
  Host host;
  auto members = stable_group(host, 2);
  Member& leader = members[members[0].leads() ? 0 : 1];
  Member& follower = members[members[0].leads() ? 1 : 0];
  EXPECT_EQ(leader.members.size(), 2u);
  EXPECT_TRUE(follower.members.empty());
  leader.join();
  follower.join();
  EXPECT_TRUE(leader.take_join());
  EXPECT_EQ(leader.generation, 2);
  EXPECT_TRUE(leader.leads());
}

TEST(Join, the_protocol_that_most_put_first_among_the_common_ones_wins) {
  Host host;
  std::vector<Member> members;
  for (int i = 0; i < 3; ++i) members.emplace_back(host, "g");
  for (Member& m : members) m.request.protocols = {{.name = "b"}, {.name = "a"}};
  members[0].request.protocols = {{.name = "mine"}, {.name = "a"}, {.name = "b"}};
  for (Member& m : members) m.join();
  host.advance(seconds(10));
  EXPECT_EQ(host.reply<wire::JoinGroupResponse>(members[0].ticket).protocol_name, "b");
}

TEST(Join, a_follower_that_says_nothing_new_gets_the_generation_that_is) {
  Host host;
  auto members = stable_group(host, 2);
  Member& follower = members[members[0].leads() ? 1 : 0];
  follower.join();
  EXPECT_TRUE(follower.take_join());
  EXPECT_EQ(follower.generation, 1);
  EXPECT_EQ(host.state("g"), "Stable");
  follower.request.protocols[0].metadata = subscription({"t5"});
  follower.join();
  EXPECT_EQ(host.state("g"), "PreparingRebalance");
}

TEST(Join, who_does_not_come_back_in_time_is_out_unless_it_is_static) {
  Host host;
  Member a(host, "g"), dynamic(host, "g"), fixed(host, "g");
  for (Member* m : {&a, &dynamic, &fixed}) {
    m->request.session_timeout_ms = 300'000;
    m->request.rebalance_timeout_ms = 20'000;
  }
  fixed.request.group_instance_id = "i";
  for (Member* m : {&a, &dynamic, &fixed}) m->join();
  host.advance(seconds(20));
  for (Member* m : {&a, &dynamic, &fixed}) m->take_join();
  for (Member* m : {&dynamic, &fixed, &a}) m->sync();
  a.request.protocols[0].metadata = subscription({"t1"});
  a.join();
  host.advance(seconds(21));
  ASSERT_TRUE(a.take_join());
  EXPECT_EQ(dynamic.heartbeat(), ErrorCode::kUnknownMemberId);
  EXPECT_NE(fixed.heartbeat(), ErrorCode::kUnknownMemberId);
}

TEST(Join, a_group_whose_static_members_are_all_away_waits_for_one) {
  Host host;
  Member a(host, "g"), fixed(host, "g");
  fixed.request.group_instance_id = "i";
  fixed.request.session_timeout_ms = 300'000;
  fixed.request.rebalance_timeout_ms = a.request.rebalance_timeout_ms = 20'000;
  a.join();
  fixed.join();
  host.advance(seconds(20));
  a.take_join();
  fixed.take_join();
  fixed.sync();
  a.sync();
  fixed.sync();
  a.leave();
  host.advance(seconds(21));
  EXPECT_EQ(host.state("g"), "PreparingRebalance");
  fixed.join();
  EXPECT_TRUE(fixed.take_join());
  EXPECT_EQ(fixed.generation, 2);
}

TEST(Join, a_defunct_new_member_is_forgotten_after_five_minutes) {
  Host host;
  Member a(host, "g");
  Member b(host, "g");
  b.request.rebalance_timeout_ms = a.request.rebalance_timeout_ms = 1'800'000;
  a.join();
  host.advance(seconds(4));
  a.take_join();
  a.sync();
  b.request.session_timeout_ms = 6'000;
  b.join(3);
  for (int i = 0; i < 301; ++i) {
    host.advance(seconds(1));
    a.heartbeat();
  }
  EXPECT_EQ(host.join_error(b.ticket), ErrorCode::kUnknownMemberId);
}

TEST(Sync, all_get_what_the_leader_says_after_it_is_written) {
  Host host;
  const size_t before = host.log.size();
  auto members = stable_group(host, 2);
  EXPECT_GT(host.log.size(), before);
  EXPECT_EQ(members[0].assignment(), "0");
  EXPECT_EQ(members[1].assignment(), "1");
  members[1].sync();
  EXPECT_EQ(members[1].assignment(), "1");
}

TEST(Sync, an_assignment_too_large_for_the_log_is_for_nobody_and_the_group_joins_again) {
  Host host;
  auto members = stable_group(host, 2);
  const size_t written = host.log.size();
  host.topics.max_batch = 5000;
  for (Member& m : members) m.join();
  for (Member& m : members) m.take_join();
  Member& leader = members[members[0].leads() ? 0 : 1];
  Member& other = members[members[0].leads() ? 1 : 0];
  other.sync();
  leader.sync({{leader.id, std::string(6000, 'x')}, {other.id, "1"}});
  for (const Member& m : members)
    EXPECT_EQ(host.sync_error(m.ticket), ErrorCode::kUnknownServerError);
  EXPECT_EQ(host.log.size(), written);
  EXPECT_EQ(other.heartbeat(), ErrorCode::kRebalanceInProgress);
  for (Member& m : members) m.join();
  for (Member& m : members) m.take_join();
  leader.sync({{leader.id, "0"}, {other.id, "1"}});
  EXPECT_EQ(leader.assignment(), "0");
}

TEST(Sync, wrong_generations_members_and_protocols_are_refused) {
  Host host;
  auto members = stable_group(host, 1);
  wire::SyncGroupRequest sync;
  sync.group_id = "g";
  sync.generation_id = 9;
  sync.member_id = members[0].id;
  sync.protocol_type = "consumer";
  sync.protocol_name = "other";
  EXPECT_EQ(host.sync_error(host.sync(sync)), ErrorCode::kIllegalGeneration);
  sync.generation_id = 1;
  EXPECT_EQ(host.sync_error(host.sync(sync)), ErrorCode::kInconsistentGroupProtocol);
  sync.member_id = "nobody";
  EXPECT_EQ(host.sync_error(host.sync(sync)), ErrorCode::kUnknownMemberId);
}

TEST(Sync, who_never_syncs_is_evicted_after_the_rebalance_timeout) {
  Host host;
  std::vector<Member> members;
  for (int i = 0; i < 2; ++i) members.emplace_back(host, "g");
  for (Member& m : members) m.request.rebalance_timeout_ms = 20'000;
  for (Member& m : members) m.join();
  host.advance(seconds(10));
  for (Member& m : members) m.take_join();
  Member& leader = members[members[0].leads() ? 0 : 1];
  Member& silent = members[members[0].leads() ? 1 : 0];
  leader.sync();
  EXPECT_EQ(host.state("g"), "Stable");
  for (int i = 0; i < 25; ++i) {
    host.advance(seconds(1));
    leader.heartbeat();
    silent.heartbeat();
  }
  EXPECT_EQ(silent.heartbeat(), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(leader.heartbeat(), ErrorCode::kRebalanceInProgress);
}

TEST(Heartbeat, says_what_the_group_is_doing) {
  Host host;
  auto members = stable_group(host, 2);
  EXPECT_EQ(members[0].heartbeat(), ErrorCode::kNone);
  Member& leader = members[members[0].leads() ? 0 : 1];
  Member& follower = members[members[0].leads() ? 1 : 0];
  leader.join();
  EXPECT_EQ(follower.heartbeat(), ErrorCode::kRebalanceInProgress);
  follower.join();
  follower.take_join();
  EXPECT_EQ(follower.heartbeat(), ErrorCode::kNone);  // CompletingRebalance
  follower.generation = 1;
  EXPECT_EQ(follower.heartbeat(), ErrorCode::kIllegalGeneration);
}

TEST(Heartbeat, a_silent_member_is_removed_and_the_others_rebalance) {
  Host host;
  auto members = stable_group(host, 2);
  host.advance(seconds(6));
  members[0].heartbeat();
  host.advance(seconds(5));
  EXPECT_EQ(members[0].heartbeat(), ErrorCode::kRebalanceInProgress);
  EXPECT_EQ(members[1].heartbeat(), ErrorCode::kUnknownMemberId);
}

TEST(StaticMember, rejoins_without_a_rebalance_and_fences_its_former_self) {
  Host host;
  Member a(host, "g");
  a.request.group_instance_id = "i";
  a.join();
  host.advance(seconds(4));
  a.take_join();
  a.sync({{a.id, "mine"}});
  Member again(host, "g");
  again.request.group_instance_id = "i";
  again.join(9);
  ASSERT_TRUE(again.take_join());
  const auto answer = host.reply<wire::JoinGroupResponse>(again.ticket);
  EXPECT_TRUE(answer.skip_assignment);
  EXPECT_EQ(again.generation, 1);
  EXPECT_NE(again.id, a.id);
  EXPECT_EQ(host.state("g"), "Stable");
  EXPECT_EQ(a.heartbeat(), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(a.commit("t0", 0, 1), ErrorCode::kFencedInstanceId);
  again.sync();
  EXPECT_EQ(again.assignment(), "mine");
  const std::string former = again.id;
  Member old_client(host, "g");
  old_client.request.group_instance_id = "i";
  old_client.join(8);
  EXPECT_EQ(old_client.leader, former);  // so that it does not assign
}

TEST(Leave, names_members_one_by_one_from_version_3) {
  Host host;
  auto members = stable_group(host, 1);
  wire::LeaveGroupRequest leave;
  leave.group_id = "g";
  leave.members = {{.member_id = "nobody"}, {.member_id = "", .group_instance_id = "none"}};
  const auto answer = host.reply<wire::LeaveGroupResponse>(host.leave(leave));
  EXPECT_EQ(answer.error_code, 0);
  for (const auto& member : answer.members)
    EXPECT_EQ(member.error_code, wire::code_of(ErrorCode::kUnknownMemberId));
  leave.members.clear();
  leave.member_id = members[0].id;
  EXPECT_EQ(host.error<wire::LeaveGroupResponse>(host.leave(leave, 2)), ErrorCode::kNone);
  EXPECT_EQ(host.state("g"), "Empty");
}

TEST(Restart, keeps_the_group_as_it_was_written) {
  Host host;
  auto members = stable_group(host, 3);
  members[0].commit("t1", 0, 7);
  host.start();
  EXPECT_EQ(host.state("g"), "Stable");
  for (Member& member : members) EXPECT_EQ(member.heartbeat(), ErrorCode::kNone);
  members[2].sync();
  EXPECT_EQ(members[2].assignment(), "2");
  EXPECT_EQ(host.offset("g", "t1", 0), 7);
}

TEST(Restart, a_leader_that_the_log_does_not_know_is_replaced) {
  Host host;
  wire::GroupMetadataValue value;
  value.protocol_type = "consumer";
  value.protocol = "range";
  value.generation = 4;
  value.leader = "gone";
  value.members = {{.member_id = "m", .session_timeout = 10'000}};
  host.log.push_back(
      {wire::encode_key(wire::GroupMetadataKey{.group = "g"}), wire::encode_value(value, 3)});
  host.start();
  EXPECT_EQ(host.state("g"), "Stable");
}

TEST(DeleteGroups, only_empty_ones_go_and_for_good) {
  Host host;
  EXPECT_EQ(host.delete_group("g"), ErrorCode::kGroupIdNotFound);
  auto members = stable_group(host, 1);
  members[0].commit("t0", 0, 1);
  EXPECT_EQ(host.delete_group("g"), ErrorCode::kNonEmptyGroup);
  members[0].leave();
  EXPECT_EQ(host.delete_group("g"), ErrorCode::kNone);
  EXPECT_EQ(host.state("g"), "Dead");
  host.start();
  EXPECT_EQ(host.state("g"), "Dead");
  EXPECT_EQ(host.offset("g", "t0", 0), -1);
}

TEST(Describe, an_unknown_group_is_dead_or_not_found_by_version) {
  Host host;
  EXPECT_EQ(host.machine->describe_group("g", 5).group_state, "Dead");
  EXPECT_EQ(host.machine->describe_group("g", 5).error_code, 0);
  EXPECT_EQ(host.machine->describe_group("g", 6).error_code,
            wire::code_of(ErrorCode::kGroupIdNotFound));
}

TEST(Describe, a_host_is_written_and_shown_as_java_prints_it) {
  Host host;
  auto members = stable_group(host, 1);
  EXPECT_EQ(host.machine->describe_group("g", 5).members.at(0).client_host, "/127.0.0.1");
  const auto value = wire::decode_value<wire::GroupMetadataValue>(*host.log.back().value);
  EXPECT_EQ(value->members.at(0).client_host, "/127.0.0.1");
  host.start();
  EXPECT_EQ(host.machine->describe_group("g", 5).members.at(0).client_host, "/127.0.0.1");
}

TEST(Join, a_new_group_is_written_at_once) {
  Host host;
  Member(host, "g").join();
  ASSERT_EQ(host.log.size(), 1u);
  const auto value = wire::decode_value<wire::GroupMetadataValue>(*host.log[0].value);
  ASSERT_TRUE(value);
  EXPECT_EQ(value->generation, 0);
  EXPECT_EQ(value->protocol_type, "");
  EXPECT_EQ(value->current_state_timestamp, host.wall.value());
  EXPECT_TRUE(value->members.empty());
  host.start();
  EXPECT_EQ(host.state("g"), "Empty");
}

TEST(Join, ids_that_were_given_out_do_not_fill_a_group) {
  Host host({.max_size = 1});
  Member a(host, "g"), b(host, "g");
  host.join(b.request);  // takes an id and never comes back
  a.join(3);
  EXPECT_TRUE(host.is_parked(a.ticket));
  host.advance(seconds(11));
  EXPECT_TRUE(a.take_join());
  EXPECT_EQ(host.join_error(b.join(3)), ErrorCode::kGroupMaxSizeReached);
}

TEST(Join, a_group_over_a_limit_that_was_lowered_rebalances_after_a_restart) {
  Host host;
  auto members = stable_group(host, 3);
  host.config.max_size = 2;
  host.start();
  EXPECT_EQ(host.state("g"), "PreparingRebalance");
  for (Member& member : members) member.join();
  EXPECT_EQ(std::ranges::count_if(members, [](Member& m) { return m.take_join(); }), 2);
}

TEST(Join, the_second_request_of_a_member_that_waits_supersedes_the_first) {
  Host host;
  auto members = stable_group(host, 2);
  Member& leader = members[members[0].leads() ? 0 : 1];
  const Ticket first = leader.join();
  leader.join();
  EXPECT_EQ(host.join_error(first), ErrorCode::kRebalanceInProgress);
  EXPECT_TRUE(host.is_parked(leader.ticket));
}

// A static member "i" that leads a group with another, and its next life.
struct Rejoin {
  explicit Rejoin(Host& host) : other(host, "g"), former(host, "g"), again(host, "g") {
    former.request.group_instance_id = again.request.group_instance_id = "i";
    for (Member* m : {&other, &former, &again})
      m->request.protocols = {{.name = "range", .metadata = subscription({"t0"})},
                              {.name = "sticky", .metadata = subscription({"t0"})}};
    other.join();
    former.join();
    host.advance(seconds(10));
    for (Member* m : {&other, &former}) m->take_join();
    for (Member* m : {&other, &former}) m->sync();
    for (Member* m : {&other, &former})
      if (m->leads()) m->sync({{former.id, "mine"}, {other.id, "theirs"}});
    EXPECT_EQ(host.state("g"), "Stable");
  }
  Member other, former, again;
};

TEST(StaticMember, that_changed_what_is_not_chosen_needs_no_rebalance) {
  Host host;
  Rejoin test(host);
  test.again.request.protocols[0].metadata = subscription({"t1"});
  test.again.join();
  EXPECT_TRUE(test.again.take_join());
  EXPECT_EQ(host.state("g"), "Stable");
}

TEST(StaticMember, that_makes_another_protocol_win_starts_a_rebalance) {
  Host host;
  Rejoin test(host);
  test.again.request.protocols = {{.name = "sticky", .metadata = subscription({"t0"})}};
  test.again.join();
  EXPECT_EQ(host.state("g"), "PreparingRebalance");
}

TEST(StaticMember, is_seen_under_the_client_id_and_host_of_its_last_life) {
  Host host;
  Rejoin test(host);
  RequestContext context = host.context(9);
  context.client_id = "second";
  context.client_host = "/10.0.0.2";
  host.take(host.machine->decide_join_group(test.again.request, context));
  std::vector<std::string> seen;
  for (const auto& member : host.machine->describe_group("g", 5).members)
    if (member.group_instance_id) seen = {member.client_id, member.client_host};
  EXPECT_EQ(seen, (std::vector<std::string>{"second", "/10.0.0.2"}));
}

TEST(Leave, an_administrator_names_only_the_instance) {
  Host host;
  Rejoin test(host);
  wire::LeaveGroupRequest leave;
  leave.group_id = "g";
  leave.members = {{.member_id = "", .group_instance_id = "i"}};
  const auto answer = host.reply<wire::LeaveGroupResponse>(host.leave(leave));
  EXPECT_EQ(answer.members.at(0).error_code, 0);
  EXPECT_EQ(test.former.heartbeat(), ErrorCode::kUnknownMemberId);
}

TEST(Describe, an_unknown_group_is_named_in_the_message) {
  Host host;
  EXPECT_EQ(host.machine->describe_group("g", 6).error_message, "Group g not found.");
}

// KIP-559: from version 5 on, both or the request is none.
TEST(Sync, names_its_protocol_from_version_5_on) {
  Host host;
  auto members = stable_group(host, 1);
  wire::SyncGroupRequest request{.group_id = "g",
                                 .generation_id = members[0].generation,
                                 .member_id = members[0].id,
                                 .protocol_type = "consumer"};
  EXPECT_EQ(host.sync_error(host.sync(request, 5)), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(host.sync_error(host.sync(request, 4)), ErrorCode::kNone);
  request.protocol_name = "range";
  EXPECT_EQ(host.sync_error(host.sync(request, 5)), ErrorCode::kNone);
}

TEST(Join, that_is_refused_names_no_protocol) {
  Host host;
  Member member(host, "");
  EXPECT_EQ(host.reply<wire::JoinGroupResponse>(member.join(7)).protocol_name, std::nullopt);
  EXPECT_EQ(host.reply<wire::JoinGroupResponse>(member.join(6)).protocol_name, "");
}

TEST(List, filters_by_state_and_type_in_any_case) {
  Host host;
  stable_group(host, 1);
  Member(host, "h").join();
  auto count = [&](std::vector<std::string> states, std::vector<std::string> types) {
    return host.machine->list_groups({.states_filter = states, .types_filter = types}).size();
  };
  EXPECT_EQ(count({}, {}), 2u);
  EXPECT_EQ(count({"sTABLE"}, {}), 1u);
  EXPECT_EQ(count({"Stable", "PreparingRebalance"}, {}), 2u);
  EXPECT_EQ(count({" Stable "}, {}), 1u);
  EXPECT_EQ(count({}, {"Classic"}), 2u);
  EXPECT_EQ(count({}, {" classic "}), 0u);
  EXPECT_EQ(count({}, {"consumer"}), 0u);
}

TEST(Timers, nothing_is_due_before_a_session_can_end) {
  Host host({.offsets_retention_check_interval = seconds(86'400)});
  auto members = stable_group(host, 2);
  while (host.machine->next_deadline() <= host.now)
    host.take(host.machine->on_tick(host.now, host.wall, host.topics));
  EXPECT_GT(host.machine->next_deadline(), host.now);
  EXPECT_LE(host.machine->next_deadline(), host.now + seconds(60));
}

}  // namespace
}  // namespace millrace::group
