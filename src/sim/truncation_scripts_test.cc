// What has gone wrong where logs part, where followers fetch what they have and where the ISR
// changes meanwhile, played again on a cluster: known bugs of Kafka's and Redpanda's replication
// (R), and damage on media (J). Brokers are n1 to n3, controllers apart.
#include <gtest/gtest.h>

#include "sim/cluster_rot.h"
#include "sim/replays.h"
#include "sim/script.h"
#include "wire/delete_records.h"
#include "wire/elect_leaders.h"

namespace millrace::sim {
namespace {

using wire::ErrorCode;

constexpr int16_t kElectVersion = 2;
constexpr int16_t kDeleteVersion = 2;
constexpr int16_t kProduceVersion = 9;

std::string directory_of(const std::string& topic) {
  return fmt::format("{}/{}-0", Broker::kDataDirectory, topic);
}

// Of the last batch that the node has; -1: it has none.
int32_t last_epoch(const Script::Node& node) {
  const auto log = read_stored_log(node.medium, directory_of(Script::kTopic), View::kWritten);
  return log && !log->batches.empty() ? log->batches.back().epoch : -1;
}

// The leader has records that nobody else has, and is cut off; another leads and has other records
// at their offsets. When the network heals the old leader has to cut its log. Gives the old one.
Script::Node& part(Script& script) {
  script.produce_until_acknowledged("both have it");
  auto& old_leader = script.leader();
  for (const auto& node : script.cluster().nodes())
    if (node.get() != &old_leader) script.cut(old_leader, *node);
  for (int i = 0; i < 3; ++i)
    EXPECT_NE(script.produce(fmt::format("lost {}", i), milliseconds(200)), ErrorCode::kNone);
  script.network().isolate(old_leader.name);
  script.until("another leads",
               [&] { return script.has_leader() && script.state().leader != old_leader.id; });
  for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("kept {}", i));
  return old_leader;
}

void elect_preferred(Script& script) {
  wire::ElectLeadersRequest request{.election_type = 0, .timeout_ms = 5000};
  request.topic_partitions->push_back({.topic = Script::kTopic, .partitions = {0}});
  script.until("the preferred replica leads", [&] {
    static_cast<void>(
        script.ask<wire::ElectLeadersResponse>(Client::AnyBroker{}, request, kElectVersion));
    return script.state().leader == script.state().replicas.front();
  });
}

// R7, KAFKA-7128: the high watermark lies behind the start of the leader's epoch.
TEST(Truncation, who_is_behind_the_start_of_the_leaders_epoch_does_not_join) {
  Script script(
      {.lag_ms = 3000,
       .session_ms = 20'000,
       .more = {{"replica.fetch.max.bytes", "1"}, {"replica.fetch.response.max.bytes", "1"}}});
  auto& leader = script.leader();
  auto& next = script.follower(0);
  auto& behind = script.follower(1);
  behind.broker.host().pause();
  for (int i = 0; i < 5; ++i)
    EXPECT_NE(script.produce(fmt::format("v{}", i), milliseconds(100)), ErrorCode::kNone);
  script.until("one has all of it", [&] { return script.log_end(next) == Offset(5); });
  script.kill(leader);
  script.until("it leads", [&] { return script.state().leader == next.id; });
  script.kill(behind);
  script.until("the leader is alone", [&] { return script.isr().size() == 1; });
  script.expect(script.high_watermark(next) < Offset(5), "the high watermark lies behind");
  script.network().slow_down({behind.name, next.name}, milliseconds(300));
  script.start(behind);
  script.until("it is in sync", [&] { return script.in_isr(behind); });
  script.expect(script.log_end(behind) >= Offset(5), "it has what its leader began with");
  script.network().slow_down({behind.name, next.name}, Duration(0));
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R9, KAFKA-10706: it led, wrote nothing, and the next leader's records begin where its epoch did.
TEST(Truncation, an_epoch_without_records_is_forgotten_when_another_one_begins_there) {
  Script script({.min_isr = 1});
  script.produce_until_acknowledged("a");
  auto& first = script.leader();
  auto& second = script.follower(0);
  auto& third = script.follower(1);
  script.kill(first);
  script.until("the second leads", [&] { return script.state().leader == second.id; });
  script.kill(second);
  script.until("the third leads", [&] { return script.state().leader == third.id; });
  script.produce_until_acknowledged("b");
  script.start(second);
  script.until("the second is in sync", [&] { return script.in_isr(second); });
  script.expect(last_epoch(second) == script.state().leader_epoch.value(),
                "it has the batch of the newest epoch");
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R10, KAFKA-14704.
TEST(Truncation, a_log_that_parts_hears_of_a_higher_high_watermark_after_it_was_cut) {
  Script script({.min_isr = 1});
  auto& old_leader = part(script);
  const int32_t old_epoch = last_epoch(old_leader);
  script.network().heal();
  script.until("it is in sync", [&] {
    if (last_epoch(old_leader) == old_epoch && script.log_end(old_leader) > Offset(1))
      script.expect(script.high_watermark(old_leader) <= Offset(1),
                    "nothing of what has to go is committed");
    return script.in_isr(old_leader);
  });
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R11, KAFKA-13207: what the former leader says of where the logs part comes when it leads no more.
TEST(Truncation, an_answer_of_a_former_leader_about_where_logs_part_changes_nothing) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Script script({.min_isr = 1, .session_ms = 9000, .seed = seed});
    auto& old_leader = part(script);
    auto& leader = script.leader();
    std::vector<NodeId> order = script.state().replicas;
    std::erase(order, leader.id);
    std::erase(order, old_leader.id);
    order.insert(order.end(), {leader.id, old_leader.id});
    script.move_to(order);
    script.network().slow_down({leader.name, old_leader.name}, seconds(3));
    script.network().heal();
    script.run_for(seconds(1));
    elect_preferred(script);
    script.produce_until_acknowledged("of the next leader");
    script.until("it is in sync", [&] { return script.in_isr(old_leader); });
    script.run_for(seconds(10));
    script.network().slow_down({leader.name, old_leader.name}, Duration(0));
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

ErrorCode produce_to(Script& script, const std::string& topic) {
  record::BatchBuilder builder({});
  builder.append({.timestamp = TimestampMs(0), .value = as_bytes(std::string_view("x"))});
  const ByteBuffer bytes = std::move(builder).build();
  wire::ProduceRequest request{.acks = 1, .timeout_ms = 1000};
  request.topic_data.push_back({.name = topic});
  request.topic_data[0].partition_data.push_back({.index = 0, .records = wire::Records::of(bytes)});
  const TopicPartition place{topic, PartitionIndex(0)};
  const auto answer = script.ask<wire::ProduceResponse>(place, request, kProduceVersion);
  return answer ? static_cast<ErrorCode>(answer->responses[0].partition_responses[0].error_code)
                : ErrorCode::kNetworkException;
}

metadata::PartitionState state_of(Script& script, const std::string& topic) {
  return script.cluster().newest_image()->find_topic(topic)->partitions.at(0);
}

// R12, KAFKA-7414: the follower lacks what its leader has deleted of one of two partitions, and is
// not told where the log begins.
TEST(Truncation, one_partition_that_is_out_of_range_does_not_hold_up_another) {
  Script script({.min_isr = 1});
  for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  std::string other;
  for (int i = 0; other.empty() && i < 20; ++i) {
    const std::string name = fmt::format("t{}", i);
    script.create_topic(name);
    if (state_of(script, name).leader == script.state().leader) other = name;
  }
  ASSERT_NE(other, "");
  auto& follower = script.follower(0);
  script.kill(follower);
  script.until("it is missed", [&] { return !script.in_isr(follower); });
  script.produce_until_acknowledged("v5");
  wire::DeleteRecordsRequest request{.timeout_ms = 5000};
  request.topics.push_back({.name = Script::kTopic, .partitions = {{0, 6}}});
  const TopicPartition place{Script::kTopic, PartitionIndex(0)};
  ASSERT_TRUE(script.ask<wire::DeleteRecordsResponse>(place, request, kDeleteVersion).has_value());
  EXPECT_EQ(script.log_start(script.leader()), Offset(6));
  EXPECT_EQ(produce_to(script, other), ErrorCode::kNone);
  script.start(follower);
  script.until("the other one is in sync", [&] {
    const auto isr = state_of(script, other).isr;
    return std::ranges::count(isr, follower.id) > 0;
  });
  script.until("everything is whole", [&] { return script.replicas().what_is_missing().empty(); });
  EXPECT_EQ(script.log_start(follower), Offset(6));
  EXPECT_EQ(script.failure(), "");
}

// The first Fetch of each connection from one host to another, which begins a session.
class FirstFetches {
 public:
  FirstFetches(Script& script, const Script::Node& from, const Script::Node& to)
      : script_(&script), to_{to.name, Broker::kPort} {
    script.network().tap = [this, from = from.name](const Network::Piece& piece) {
      constexpr size_t kLengthBytes = 4;
      if (piece.from != from || piece.to.host != to_.host || piece.to.port != to_.port ||
          piece.bytes.size() < kLengthBytes + 2)
        return;
      const bool is_whole =
          load_big<uint32_t>(piece.bytes.data()) == piece.bytes.size() - kLengthBytes;
      const bool is_fetch =
          load_big<uint16_t>(piece.bytes.data() + kLengthBytes) == wire::FetchRequest::kApiKey;
      if (is_whole && is_fetch && known_.insert(piece.connection).second)
        frame_ = copy_of(piece.bytes);
    };
  }
  bool has_one() const { return !frame_.empty(); }
  // Once more, by somebody else.
  void repeat() {
    host_.connect(host_.shard(0), to_, [this](Result<std::unique_ptr<env::Connection>> stream) {
      if (!stream) return;
      const ByteView whole = frame_;
      if ((*stream)->write({&whole, 1}, false)) held_.push_back(std::move(*stream));
    });
  }

 private:
  Script* script_;
  env::Address to_;
  std::set<uint64_t> known_;
  ByteBuffer frame_;
  Medium medium_{script_->world()};
  Host host_{script_->network(), medium_, {.name = "again"}};
  std::vector<std::unique_ptr<env::Connection>> held_;
};

// R14, KIP-903: what the former process of a broker had asked for arrives when the next one runs,
// without what the former one had.
TEST(Truncation, a_fetch_from_before_a_restart_takes_nobody_into_the_isr) {
  Script script({.session_ms = 4000});
  for (int i = 0; i < 5; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  auto& leader = script.leader();
  auto& follower = script.follower(0);
  script.kill(follower);
  FirstFetches fetches(script, follower, leader);
  script.start(follower);
  script.until("it is in sync", [&] { return script.in_isr(follower) && fetches.has_one(); });
  script.kill(follower);
  follower.medium.wipe(Broker::kDataDirectory);
  script.replicas().disk_was_wiped(follower.id);
  script.until("it is missed", [&] { return !script.in_isr(follower); });
  script.network().tap = nullptr;
  script.network().cut({follower.name, leader.name});
  script.start(follower);
  script.until("it is unfenced", [&] {
    const auto* broker = script.cluster().newest_image()->find_broker(follower.id);
    return broker && !broker->fenced && script.log_end(follower) == Offset(0);
  });
  for (int i = 0; i < 20; ++i) {
    fetches.repeat();
    script.during(milliseconds(100), "an empty replica is not in sync",
                  [&] { return !script.in_isr(follower); });
  }
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// R16, KAFKA-12686, 12751, 13254: the controller dies with the request or with the answer.
TEST(Truncation, a_change_of_the_isr_that_was_lost_with_its_controller_is_asked_for_again) {
  for (const bool is_answer_lost : {false, true}) {
    Script script({.session_ms = 20'000});
    for (int i = 0; i < 3; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
    auto& leader = script.leader();
    auto& follower = script.follower(0);
    script.stop(follower);
    script.until("it has left the ISR", [&] { return !script.in_isr(follower); });
    auto* controller = script.quorum().leader();
    ASSERT_NE(controller, nullptr);
    script.network().cut(is_answer_lost ? Network::Way{controller->name, leader.name}
                                        : Network::Way{leader.name, controller->name});
    script.start(follower);
    script.run_for(seconds(2));
    script.kill(*controller);
    script.until("it is in sync", [&] { return script.in_isr(follower); });
    script.produce_until_acknowledged("w");
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << is_answer_lost;
  }
}

// R23, Redpanda #17895, and R26, #13495: requests arrive once more while replicas recover.
TEST(Truncation, requests_that_come_twice_while_followers_recover_append_nothing_twice) {
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    Script script({.seed = seed});
    Replays replays(script.network());
    for (int round = 0; round < 6; ++round) {
      for (int i = 0; i < 5; ++i) {
        script.produce_until_acknowledged(fmt::format("r{}v{}", round, i));
        for (int times = 0; times < 5; ++times) replays.repeat_one();
      }
      auto& victim = round % 2 == 0 ? script.follower(0) : script.leader();
      script.kill(victim);
      script.run_for(milliseconds(300));
      script.start(victim);
    }
    script.become_whole();
    script.network().tap = nullptr;
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// R24, Redpanda #16105, 2937, 3531: what is being synced is cut off, and something else stands
// there when the sync ends.
TEST(Truncation, a_sync_that_ends_after_a_cut_says_nothing_of_what_came_after) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Script script({.lag_ms = 60'000, .session_ms = 20'000, .seed = seed});
    script.produce_until_acknowledged("a");
    auto& leader = script.leader();
    auto& next = script.follower(0);
    auto& slow = script.follower(1);
    script.cut(leader, next);
    slow.broker.host().set_mean_disk_time(seconds(2));
    EXPECT_NE(script.produce("lost", milliseconds(300)), ErrorCode::kNone);
    script.expect(script.log_end(slow) == Offset(2), "it is being synced");
    script.kill(leader);
    script.until("the one that lacks it leads", [&] { return script.state().leader == next.id; });
    script.produce_until_acknowledged("kept");
    script.lose_power(slow);
    script.run_for(seconds(1));
    script.become_whole();
    for (const auto& [offset, value] : script.read()) EXPECT_NE(value, "lost") << offset;
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// R25, Redpanda #29849, 31470; KAFKA-16541, 15046: at each change of the disk that a cut makes.
TEST(Truncation, a_crash_at_any_step_of_a_cut_leaves_nothing_that_claims_too_much) {
  for (const bool loses_power : {false, true})
    for (uint64_t change = 1; change <= 12; ++change) {
      Script script({.min_isr = 1, .seed = change});
      auto& old_leader = part(script);
      bool is_dead = false;
      old_leader.broker.kill_at_disk_change(change, [&] { is_dead = true; });
      script.network().heal();
      for (int i = 0; !is_dead && i < 200; ++i) script.run_for(milliseconds(10));
      if (loses_power)
        script.lose_power(old_leader);
      else
        script.kill(old_leader);
      script.start(old_leader);
      script.become_whole();
      EXPECT_EQ(script.failure(), "") << change << (loses_power ? ", power" : "");
    }
}

// Records that are below what recovery looks at: only the medium can lose them.
ScriptOptions with_checkpoints(uint64_t seed) {
  return {.seed = seed, .more = {{"log.flush.offset.checkpoint.interval.ms", "500"}}};
}

// J16, NATS: one medium is damaged, and its node is made the leader.
TEST(Rot, a_replica_that_was_damaged_leads_and_has_everything) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Script script(with_checkpoints(seed));
    for (int i = 0; i < 20; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
    script.run_for(seconds(2));
    script.world().expect_errors(true);
    auto& leader = script.leader();
    Oracle oracle(script.world());
    ClusterRot rot(script.world(), script.cluster());
    const auto damage = rot.strike(leader, oracle, Script::kTopic);
    ASSERT_TRUE(damage.has_value());
    script.replicas().is_damaged(leader.id, damage->partition);
    script.kill(leader);
    script.run_for(seconds(1));
    script.start(leader);
    script.until("it is in sync", [&] { return script.in_isr(leader); });
    elect_preferred(script);
    script.expect(script.state().leader == leader.id, "it leads");
    script.until("it is mended", [&] { return rot.what_is_left().empty(); });
    script.replicas().mended();
    script.become_whole();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// J18, TigerBeetle: every medium is damaged, each at another place.
TEST(Rot, replicas_that_are_damaged_at_different_places_mend_each_other) {
  Script script(with_checkpoints(1));
  for (int i = 0; i < 60; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  script.run_for(seconds(2));
  script.world().expect_errors(true);
  Oracle oracle(script.world());
  ClusterRot rot(script.world(), script.cluster());
  std::set<int64_t> places;
  for (const auto& node : script.cluster().nodes()) {
    if (!node->is_broker) continue;
    const auto damage = rot.strike(*node, oracle, Script::kTopic);
    ASSERT_TRUE(damage.has_value());
    ASSERT_TRUE(places.insert(damage->first).second) << "another seed is needed";
    script.replicas().is_damaged(node->id, damage->partition);
  }
  for (const auto& node : script.cluster().nodes())
    if (node->is_broker) script.kill(*node);
  for (const auto& node : script.cluster().nodes())
    if (node->is_broker) script.start(*node);
  script.until("all is mended", [&] { return rot.what_is_left().empty(); });
  script.replicas().mended();
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

}  // namespace
}  // namespace millrace::sim
