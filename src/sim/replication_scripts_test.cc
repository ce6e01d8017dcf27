// What has gone wrong in Kafka and its like before, played again on a cluster: losses found by
// Jepsen (J) and known bugs of replication (R). Brokers are n1 to n3, controllers apart.
#include <gtest/gtest.h>

#include "sim/script.h"

namespace millrace::sim {
namespace {

using wire::ErrorCode;

// J1: Kafka 0.8.
TEST(Replication, a_leader_that_acknowledged_alone_is_not_replaced_by_one_that_lacks_it) {
  Script script({.min_isr = 1});
  script.produce_until_acknowledged("a");
  auto& leader = script.leader();
  auto& first = script.follower(0);
  auto& second = script.follower(1);
  script.cut(leader, first);
  script.cut(leader, second);
  script.produce_until_acknowledged("b");
  script.expect(script.isr().size() == 1, "the leader is alone");
  script.kill(leader);
  script.until("it is missed", [&] { return !script.has_leader(); });
  script.during(seconds(5), "nobody leads", [&] { return !script.has_leader(); });
  script.network().heal();
  script.start(leader);
  script.until("it leads again", [&] { return script.state().leader == leader.id; });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R1, KIP-966: the last replica standing.
TEST(Replication, the_last_one_standing_that_lost_its_power_gives_way_to_an_eligible_replica) {
  Script script;
  script.produce_until_acknowledged("a");
  auto& leader = script.leader();
  auto& first = script.follower(0);
  auto& second = script.follower(1);
  script.kill(first);
  script.until("one is missed", [&] { return script.isr().size() == 2; });
  script.produce_until_acknowledged("b");
  script.kill(second);
  script.until("two are missed", [&] { return script.isr().size() == 1; });
  script.expect(script.in_elr(second), "the second one is eligible");
  script.lose_power(leader);
  script.until("nobody leads", [&] { return !script.has_leader(); });
  script.start(leader);
  script.start(second);
  script.until("somebody leads", [&] { return script.has_leader(); });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R2.
TEST(Replication, replicas_that_lose_their_power_one_after_the_other_lose_nothing) {
  Script script;
  for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  std::vector<Script::Node*> brokers{&script.leader(), &script.follower(0), &script.follower(1)};
  for (auto* broker : brokers) {
    script.lose_power(*broker);
    script.run_for(seconds(3));
  }
  for (auto* broker : brokers) script.start(*broker);
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R3, KAFKA-15583.
TEST(Replication, below_min_isr_the_high_watermark_stands_still) {
  Script script;
  script.produce_until_acknowledged("a");
  auto& leader = script.leader();
  auto& first = script.follower(0);
  auto& second = script.follower(1);
  script.kill(first);
  script.kill(second);
  script.until("the leader is alone", [&] { return script.isr().size() == 1; });
  const auto mark = script.high_watermark(leader);
  EXPECT_EQ(script.produce("b"), ErrorCode::kNotEnoughReplicas);
  script.during(seconds(5), "the high watermark stands still",
                [&] { return script.high_watermark(leader) == mark; });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R4, KIP-101.
TEST(Replication, a_follower_that_restarts_as_the_leader_dies_cuts_nothing_that_was_acknowledged) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Script script({.seed = seed});
    for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
    auto& leader = script.leader();
    auto& follower = script.follower(0);
    script.kill(follower);
    script.start(follower);
    script.kill(leader);
    script.until("another leads",
                 [&] { return script.has_leader() && script.state().leader != leader.id; });
    script.become_whole();  // alone it does not know yet that the last record is committed
    script.check_acknowledged();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// R5, KIP-279: three leaders in a row, each with records that the others may lack.
TEST(Replication, logs_agree_after_leaders_have_changed_quickly) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Script script({.min_isr = 1, .seed = seed});
    for (int round = 0; round < 4; ++round) {
      if (!script.has_leader()) break;
      auto& leader = script.leader();
      script.produce(fmt::format("r{}", round), milliseconds(200));
      script.kill(leader);
      script.until("another leads",
                   [&] { return script.has_leader() && script.state().leader != leader.id; });
      script.produce(fmt::format("s{}", round), milliseconds(200));
      script.start(leader);
      script.run_for(milliseconds(300));
    }
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// R6, KAFKA-7415.
TEST(Replication, elections_without_appends_leave_epochs_that_can_be_asked_for) {
  Script script;
  script.produce_until_acknowledged("a");
  for (int round = 0; round < 3; ++round) {
    auto& leader = script.leader();
    script.kill(leader);
    script.until("another leads",
                 [&] { return script.has_leader() && script.state().leader != leader.id; });
    script.start(leader);
    script.until("all are in sync", [&] { return script.isr().size() == 3; });
  }
  script.produce_until_acknowledged("b");
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R8, KAFKA-7164: the leader is the one that it knew, and of a later epoch.
TEST(Replication, a_follower_that_missed_elections_truncates_though_the_leader_is_the_same) {
  Script script({.min_isr = 1});
  script.produce_until_acknowledged("a");
  auto& old_leader = script.leader();
  for (const auto& node : script.cluster().nodes())
    if (node.get() != &old_leader) script.cut(old_leader, *node);
  EXPECT_NE(script.produce("only the old leader has it", milliseconds(500)), ErrorCode::kNone);
  script.network().isolate(old_leader.name);
  script.until("another leads",
               [&] { return script.has_leader() && script.state().leader != old_leader.id; });
  auto& leader = script.leader();
  const auto epoch = script.state().leader_epoch;
  script.produce_until_acknowledged("b");
  script.kill(leader);
  script.until("the third leads", [&] { return script.state().leader_epoch > epoch; });
  script.start(leader);
  script.until("it is in sync again", [&] { return script.in_isr(leader); });
  script.kill(script.leader());
  script.until("it leads again", [&] { return script.state().leader == leader.id; });
  script.produce_until_acknowledged("c");
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R18: the ISR has the third one by then, and its leader has not been told.
TEST(Replication, a_replica_that_joined_without_the_leader_knowing_has_what_was_acknowledged) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Script script({.min_isr = 1, .seed = seed});
    auto& leader = script.leader();
    auto& joining = script.follower(0);
    auto& other = script.follower(1);
    script.kill(joining);
    script.until("it is missed", [&] { return !script.in_isr(joining); });
    for (const auto& node : script.cluster().nodes())
      if (node->is_voter) script.network().cut({node->name, leader.name});
    script.start(joining);
    script.produce("a", seconds(2));
    script.kill(leader);
    script.kill(other);
    script.run_for(seconds(5));
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// R19: away and back; what it had fetched before does not count.
TEST(Replication, a_replica_that_was_taken_away_and_given_back_fetches_before_it_is_in_sync) {
  Script script;
  for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  const std::vector<NodeId> all = script.state().replicas;
  auto& follower = script.follower(0);
  std::vector<NodeId> others = all;
  std::erase(others, follower.id);
  for (int i = 0; i < 3; ++i) {
    script.move_to(others);
    script.move_to(all);
    script.produce_until_acknowledged(fmt::format("w{}", i));
  }
  script.until("it has arrived", [&] { return !script.is_moving(); });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// J5: Redpanda.
TEST(Replication, a_partition_that_moves_while_its_leaders_are_killed_loses_nothing) {
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    Script script({.brokers = 4, .seed = seed});
    for (int round = 0; round < 4; ++round) {
      script.produce_until_acknowledged(fmt::format("v{}", round));
      std::vector<NodeId> next;
      for (int32_t id = 1; id <= 4; ++id)
        if (id != 1 + round) next.push_back(NodeId(id));
      script.move_to(next);
      auto& leader = script.leader();
      script.kill(leader);
      script.produce_until_acknowledged(fmt::format("w{}", round));
      script.start(leader);
    }
    script.become_whole();
    script.expect(!script.is_moving(), "it has arrived");
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// J7: what was refused for certain is not there.
TEST(Replication, what_was_refused_below_min_isr_never_appears) {
  Script script;
  script.produce_until_acknowledged("a");
  script.kill(script.follower(0));
  script.kill(script.follower(1));
  script.until("the leader is alone", [&] { return script.isr().size() == 1; });
  EXPECT_EQ(script.produce("b"), ErrorCode::kNotEnoughReplicas);
  script.become_whole();
  for (const auto& [offset, value] : script.read()) EXPECT_NE(value, "b") << offset;
  EXPECT_EQ(script.failure(), "");
}

// R15, KIP-841: it fetches from the leader all the time.
TEST(Replication, a_fenced_broker_does_not_join_the_isr) {
  Script script;
  auto& follower = script.follower(0);
  for (const auto& node : script.cluster().nodes())
    if (node->is_voter) script.cut(follower, *node);
  script.until("it has left the ISR", [&] { return !script.in_isr(follower); });
  for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  script.during(seconds(10), "it is not in the ISR", [&] { return !script.in_isr(follower); });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R17, KAFKA-13091.
TEST(Replication, when_the_isr_shrinks_what_waited_is_acknowledged_without_another_write) {
  Script script({.min_isr = 1, .session_ms = 20'000});
  auto& first = script.follower(0);
  script.cut(script.leader(), first);
  EXPECT_EQ(script.produce("a", seconds(20)), ErrorCode::kNone);
  EXPECT_FALSE(script.in_isr(first));
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R27, KAFKA-14616.
TEST(Replication, a_topic_made_anew_while_a_broker_is_away_is_another_one_there_too) {
  Script script;
  for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("old{}", i));
  auto& follower = script.follower(0);
  script.kill(follower);
  script.delete_topic(Script::kTopic);
  script.create_topic(Script::kTopic);
  script.produce_until_acknowledged("new");
  script.start(follower);
  script.become_whole();
  ASSERT_EQ(script.failure(), "");
  const auto found = script.read();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.begin()->second, "new");
}

// J15: NATS.
TEST(Replication, a_leader_without_power_while_the_others_stand_still_loses_nothing) {
  Script script;
  script.produce_until_acknowledged("a");
  auto& leader = script.leader();
  auto& first = script.follower(0);
  auto& second = script.follower(1);
  first.broker.host().pause();
  second.broker.host().pause();
  EXPECT_NE(script.produce("b", seconds(1)), ErrorCode::kNone);
  script.lose_power(leader);
  script.run_for(seconds(1));
  first.broker.host().go_on();
  second.broker.host().go_on();
  script.start(leader);
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// J19.
TEST(Replication, a_replica_that_lost_its_disk_comes_back_empty_and_counts_once_it_has_caught_up) {
  Script script;
  for (int i = 0; i < 20; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  auto& follower = script.follower(0);
  script.kill(follower);
  follower.medium.wipe(Broker::kDataDirectory);
  script.replicas().disk_was_wiped(follower.id);
  const auto changes = script.state().partition_epoch;
  script.start(follower);
  script.until("it was put out of the ISR", [&] {
    return !script.in_isr(follower) || script.state().partition_epoch > changes + 1;
  });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// J19 once more, of the leader.
TEST(Replication, a_leader_that_lost_its_disk_leads_no_more) {
  Script script;
  for (int i = 0; i < 20; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  auto& leader = script.leader();
  script.kill(leader);
  leader.medium.wipe(Broker::kDataDirectory);
  script.replicas().disk_was_wiped(leader.id);
  script.start(leader);
  script.until("another leads",
               [&] { return script.has_leader() && script.state().leader != leader.id; });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// KIP-858: its replicas lie in a directory of another id by then.
TEST(Replication, a_broker_that_lost_its_disk_may_lead_again) {
  Script script({.min_isr = 1});
  script.produce_until_acknowledged("a");
  auto& leader = script.leader();
  auto& first = script.follower(0);
  auto& second = script.follower(1);
  script.kill(first);
  first.medium.wipe(Broker::kDataDirectory);
  script.replicas().disk_was_wiped(first.id);
  script.start(first);
  script.become_whole();
  script.run_for(seconds(2));
  script.kill(leader);
  script.kill(second);
  script.until("the one that is left leads", [&] { return script.state().leader == first.id; });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// J20.
TEST(Replication, a_follower_with_a_slow_disk_is_waited_for_no_longer_than_its_lag_may_be) {
  Script script({.session_ms = 20'000});
  auto& follower = script.follower(0);
  follower.broker.host().set_mean_disk_time(seconds(5));
  script.produce("a", seconds(20));
  script.until("it has left the ISR", [&] { return !script.in_isr(follower); });
  EXPECT_EQ(script.produce("b", seconds(1)), ErrorCode::kNone);
  follower.broker.host().set_mean_disk_time(milliseconds(1));
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// F2: all machines at once.
TEST(Replication, nothing_is_lost_when_all_machines_lose_their_power) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Script script({.seed = seed});
    for (int i = 0; i < 20; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
    for (const auto& node : script.cluster().nodes()) script.lose_power(*node);
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// The same, and the disk of who led does not come back. The others say that they lost nothing
// (KIP-966), so that the empty replica is not the only one left to elect.
TEST(Replication, nothing_is_lost_when_all_machines_lose_their_power_and_one_its_disk) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Script script({.seed = seed});
    for (int i = 0; i < 20; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
    auto& empty = script.leader();
    for (const auto& node : script.cluster().nodes()) script.lose_power(*node);
    empty.medium.wipe(Broker::kDataDirectory);
    script.replicas().disk_was_wiped(empty.id);
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

}  // namespace
}  // namespace millrace::sim
