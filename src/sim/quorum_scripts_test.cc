// What has gone wrong in quorums and with coordinators before, played again on a cluster (K, G).
#include <gtest/gtest.h>

#include "sim/group_member.h"
#include "sim/script.h"
#include "sim/stored_log.h"
#include "wire/add_raft_voter.h"
#include "wire/remove_raft_voter.h"
#include "wire/update_features.h"

namespace millrace::sim {
namespace {

constexpr Duration kControllerFailover = milliseconds(2500);

int32_t newest_epoch(Script& script) {
  int32_t newest = 0;
  for (const auto& node : script.cluster().nodes())
    if (node->can_be_asked())
      newest = std::max(newest, node->broker.node().controller().quorum().epoch.value());
  return newest;
}

Script::Node& voter_that_does_not_lead(Script& script) {
  for (const auto& node : script.cluster().nodes())
    if (node->is_voter && node.get() != script.quorum().leader()) return *node;
  return script.cluster().node(0);
}

// K7: etcd's checkquorum and prevote.
TEST(Quorum, a_voter_that_was_cut_off_comes_back_without_an_election) {
  Script script;
  const int32_t before = newest_epoch(script);
  auto& voter = voter_that_does_not_lead(script);
  script.network().isolate(voter.name);
  script.run_for(seconds(20));
  script.network().rejoin(voter.name);
  script.become_whole();
  EXPECT_EQ(newest_epoch(script), before);
  EXPECT_EQ(script.failure(), "");
}

// K7: a link that carries one way only.
TEST(Quorum, a_voter_that_hears_nothing_does_not_depose_the_leader_again_and_again) {
  Script script;
  const int32_t before = newest_epoch(script);
  auto& voter = voter_that_does_not_lead(script);
  for (const auto& node : script.cluster().nodes())
    if (node.get() != &voter) script.network().cut({node->name, voter.name});
  script.run_for(seconds(20));
  script.become_whole();
  EXPECT_LE(newest_epoch(script), before + 1);
  EXPECT_EQ(script.failure(), "");
}

TEST(Quorum, a_new_controller_serves_soon_after_the_old_one_died) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Script script({.seed = seed});
    auto* leader = script.quorum().leader();
    ASSERT_NE(leader, nullptr);
    script.kill(*leader);
    const Instant died = script.world().now();
    script.until("another node is the active controller", [&] {
      auto* next = script.quorum().leader();
      return next && next != leader && next->broker.node().is_active_controller();
    });
    EXPECT_LE(script.world().now() - died, kControllerFailover) << seed;
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// What the old one may still decide is nobody's business.
TEST(Quorum, a_controller_that_stood_still_is_none_any_more_when_it_goes_on) {
  Script script;
  auto* leader = script.quorum().leader();
  ASSERT_NE(leader, nullptr);
  leader->broker.host().pause();
  script.until("another leads",
               [&] { return script.quorum().leader() && script.quorum().leader() != leader; });
  script.create_topic("made-meanwhile");
  leader->broker.host().go_on();
  script.create_topic("made-afterwards");
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

TEST(Quorum, brokers_go_on_while_no_controller_is_there) {
  Script script({.session_ms = 9000});
  for (const auto& node : script.cluster().nodes())
    if (node->is_voter) script.kill(*node);
  script.run_for(seconds(5));
  EXPECT_EQ(script.produce("a"), wire::ErrorCode::kNone);
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// K6, of a quorum that has its votes and its log still.
TEST(Quorum, voters_that_lose_their_power_in_turn_lose_nothing) {
  Script script;
  for (int i = 0; i < 6; ++i) {
    script.create_topic(fmt::format("t{}", i));
    std::vector<Script::Node*> voters;
    for (const auto& node : script.cluster().nodes())
      if (node->is_voter) voters.push_back(node.get());
    auto& victim = *voters[static_cast<size_t>(i) % voters.size()];
    script.lose_power(victim);
    script.run_for(milliseconds(300));
    script.start(victim);
  }
  script.become_whole();
  const auto image = script.cluster().newest_image();
  for (int i = 0; i < 6; ++i) EXPECT_NE(image->find_topic(fmt::format("t{}", i)), nullptr) << i;
  EXPECT_EQ(script.failure(), "");
}

// K5, KAFKA-13098, 13078.
TEST(Quorum, a_voter_that_dies_at_any_step_of_a_snapshot_finds_an_older_one) {
  Script script({.more = {{"metadata.log.max.record.bytes.between.snapshots", "1000"}}});
  for (uint64_t change = 1; change <= 40; change += 3) {
    auto* voter = script.quorum().leader();
    ASSERT_NE(voter, nullptr);
    voter->broker.kill_at_disk_change(change, [] {});
    for (int i = 0; voter->can_be_asked(); ++i)
      script.create_topic(fmt::format("t{}-{}", change, i));
    script.kill(*voter);
    script.start(*voter);
    script.until("somebody leads", [&] { return script.quorum().leader() != nullptr; });
  }
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// K2, KAFKA-12619: it was elected, and its first record is not on a majority yet.
TEST(Quorum, a_new_leader_is_none_before_its_first_record_is_committed) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Script script({.seed = seed});
    auto* before = script.quorum().leader();
    ASSERT_NE(before, nullptr);
    script.create_topic("made");
    const auto mark = before->broker.node().controller().quorum().high_watermark;
    std::vector<Script::Node*> others;
    for (const auto& node : script.cluster().nodes())
      if (node->is_voter && node.get() != before) others.push_back(node.get());
    for (const auto* from : others)
      for (const auto* to : others)
        if (from != to) script.network().slow_down({from->name, to->name}, milliseconds(300));
    script.kill(*before);
    script.until("another is elected", [&] { return script.quorum().leader() != nullptr; });
    auto& next = *script.quorum().leader();
    script.cut(*others[0], *others[1]);
    script.during(milliseconds(900), "it does not decide and commits nothing", [&] {
      const auto& controller = next.broker.node().controller();
      return !next.broker.node().is_active_controller() &&
             controller.quorum().high_watermark <= mark + 1;
    });
    for (const auto* from : others)
      for (const auto* to : others) script.network().slow_down({from->name, to->name}, Duration(0));
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// K3, KAFKA-14238, 14618, 17713: what the log does not begin with the snapshot has.
TEST(Quorum, who_has_no_metadata_begins_with_the_snapshot_that_the_log_begins_behind) {
  Script script({.more = {{"metadata.log.max.record.bytes.between.snapshots", "1000"},
                          {"metadata.max.retention.ms", "1000"},
                          {"metadata.log.segment.ms", "100"}}});
  auto* leader = script.quorum().leader();
  ASSERT_NE(leader, nullptr);
  auto log_start = [&]() -> int64_t {
    const auto log = read_stored_log(leader->medium, leader->metadata_directory, View::kWritten);
    return log ? log->first_segment : 0;
  };
  for (int i = 0; i < 60 && log_start() == 0; ++i) script.create_topic(fmt::format("t{}", i));
  script.until("the beginning of the log is deleted", [&] { return log_start() > 0; });
  auto& broker = script.cluster().node(0);
  script.kill(broker);
  broker.medium.wipe(Broker::kDataDirectory);
  script.replicas().disk_was_wiped(broker.id);
  script.start(broker);
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// K4, KAFKA-14644, 14275.
TEST(Quorum, a_controller_that_cannot_write_leads_no_more) {
  Script script;
  auto* leader = script.quorum().leader();
  ASSERT_NE(leader, nullptr);
  script.world().expect_errors(true);
  leader->medium.sync_failure_chance = 1;
  script.create_topic("made-by-another");
  script.until("another leads", [&] {
    return script.quorum().leader() != nullptr && script.quorum().leader() != leader;
  });
  leader->medium.sync_failure_chance = 0;
  script.during(seconds(10), "it takes no part before it starts again",
                [&] { return script.quorum().leader() != leader; });
  script.kill(*leader);
  script.world().expect_errors(false);
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

constexpr int16_t kFeaturesVersion = 1;

// The quorum keeps its voters in its log from then on (KIP-853).
void become_dynamic(Script& script) {
  wire::UpdateFeaturesRequest request{.timeout_ms = 5000};
  request.feature_updates.push_back({.feature = "kraft.version", .max_version_level = 1});
  script.until("the voters can change", [&] {
    script.run_for(milliseconds(500));
    const auto answer =
        script.ask<wire::UpdateFeaturesResponse>(Client::AnyBroker{}, request, kFeaturesVersion);
    return answer && answer->error_code == 0;
  });
}

size_t voters_of(Script& script) {
  auto* leader = script.quorum().leader();
  return leader ? leader->broker.node().controller().quorum().voters.voters.size() : 0;
}

// K8: the leader removes itself, and dies at any change of its disk meanwhile.
TEST(Quorum, voters_that_change_while_their_leader_dies_elect_one_leader_an_epoch) {
  for (uint64_t change = 1; change <= 8; ++change) {
    Script script({.seed = change});
    become_dynamic(script);
    auto* leader = script.quorum().leader();
    ASSERT_NE(leader, nullptr);
    const Uuid directory = leader->broker.node().controller().quorum().self.directory_id;
    const wire::RemoveRaftVoterRequest removal{.cluster_id = Cluster::kClusterId,
                                               .voter_id = leader->id.value(),
                                               .voter_directory_id = directory};
    leader->broker.kill_at_disk_change(change, [] {});
    static_cast<void>(script.ask<wire::RemoveRaftVoterResponse>(Client::AnyBroker{}, removal, 0));
    script.kill(*leader);
    script.until("another leads", [&] { return script.quorum().leader() != nullptr; });
    script.start(*leader);
    script.until("it is no voter", [&] {
      static_cast<void>(script.ask<wire::RemoveRaftVoterResponse>(Client::AnyBroker{}, removal, 0));
      return voters_of(script) == 2;
    });
    wire::AddRaftVoterRequest addition{.cluster_id = Cluster::kClusterId,
                                       .timeout_ms = 5000,
                                       .voter_id = leader->id.value(),
                                       .voter_directory_id = directory};
    addition.listeners.push_back({"CONTROLLER", leader->name, Broker::kPort + 1});
    script.until("it is one again", [&] {
      static_cast<void>(script.ask<wire::AddRaftVoterResponse>(Client::AnyBroker{}, addition, 0));
      return voters_of(script) == 3;
    });
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << change;
  }
}

// G3: Redpanda #3732, #10363.
TEST(Groups, a_group_keeps_its_members_and_generation_when_its_coordinator_moves) {
  Script script;
  for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("p0/0/{}", i));
  Oracle records(script.world());
  records.expect_other_leaders();
  GroupOracle group(script.world());
  const MemberOptions options{.group = "group", .topic = Script::kTopic, .session = seconds(10)};
  GroupMember first(script.site(), records, group, options);
  GroupMember second(script.site(), records, group, options);
  first.start();
  second.start();
  script.until("the group is stable", [&] { return first.is_stable() && second.is_stable(); });
  script.run_for(seconds(3));
  const int32_t generation = group.newest_generation();
  const auto image = script.cluster().newest_image();
  const auto* offsets = image->find_topic("__consumer_offsets");
  ASSERT_NE(offsets, nullptr);
  auto* coordinator = script.cluster().find(offsets->partitions[0].leader);
  script.kill(*coordinator);
  script.run_for(seconds(8));
  EXPECT_TRUE(first.is_stable() && second.is_stable());
  EXPECT_EQ(group.newest_generation(), generation);
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

}  // namespace
}  // namespace millrace::sim
