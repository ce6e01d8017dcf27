// Consumer groups (KIP-848): each test is one rule of the protocol.
#include "group/consumer_protocol.h"

#include "group/testing/consumer.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using namespace testing;

std::string listed(const Host& host) {
  std::string text;
  for (const auto& group : host.machine->list_groups({}))
    text += group.group_id + " " + group.group_type + " " + group.group_state;
  return text;
}

std::vector<int16_t> types_of(const std::vector<KeyValueRecord>& log, size_t from = 0) {
  std::vector<int16_t> types;
  for (size_t i = from; i < log.size(); ++i) types.push_back(load_big<int16_t>(log[i].key.data()));
  return types;
}

TEST(ConsumerProtocol, the_first_member_gets_everything_at_once) {
  Host host;
  Consumer a(host, "a");
  const Beat answer = a.join();
  EXPECT_EQ(error_of(answer), ErrorCode::kNone);
  EXPECT_EQ(answer.member_epoch, 2);
  EXPECT_EQ(answer.heartbeat_interval_ms, 5000);
  EXPECT_EQ(a.size(), 4u);
  EXPECT_EQ(listed(host), "g consumer Stable");
  EXPECT_EQ(types_of(host.log), (std::vector<int16_t>{5, 3, 7, 6, 8}));
}

TEST(ConsumerProtocol, a_heartbeat_that_says_nothing_new_writes_nothing_and_tells_nothing) {
  Host host;
  Consumer a(host, "a");
  a.join();
  const size_t written = host.log.size();
  EXPECT_FALSE(a.beat().assignment);
  EXPECT_FALSE(a.own().assignment);
  EXPECT_EQ(host.log.size(), written);
}

TEST(ConsumerProtocol, what_is_too_large_for_the_log_is_refused_and_changes_nothing) {
  Host host;
  host.topics.max_batch = 2000;
  Consumer a(host, "a"), b(host, "b");
  a.join();
  const size_t written = host.log.size();
  b.full.subscribed_topic_names = {std::string(2000, 't')};
  EXPECT_EQ(error_of(b.join()), ErrorCode::kUnknownServerError);
  EXPECT_EQ(error_of(a.subscribe({std::string(2000, 't')})), ErrorCode::kUnknownServerError);
  EXPECT_EQ(host.log.size(), written);
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kNone);
  EXPECT_EQ(a.size(), 4u);
}

TEST(ConsumerProtocol, a_second_member_waits_until_the_first_has_given_up_its_share) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.join();
  host.advance(seconds(2));  // the assignment interval
  const Beat joined = b.join();
  EXPECT_EQ(joined.member_epoch, 3);
  EXPECT_EQ(b.size(), 0u);
  EXPECT_EQ(group_state(host), "Reconciling");
  const Beat told = a.beat();
  EXPECT_EQ(told.member_epoch, 2);  // until it has given them up
  EXPECT_EQ(a.size(), 2u);
  EXPECT_FALSE(b.beat().assignment);
  EXPECT_EQ(a.own().member_epoch, 3);
  b.beat();
  EXPECT_EQ(b.size(), 2u);
  EXPECT_EQ(group_state(host), "Stable");
}

TEST(ConsumerProtocol, assignments_are_made_no_more_often_than_the_interval_says) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.join();
  EXPECT_EQ(b.join().member_epoch, 2);
  EXPECT_EQ(group_state(host), "Assigning");
  host.advance(seconds(1));
  EXPECT_EQ(b.beat().member_epoch, 3);
  host.topics.times["g"].assignment_interval = milliseconds(0);
  Consumer c(host, "c");
  EXPECT_EQ(c.join().member_epoch, 4);
}

TEST(ConsumerProtocol, a_member_that_is_silent_is_removed_and_the_rest_go_on) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.join();
  host.advance(seconds(2));
  b.join();
  a.beat();
  a.own();
  b.beat();
  for (int i = 0; i < 12; ++i) {
    host.advance(seconds(5));
    b.beat();
  }
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kUnknownMemberId);
  b.settle();
  EXPECT_EQ(b.size(), 4u);
}

TEST(ConsumerProtocol, a_groups_own_session_timeout_holds) {
  Host host;
  host.topics.times["g"] = {.session_timeout = seconds(50), .heartbeat_interval = seconds(7)};
  Consumer a(host, "a");
  EXPECT_EQ(a.join().heartbeat_interval_ms, 7000);
  host.advance(seconds(49));
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kNone);
  host.advance(seconds(51));
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kUnknownMemberId);
}

TEST(ConsumerProtocol, a_member_that_does_not_give_up_its_partitions_in_time_is_removed) {
  Host host({.consumer_session_timeout = seconds(1000)});
  Consumer a(host, "a"), b(host, "b");
  a.full.rebalance_timeout_ms = 20'000;
  a.join();
  host.advance(seconds(2));
  b.join();
  a.beat();
  host.advance(seconds(21));
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kUnknownMemberId);
  b.settle();
  EXPECT_EQ(b.size(), 4u);
}

TEST(ConsumerProtocol, timers_begin_again_when_the_log_is_loaded) {
  Host host({.consumer_session_timeout = seconds(100)});
  Consumer a(host, "a"), b(host, "b");
  a.full.rebalance_timeout_ms = 20'000;
  a.join();
  host.advance(seconds(2));
  b.join();
  a.beat();
  host.start();
  host.advance(seconds(21));
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kUnknownMemberId);
  host.start();
  host.advance(seconds(101));
  EXPECT_EQ(error_of(b.beat()), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(listed(host), "g consumer Empty");
}

TEST(ConsumerProtocol, epochs_that_are_not_the_members_are_fenced) {
  Host host;
  Consumer a(host, "a");
  a.join();
  a.epoch = 3;
  const Beat greater = a.beat();
  EXPECT_EQ(error_of(greater), ErrorCode::kFencedMemberEpoch);
  EXPECT_EQ(greater.error_message,
            "The consumer group member has a greater member epoch (3) than the one known by the "
            "group coordinator (2). The member must abandon all its partitions and rejoin.");
  a.epoch = 1;
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kFencedMemberEpoch);
  EXPECT_EQ(a.join().member_epoch, 2);
}

TEST(ConsumerProtocol, an_answer_that_was_lost_can_be_asked_for_again) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.join();
  host.advance(seconds(2));
  b.join();
  a.beat();
  const auto before = a.owned;
  EXPECT_EQ(a.own().member_epoch, 3);
  a.epoch = 2;
  a.owned = before;
  EXPECT_EQ(a.own().member_epoch, 3);
  a.epoch = 2;
  a.owned[*host.topics.id_of("t1")] = {0};
  EXPECT_EQ(error_of(a.own()), ErrorCode::kFencedMemberEpoch);
}

TEST(ConsumerProtocol, requests_that_cannot_be_are_refused_in_kafkas_words) {
  Host host;
  const auto refusal = [&](auto change, int32_t epoch = 0) {
    Consumer a(host, "a");
    a.epoch = epoch;
    auto request = a.full;
    request.topic_partitions.emplace();
    change(request);
    const Beat answer = a.send(request);
    return fmt::format("{} {}", answer.error_code, answer.error_message.value_or("-"));
  };
  EXPECT_EQ(refusal([](auto& r) { r.group_id = " "; }), "42 GroupId can't be empty.");
  EXPECT_EQ(refusal([](auto& r) { r.instance_id = ""; }), "42 InstanceId can't be empty.");
  EXPECT_EQ(refusal([](auto& r) { r.rack_id = ""; }), "42 RackId can't be empty.");
  EXPECT_EQ(refusal([](auto& r) { r.rebalance_timeout_ms = -1; }),
            "42 RebalanceTimeoutMs must be provided in first request.");
  EXPECT_EQ(refusal([](auto& r) { r.topic_partitions.reset(); }),
            "42 TopicPartitions must be empty when (re-)joining.");
  EXPECT_EQ(refusal([](auto& r) { r.subscribed_topic_names.reset(); }),
            "42 Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when "
            "(re-)joining.");
  EXPECT_EQ(refusal([](auto& r) { r.server_assignor = "sticky"; }),
            "112 ServerAssignor sticky is not supported. Supported assignors: uniform, range.");
  EXPECT_EQ(refusal([](auto&) {}, -2), "42 InstanceId can't be null.");
  EXPECT_EQ(refusal([](auto&) {}, -3), "42 MemberEpoch is invalid.");
  EXPECT_EQ(refusal([](auto&) {}, 1), "69 Consumer group g not found.");
  EXPECT_EQ(refusal([](auto&) {}, -1), "69 Group g not found.");
  EXPECT_TRUE(host.log.empty());
}

TEST(ConsumerProtocol, version_0_gives_out_the_member_id) {
  Host host;
  wire::ConsumerGroupHeartbeatRequest request;
  request.group_id = "g";
  request.rebalance_timeout_ms = 1000;
  request.subscribed_topic_names = {"t0"};
  request.topic_partitions.emplace();
  EXPECT_EQ(error_of(host.beat(request, 1)), ErrorCode::kInvalidRequest);
  EXPECT_FALSE(host.beat(request, 0).member_id->empty());
}

TEST(ConsumerProtocol, a_group_that_is_full_refuses_new_members_only) {
  Host host({.consumer_max_size = 1});
  Consumer a(host, "a"), b(host, "b");
  a.join();
  const Beat refused = b.join();
  EXPECT_EQ(error_of(refused), ErrorCode::kGroupMaxSizeReached);
  EXPECT_EQ(refused.error_message,
            "The consumer group has reached its maximum capacity of 1 members.");
  EXPECT_EQ(error_of(a.join()), ErrorCode::kNone);
}

TEST(ConsumerProtocol, who_leaves_gives_everything_up_at_once) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.join();
  host.advance(seconds(2));
  b.join();
  a.beat();
  a.own();
  const size_t written = host.log.size();
  EXPECT_EQ(a.leave().member_epoch, -1);
  EXPECT_EQ(types_of(host.log, written), (std::vector<int16_t>{8, 7, 5, 3}));
  b.settle();
  EXPECT_EQ(b.size(), 4u);
  b.leave();
  EXPECT_EQ(listed(host), "g consumer Empty");
}

TEST(ConsumerProtocol, a_static_member_that_leaves_for_a_while_keeps_its_partitions) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.full.instance_id = "one";
  a.join();
  host.advance(seconds(2));
  b.join();
  a.beat();
  a.own();
  b.beat();
  const auto had = a.owned;
  const Beat gone = a.leave(-2);
  EXPECT_EQ(gone.member_epoch, -2);
  EXPECT_EQ(host.machine->describe_consumer_group("g", host.topics).members[0].member_epoch, -2);
  EXPECT_EQ(b.beat().member_epoch, 3);
  Consumer back(host, "c");
  back.full.instance_id = "one";
  EXPECT_EQ(back.join().member_epoch, 3);
  EXPECT_EQ(back.owned, had);
  a.epoch = 3;
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kFencedInstanceId);
}

TEST(ConsumerProtocol, a_static_member_may_come_back_under_the_id_it_had) {
  Host host;
  Consumer a(host, "a");
  a.full.instance_id = "one";
  a.join();
  a.leave(-2);
  EXPECT_EQ(error_of(a.join()), ErrorCode::kNone);
  EXPECT_EQ(a.size(), 4u);
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kNone);
}

TEST(ConsumerProtocol, an_instance_id_that_is_in_use_is_not_released) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.full.instance_id = b.full.instance_id = "one";
  a.join();
  const Beat refused = b.join();
  EXPECT_EQ(error_of(refused), ErrorCode::kUnreleasedInstanceId);
  EXPECT_EQ(refused.error_message,
            "Static member b with instance id one cannot join the group because the instance id "
            "is owned by a member.");
}

TEST(ConsumerProtocol, a_static_member_that_does_not_come_back_is_removed_with_its_session) {
  Host host;
  Consumer a(host, "a");
  a.full.instance_id = "one";
  a.join();
  a.leave(-2);
  host.advance(seconds(46));
  EXPECT_EQ(listed(host), "g consumer Empty");
}

TEST(ConsumerProtocol, more_partitions_are_assigned_when_the_metadata_has_them) {
  Host host;
  Consumer a(host, "a");
  a.join();
  host.advance(seconds(2));
  host.topics.counts["t0"] = 6;
  EXPECT_FALSE(a.beat().assignment);  // nobody has told
  host.machine->on_topics_changed({.names = {"t0"}}, host.topics);
  EXPECT_EQ(a.beat().member_epoch, 3);
  EXPECT_EQ(a.size(), 6u);
}

TEST(ConsumerProtocol, a_topic_that_is_deleted_is_given_up_and_one_that_comes_is_assigned) {
  Host host;
  Consumer a(host, "a");
  a.full.subscribed_topic_names = {"t0", "later"};
  a.join();
  EXPECT_EQ(a.size(), 4u);
  host.advance(seconds(2));
  host.topics.ids["later"] = Uuid::of_words({8, 8});
  host.topics.ids.erase("t0");
  host.machine->on_topics_changed({.names = {"t0", "later"}, .any_created = true}, host.topics);
  a.beat();
  EXPECT_TRUE(a.owned.empty());
  a.own();
  EXPECT_TRUE(a.owned.contains(Uuid::of_words({8, 8})));
}

TEST(ConsumerProtocol, a_subscription_that_changes_gives_up_its_topics_before_a_new_target) {
  Host host;
  Consumer a(host, "a");
  a.join();
  const Beat told = a.subscribe({"t1"});  // within the assignment interval
  ASSERT_TRUE(told.assignment);
  EXPECT_TRUE(a.owned.empty());
  host.advance(seconds(2));
  a.own();
  EXPECT_EQ(a.size(), 4u);
}

TEST(ConsumerProtocol, a_regular_expression_is_resolved_a_moment_later) {
  Host host;
  Consumer a(host, "a");
  a.full.subscribed_topic_names.reset();
  a.full.subscribed_topic_regex = "t[0-2]";
  EXPECT_EQ(error_of(a.join()), ErrorCode::kNone);
  EXPECT_EQ(a.size(), 0u);
  host.advance(seconds(2));
  a.beat();
  EXPECT_EQ(a.size(), 12u);
  const auto described = host.machine->describe_consumer_group("g", host.topics);
  EXPECT_EQ(described.members[0].subscribed_topic_regex, "t[0-2]");
  host.start();
  EXPECT_EQ(error_of(a.beat()), ErrorCode::kNone);
}

TEST(ConsumerProtocol, a_regular_expression_sees_topics_that_are_made_later) {
  Host host;
  Consumer a(host, "a");
  a.full.subscribed_topic_names.reset();
  a.full.subscribed_topic_regex = "n.*";
  a.join();
  host.advance(seconds(11));
  a.beat();
  host.topics.ids["new"] = Uuid::of_words({8, 8});
  ++host.topics.version_now;
  host.machine->on_topics_changed({.names = {"new"}, .any_created = true}, host.topics);
  host.advance(seconds(11));
  a.beat();  // asks for it
  host.advance(seconds(1));
  a.beat();
  EXPECT_EQ(a.size(), 4u);
}

TEST(ConsumerProtocol, what_is_no_regular_expression_is_refused) {
  Host host;
  Consumer a(host, "a");
  a.full.subscribed_topic_regex = "[";
  const Beat refused = a.join();
  EXPECT_EQ(error_of(refused), ErrorCode::kInvalidRegularExpression);
  EXPECT_EQ(refused.error_message,
            "SubscribedTopicRegex `[` is not a valid regular expression: missing closing ].");
  EXPECT_TRUE(host.log.empty());
}

TEST(ConsumerProtocol, offsets_are_committed_at_the_members_epoch_or_since_the_assignment) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.join();
  EXPECT_EQ(a.commit(0, 5), ErrorCode::kNone);
  EXPECT_EQ(a.commit(0, 5, 8), ErrorCode::kUnsupportedVersion);
  host.advance(seconds(2));
  b.join();
  a.beat();
  a.own();
  const int32_t kept = *a.owned.begin()->second.begin();
  a.epoch = 2;  // has not heard of 3
  EXPECT_EQ(a.commit(kept, 6), ErrorCode::kNone);
  b.beat();
  const int32_t lost = *b.owned.begin()->second.begin();
  EXPECT_EQ(a.commit(lost, 7), ErrorCode::kStaleMemberEpoch);
  a.epoch = 4;
  EXPECT_EQ(a.commit(kept, 7), ErrorCode::kStaleMemberEpoch);
  Consumer nobody(host, "x");
  nobody.epoch = 3;
  EXPECT_EQ(nobody.commit(0, 1), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(host.offset("g", "t0", kept), 6);
}

TEST(ConsumerProtocol, offsets_are_fetched_at_the_members_epoch) {
  Host host;
  Consumer a(host, "a");
  a.join();
  wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
  request.group_id = "g";
  request.topics.reset();
  const auto fetch = [&](std::optional<std::string> member, int32_t epoch) {
    request.member_id = std::move(member);
    request.member_epoch = epoch;
    return static_cast<ErrorCode>(host.fetch(request).error_code);
  };
  EXPECT_EQ(fetch(std::nullopt, -1), ErrorCode::kNone);
  EXPECT_EQ(fetch("a", 2), ErrorCode::kNone);
  EXPECT_EQ(fetch("a", 1), ErrorCode::kStaleMemberEpoch);
  EXPECT_EQ(fetch("x", 2), ErrorCode::kUnknownMemberId);
}

TEST(ConsumerProtocol, a_simple_group_becomes_one_with_its_offsets) {
  Host host;
  Member simple(host, "g");
  EXPECT_EQ(simple.commit("t0", 1, 9), ErrorCode::kNone);
  EXPECT_EQ(listed(host), "g classic Empty");
  Consumer a(host, "a");
  a.join();
  EXPECT_EQ(listed(host), "g consumer Stable");
  EXPECT_EQ(host.offset("g", "t0", 1), 9);
  host.start();
  EXPECT_EQ(listed(host), "g consumer Stable");
}

TEST(ConsumerProtocol, an_empty_group_is_deleted_with_everything_it_had) {
  Host host;
  Consumer a(host, "a");
  a.join();
  a.commit(0, 5);
  EXPECT_EQ(host.delete_group("g"), ErrorCode::kNonEmptyGroup);
  a.leave();
  EXPECT_EQ(host.delete_group("g"), ErrorCode::kNone);
  EXPECT_EQ(host.machine->describe_replicated(), "");
  host.start();
  EXPECT_EQ(host.machine->describe_replicated(), "");
}

TEST(ConsumerProtocol, offsets_of_topics_that_are_read_do_not_expire) {
  Host host({.offsets_retention = seconds(10),
             .offsets_retention_check_interval = seconds(1),
             .consumer_session_timeout = seconds(45)});
  Consumer a(host, "a");
  a.join();
  a.commit(0, 5);
  host.advance(seconds(40));
  EXPECT_EQ(host.offset("g", "t0", 0), 5);
  host.advance(seconds(20));
  EXPECT_EQ(host.offset("g", "t0", 0), -1);
  EXPECT_EQ(listed(host), "");
}

TEST(ConsumerProtocol, a_replay_gives_the_same_group) {
  Host host;
  Consumer a(host, "a"), b(host, "b");
  a.full.subscribed_topic_regex = "t1.*";
  b.full.instance_id = "one";
  a.join();
  host.advance(seconds(2));
  b.join();
  a.settle();
  b.settle();
  const std::string before = host.machine->describe_replicated();
  host.start();
  EXPECT_EQ(host.machine->describe_replicated(), before);
}

}  // namespace
}  // namespace millrace::group
