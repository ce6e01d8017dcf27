// Streams groups (KIP-1071): heartbeats, sessions, topologies, and when who has which task.
#include "group/streams_protocol.h"

#include "group/testing/streamer.h"

namespace millrace::group {
namespace {

using namespace testing;
using Partitions = std::set<int32_t>;
const Partitions kAll = {0, 1, 2, 3};

// With the store's changelog, and without anybody waiting for others.
struct Ready : Host {
  explicit Ready(GroupConfig options = {.streams_initial_delay = Duration::zero()})
      : Host(options) {
    add_topic(*this, "store", 4);
  }
};

std::string refusal(Host& host, const std::function<void(StreamsRequest&)>& edit) {
  StreamsRequest request = Streamer(host, "m").says();
  edit(request);
  return words_of(host.streams_beat(request).response);
}

TEST(StreamsProtocol, refuses_what_kafka_refuses_in_its_words) {
  Host host;
  EXPECT_EQ(refusal(host, [](auto& r) { r.instance_id = "i"; }),
            "INVALID_REQUEST Static membership is not yet supported.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.task_offsets.emplace(); }),
            "INVALID_REQUEST TaskOffsets are not supported yet.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.task_end_offsets.emplace(); }),
            "INVALID_REQUEST TaskEndOffsets are not supported yet.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.warmup_tasks->emplace_back(); }),
            "INVALID_REQUEST WarmupTasks are not supported yet.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.topology->subtopologies[0].source_topic_regex = {"."}; }),
            "INVALID_REQUEST Regular expressions for source topics are not supported yet.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_id = " "; }),
            "INVALID_REQUEST MemberId can't be empty.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.group_id = ""; }),
            "INVALID_REQUEST GroupId can't be empty.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.rack_id = ""; }),
            "INVALID_REQUEST RackId can't be empty.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.rebalance_timeout_ms = -1; }),
            "INVALID_REQUEST RebalanceTimeoutMs must be provided in first request.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.active_tasks.reset(); }),
            "INVALID_REQUEST ActiveTasks must be empty when (re-)joining.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.topology.reset(); }),
            "INVALID_REQUEST Topology must be non-null when (re-)joining.");
  EXPECT_EQ(refusal(host,
                    [](auto& r) {
                      r.topology->subtopologies[0].state_changelog_topics[0].partitions = 3;
                    }),
            "STREAMS_INVALID_TOPOLOGY Changelog topic store must have an undefined partition "
            "count, but it is set to 3.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_epoch = -2; }),
            "INVALID_REQUEST InstanceId can't be null.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_epoch = -3; }),
            "INVALID_REQUEST MemberEpoch is -3, but must be greater than or equal to -2.");
  const auto later = [](StreamsRequest& r) {
    r.member_epoch = 1;
    r.topology.reset();
  };
  EXPECT_EQ(refusal(host,
                    [&](auto& r) {
                      later(r);
                      r.standby_tasks.reset();
                    }),
            "INVALID_REQUEST If one task-type is non-null, all must be non-null.");
  EXPECT_EQ(refusal(host, [](auto& r) { r.member_epoch = 1; }),
            "INVALID_REQUEST Topology can only be provided when (re-)joining.");
  EXPECT_EQ(refusal(host, later), "GROUP_ID_NOT_FOUND Streams group st not found.");
  EXPECT_EQ(refusal(host,
                    [](auto& r) {
                      r.member_epoch = -1;
                      r.topology.reset();
                    }),
            "GROUP_ID_NOT_FOUND Group st not found.");
  EXPECT_TRUE(host.log.empty());
}

TEST(StreamsProtocol, a_topology_that_makes_no_sense_is_refused) {
  Host host;
  EXPECT_EQ(refusal(host, [](auto& r) { r.topology->epoch = -1; }), "UNKNOWN_SERVER_ERROR ");
  EXPECT_EQ(refusal(host,
                    [](auto& r) {
                      r.topology->subtopologies[0].copartition_groups = {{.source_topics = {5}}};
                    }),
            "UNKNOWN_SERVER_ERROR ");
  EXPECT_EQ(refusal(host, [](auto& r) { r.topology->subtopologies[0].source_topics.clear(); }),
            "STREAMS_INVALID_TOPOLOGY No source topics found for subtopology 0");
  EXPECT_TRUE(host.log.empty());
}

TEST(StreamsProtocol, is_no_protocol_for_groups_of_others) {
  Host host;
  Member classic(host, "st");
  classic.join();
  EXPECT_EQ(refusal(host, [](auto&) {}), "GROUP_ID_NOT_FOUND Group st is not a streams group.");
  EXPECT_EQ(host.machine->describe_streams_group("st").error_message,
            "Group st is not a streams group.");
}

TEST(StreamsProtocol, tasks_run_when_the_topics_of_the_application_are_there) {
  Host host({.streams_initial_delay = Duration::zero()});
  Streamer member(host, "m");
  const StreamsBeat joined = member.join();
  EXPECT_EQ(joined.error_code, 0);
  EXPECT_EQ(joined.member_epoch, 2);
  EXPECT_EQ(joined.heartbeat_interval_ms, 5000);
  EXPECT_EQ(statuses_of(joined), "3 Internal topics are missing: store");
  EXPECT_TRUE(member.tasks().empty());
  EXPECT_EQ(described_streams(host).group_state, "NotReady");
  ASSERT_EQ(member.missing.size(), 1u);
  EXPECT_EQ(member.missing[0].name, "store");
  EXPECT_EQ(member.missing[0].num_partitions, 4);
  EXPECT_EQ(member.missing[0].replication_factor, -1);
  EXPECT_EQ(member.missing[0].configs.at(0).name, "cleanup.policy");
  member.beat();
  EXPECT_TRUE(member.missing.empty());  // they are being made
  add_topic(host, "store", 4);
  host.advance(seconds(2));
  const StreamsBeat ready = member.beat();
  EXPECT_EQ(statuses_of(ready), "");
  EXPECT_EQ(member.tasks(), kAll);
  EXPECT_EQ(described_streams(host).group_state, "Stable");
  EXPECT_FALSE(member.beat().active_tasks);  // nothing new
}

TEST(StreamsProtocol, why_topics_could_not_be_made_is_told) {
  Host host;
  Streamer member(host, "m");
  member.join();
  host.note_topics("st", {{.name = "store", .error = "three brokers are wanted"}});
  const StreamsBeat told = member.beat();
  EXPECT_TRUE(statuses_of(told).ends_with(
      "3 Internal topics are missing: store; Creation failed: store (three brokers are wanted)."))
      << statuses_of(told);
  EXPECT_TRUE(member.missing.empty());
  host.advance(seconds(10));  // two heartbeats
  EXPECT_TRUE(statuses_of(member.beat()).ends_with("3 Internal topics are missing: store"));
  EXPECT_EQ(member.missing.size(), 1u);
}

TEST(StreamsProtocol, topics_that_were_not_asked_for_are_asked_for_again) {
  Host host;
  Streamer member(host, "m");
  member.join();
  host.note_topics("st", {{.name = "store", .error = ""}});
  member.beat();
  EXPECT_EQ(member.missing.size(), 1u);
}

TEST(StreamsProtocol, what_is_too_large_for_the_log_is_refused_and_changes_nothing) {
  Ready host;
  host.topics.max_batch = 2000;
  Streamer large(host, "m0"), small(host, "m1");
  large.topology.subtopologies[0].state_changelog_topics[0].topic_configs[0].value =
      std::string(2000, 'x');
  EXPECT_EQ(words_of(large.join()), "UNKNOWN_SERVER_ERROR ");
  EXPECT_TRUE(host.log.empty());
  host.start();
  small.join();
  EXPECT_EQ(small.tasks(), kAll);
  small.id = std::string(1990, 'm');
  small.epoch = 0;
  EXPECT_EQ(words_of(small.join()), "UNKNOWN_SERVER_ERROR ");
  EXPECT_EQ(described_streams(host).members.size(), 1u);
  host.advance(seconds(44));
  EXPECT_EQ(described_streams(host).members.size(), 1u);
}

// Another implementation may have written it.
TEST(StreamsProtocol, a_topology_that_contradicts_itself_is_the_end_of_its_group_only) {
  Ready host;
  streams::Topology odd = streams::topology_of(counting());
  odd.subtopologies[0].copartition_groups = {{.source_topics = {7}}};
  host.log.push_back(StreamsRecords("st").topology(odd));
  host.log.push_back(StreamsRecords("st").epoch({.epoch = 3}));
  host.start();
  Streamer member(host, "m");
  member.topology.subtopologies[0].copartition_groups = {{.source_topics = {7}}};
  EXPECT_EQ(words_of(member.join()), "UNKNOWN_SERVER_ERROR ");
  EXPECT_EQ(described_streams(host).group_epoch, 3);
  EXPECT_EQ(host.delete_group("st"), ErrorCode::kNone);
  member.topology = counting();
  EXPECT_EQ(words_of(member.join()), "NONE ");
}

TEST(StreamsProtocol, what_is_read_has_to_be_there) {
  Host host({.streams_initial_delay = Duration::zero()});
  host.topics.ids.erase("t0");
  Streamer member(host, "m");
  EXPECT_EQ(statuses_of(member.join()), "1 Source topics t0 are missing.");
  EXPECT_TRUE(member.missing.empty());
  EXPECT_EQ(described_streams(host).group_state, "NotReady");
}

TEST(StreamsProtocol, the_first_member_waits_for_others) {
  Ready host{{}};
  Streamer first(host, "m0"), second(host, "m1");
  EXPECT_EQ(statuses_of(first.join()),
            "5 Assignment delayed due to the configured initial rebalance delay.");
  EXPECT_EQ(first.epoch, 1);
  second.join();
  EXPECT_EQ(described_streams(host).group_state, "Assigning");
  host.advance(seconds(3));
  EXPECT_EQ(described_streams(host).group_state, "Reconciling");
  first.beat();
  second.beat();
  EXPECT_EQ(first.tasks().size(), 2u);
  EXPECT_EQ(second.tasks().size(), 2u);
  EXPECT_EQ(first.epoch, second.epoch);
  EXPECT_EQ(described_streams(host).group_state, "Stable");
}

TEST(StreamsProtocol, a_task_moves_when_its_member_has_given_it_up) {
  Ready host;
  Streamer first(host, "m0"), second(host, "m1");
  first.join();
  EXPECT_EQ(first.tasks(), kAll);
  host.advance(seconds(2));
  second.join();
  EXPECT_TRUE(second.tasks().empty());
  StreamsRequest still = first.says();
  first.beat();
  EXPECT_EQ(first.tasks().size(), 2u);
  second.beat();
  EXPECT_TRUE(second.tasks().empty());
  still.member_epoch = first.epoch;
  EXPECT_EQ(host.streams_beat(still).response.error_code, 0);  // it has not stopped them yet
  second.beat();
  EXPECT_TRUE(second.tasks().empty());
  first.beat();
  second.beat();
  EXPECT_EQ(second.tasks().size(), 2u);
  EXPECT_EQ(first.epoch, second.epoch);
}

TEST(StreamsProtocol, who_does_not_give_up_its_tasks_in_time_is_fenced) {
  Ready host;
  Streamer first(host, "m0"), second(host, "m1");
  first.join();
  host.advance(seconds(2));
  second.join();
  const StreamsRequest still = first.says();
  for (int i = 0; i < 4; ++i) {
    host.streams_beat(still);
    second.beat();
    host.advance(seconds(20));
  }
  EXPECT_EQ(words_of(first.beat()), "UNKNOWN_MEMBER_ID Member m0 is not a member of group st.");
  second.beat();
  EXPECT_EQ(second.tasks(), kAll);
}

TEST(StreamsProtocol, who_falls_silent_is_fenced) {
  Ready host;
  Streamer member(host, "m");
  member.join();
  host.advance(milliseconds(44'999));
  EXPECT_EQ(member.beat().error_code, 0);
  host.topics.streams_settings["st"].times.session_timeout = seconds(50);
  member.beat();
  host.advance(milliseconds(49'999));
  EXPECT_EQ(described_streams(host).members.size(), 1u);
  host.advance(milliseconds(1));
  EXPECT_EQ(described_streams(host).group_state, "Empty");
}

TEST(StreamsProtocol, epochs_other_than_the_last_two_are_fenced) {
  Ready host;
  Streamer member(host, "m");
  member.join();
  const int32_t epoch = member.epoch;
  auto request = member.says();
  request.member_epoch = epoch + 1;
  EXPECT_EQ(words_of(host.streams_beat(request).response),
            fmt::format("FENCED_MEMBER_EPOCH The streams group member has a greater member epoch "
                        "({}) than the one known by the group coordinator ({}). The member must "
                        "abandon all its partitions and rejoin.",
                        epoch + 1, epoch));
  host.advance(seconds(2));
  Streamer other(host, "o");
  other.join();
  member.beat();  // gives up
  member.beat();
  ASSERT_GT(member.epoch, epoch);
  request = member.says();
  request.member_epoch = epoch;
  EXPECT_EQ(host.streams_beat(request).response.error_code, 0);  // the answer was lost
  request.active_tasks = ids_of({{"0", kAll}});
  EXPECT_EQ(error_of(host.streams_beat(request).response), ErrorCode::kFencedMemberEpoch);
}

TEST(StreamsProtocol, tasks_that_there_are_not_are_refused) {
  Ready host;
  Streamer member(host, "m");
  member.join();
  auto request = member.says();
  request.active_tasks = ids_of({{"0", {4}}});
  EXPECT_EQ(words_of(host.streams_beat(request).response),
            "INVALID_REQUEST Task 4 for subtopology 0 is invalid. Number of tasks for this "
            "subtopology: 4");
  request.active_tasks = ids_of({{"9", {0}}});
  EXPECT_EQ(words_of(host.streams_beat(request).response),
            "INVALID_REQUEST Subtopology 9 does not exist in the topology.");
}

TEST(StreamsProtocol, a_target_waits_for_the_assignment_interval) {
  Ready host;
  Streamer first(host, "m0"), second(host, "m1");
  first.join();
  EXPECT_EQ(statuses_of(second.join()),
            "5 Assignment delayed due to the configured assignment interval.");
  host.advance(seconds(1));
  EXPECT_EQ(statuses_of(second.beat()), "");
}

TEST(StreamsProtocol, the_topology_of_the_first_counts) {
  Ready host;
  Streamer first(host, "m0"), second(host, "m1"), old(host, "m2");
  first.topology.epoch = 3;
  first.join();
  second.topology.epoch = 3;
  second.topology.subtopologies[0].source_topics = {"t1"};
  EXPECT_EQ(words_of(second.join()), "INVALID_REQUEST Topology updates are not supported yet.");
  second.topology = first.topology;
  second.topology.epoch = 4;
  EXPECT_EQ(words_of(second.join()), "INVALID_REQUEST Topology updates are not supported yet.");
  old.topology.subtopologies[0].source_topics = {"t1"};
  EXPECT_TRUE(
      statuses_of(old.join())
          .starts_with("0 The member's topology epoch 1 is behind the group's topology epoch 3."));
}

TEST(StreamsProtocol, standbys_are_at_other_processes) {
  Ready host;
  host.topics.streams_settings["st"].standby_replicas = 1;
  Streamer first(host, "m0"), second(host, "m1");
  for (int i = 0; i < 8; ++i) {
    i == 0 ? first.join() : first.beat();
    i == 0 ? second.join() : second.beat();
    host.advance(seconds(2));
  }
  EXPECT_EQ(first.tasks().size(), 2u);
  EXPECT_EQ(first.standbys(), second.tasks());
  EXPECT_EQ(second.standbys(), first.tasks());
  host.topics.streams_settings["st"].standby_replicas = 0;
  const int32_t epoch = first.epoch;
  first.beat();
  first.beat();
  EXPECT_EQ(first.epoch, epoch + 1);  // what is configured has changed
  EXPECT_TRUE(first.standbys().empty());
  EXPECT_EQ(first.tasks().size(), 2u);
}

TEST(StreamsProtocol, more_tasks_come_with_more_partitions) {
  Ready host;
  Streamer member(host, "m");
  member.join();
  host.advance(seconds(2));
  add_topic(host, "t0", 6);
  EXPECT_EQ(statuses_of(member.beat()),
            "2 Existing topic store has different number of partitions: expected 6, found 4");
  EXPECT_EQ(described_streams(host).group_state, "NotReady");
  add_topic(host, "store", 6);
  for (int i = 0; i < 3; ++i) {
    host.advance(seconds(2));
    member.beat();
  }
  EXPECT_EQ(member.tasks(), (Partitions{0, 1, 2, 3, 4, 5}));
}

TEST(StreamsProtocol, one_member_stops_the_application) {
  Ready host;
  Streamer first(host, "m0"), second(host, "m1");
  first.join();
  second.join();
  auto request = first.says();
  request.shutdown_application = true;
  const std::string words =
      "4 Streams group member m0 encountered a fatal error and requested a shutdown for the entire "
      "application.";
  EXPECT_TRUE(statuses_of(host.streams_beat(request).response).ends_with(words));
  first.leave();
  EXPECT_TRUE(statuses_of(second.beat()).ends_with(words));
  second.leave();
  EXPECT_EQ(statuses_of(second.join()).find("4 "), std::string::npos);
}

TEST(StreamsProtocol, who_reads_what_is_told_to_those_that_do_not_know) {
  Ready host;
  Streamer first(host, "m0"), second(host, "m1");
  first.endpoint = "one";
  second.endpoint = "two";
  EXPECT_TRUE(first.join().partitions_by_user_endpoint);
  EXPECT_EQ(first.endpoint_epoch, 0);  // of a group that was just made
  host.advance(seconds(2));
  second.join();
  for (int i = 0; i < 3; ++i) {
    first.beat();
    second.beat();
  }
  auto request = first.says();
  request.endpoint_information_epoch = -1;
  const StreamsBeat told = host.streams_beat(request).response;
  ASSERT_TRUE(told.partitions_by_user_endpoint);
  ASSERT_EQ(told.partitions_by_user_endpoint->size(), 2u);
  for (const auto& each : *told.partitions_by_user_endpoint) {
    const bool is_first = each.user_endpoint.host == "one";
    ASSERT_EQ(each.active_partitions.size(), 1u);
    EXPECT_EQ(each.active_partitions[0].topic, "t0");
    const auto& indexes = each.active_partitions[0].partitions;
    EXPECT_EQ(Partitions(indexes.begin(), indexes.end()),
              is_first ? first.tasks() : second.tasks());
  }
  first.endpoint_epoch = told.endpoint_information_epoch;
  EXPECT_FALSE(first.beat().partitions_by_user_endpoint);
}

TEST(StreamsProtocol, a_full_group_takes_nobody) {
  Ready host{{.streams_initial_delay = Duration::zero(), .streams_max_size = 1}};
  Streamer first(host, "m0"), second(host, "m1");
  first.join();
  EXPECT_EQ(words_of(second.join()),
            "GROUP_MAX_SIZE_REACHED The streams group has reached its maximum capacity of 1 "
            "members.");
  EXPECT_EQ(first.beat().error_code, 0);
}

TEST(StreamsProtocol, a_restart_loses_nothing_that_was_assigned) {
  Ready host;
  Streamer first(host, "m0"), second(host, "m1");
  first.join();
  second.join();
  host.advance(seconds(2));
  second.beat();
  first.beat();  // has to give tasks up
  const std::string before = host.machine->describe_replicated();
  host.start();
  EXPECT_EQ(host.machine->describe_replicated(), before);
  EXPECT_EQ(described_streams(host).topology->subtopologies->at(0).source_topics.at(0), "t0");
  first.beat();
  second.beat();
  EXPECT_EQ(first.tasks().size(), 2u);
  EXPECT_EQ(second.tasks().size(), 2u);
  host.advance(seconds(45));
  EXPECT_EQ(described_streams(host).group_state, "Empty");
}

TEST(StreamsProtocol, an_empty_classic_group_makes_room_and_the_other_way_round) {
  Ready host;
  Member classic(host, "st");
  classic.join();
  host.advance(seconds(10));
  classic.take_join();
  classic.leave();
  Streamer member(host, "m");
  EXPECT_EQ(member.join().error_code, 0);
  EXPECT_EQ(described_streams(host).group_state, "Stable");
  EXPECT_EQ(host.join_error(Member(host, "st").join()), ErrorCode::kInconsistentGroupProtocol);
  member.leave();
  Member again(host, "st");
  again.join();
  EXPECT_EQ(host.state("st"), "PreparingRebalance");
  host.start();
  EXPECT_EQ(host.machine->describe_streams_group("st").error_message,
            "Group st is not a streams group.");
}

TEST(StreamsProtocol, is_described_with_what_was_found_for_its_topology) {
  Ready host;
  Streamer member(host, "m");
  member.endpoint = "here";
  member.join();
  const auto group = described_streams(host);
  EXPECT_EQ(group.group_epoch, 2);
  EXPECT_EQ(group.assignment_epoch, 2);
  ASSERT_TRUE(group.topology);
  const auto& subtopology = group.topology->subtopologies->at(0);
  EXPECT_EQ(subtopology.state_changelog_topics.at(0).partitions, 4);
  ASSERT_EQ(group.members.size(), 1u);
  const auto& described = group.members[0];
  EXPECT_EQ(described.process_id, "process-of-m");
  EXPECT_EQ(described.topology_epoch, 1);
  EXPECT_EQ(described.user_endpoint->host, "here");
  EXPECT_EQ(described.assignment, described.target_assignment);
  EXPECT_EQ(described.assignment.active_tasks.at(0).partitions.size(), 4u);
}

}  // namespace
}  // namespace millrace::group
