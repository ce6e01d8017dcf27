// What has gone wrong for clients of Kafka and its like before, played again on a cluster: what
// they were told, what they read and whether they go on. J are losses that Jepsen found, R and T
// known bugs.
#include <gtest/gtest.h>

#include "sim/group_member.h"
#include "sim/producer.h"
#include "sim/script.h"
#include "wire/elect_leaders.h"
#include "wire/fetch.h"
#include "wire/offset_for_leader_epoch.h"

namespace millrace::sim {
namespace {

using wire::ErrorCode;

constexpr int16_t kFetchVersion = 12;
constexpr int16_t kElectVersion = 2;
constexpr int16_t kEpochVersion = 4;
const TopicPartition kPartition{Script::kTopic, PartitionIndex(0)};

// Producers that are idempotent and repeat what was acknowledged, and one that reads; the oracle
// knows what each was told. All that is read in the end is compared to it.
class Load {
 public:
  explicit Load(Script& script, int producers = 2) : script_(&script), oracle_(script.world()) {
    oracle_.expect_other_leaders();
    for (int i = 0; i < producers; ++i) {
      producers_.push_back(std::make_unique<Producer>(
          script.site(), oracle_,
          ProducerOptions{.name = fmt::format("i{}", i), .topic = Script::kTopic}));
      producers_.back()->start();
    }
    consumer_.start();
  }

  Oracle& oracle() { return oracle_; }
  // In a minute each, or they are stuck.
  void finish() {
    for (auto& producer : producers_) producer->finish();
    script_->until("every producer is done", [this] {
      return std::ranges::all_of(producers_, [](auto& each) { return each->is_done(); });
    });
    bool is_read = false;
    consumer_.read_all([&](const std::optional<Oracle::Contents>& contents) {
      is_read = true;
      if (contents) oracle_.check_contents(0, *contents);
    });
    script_->until("the log is read", [&] { return is_read; });
    script_->expect(oracle_.acknowledged_count() > 0, "something was acknowledged");
  }

 private:
  Script* script_;
  Oracle oracle_;
  std::vector<std::unique_ptr<Producer>> producers_;
  Consumer consumer_{script_->site(), oracle_, Script::kTopic, 0};
};

// Another one leads when it returns.
void hand_over(Script& script) {
  const NodeId before = script.state().leader;
  std::vector<NodeId> order = script.state().replicas;
  std::erase(order, before);
  order.push_back(before);
  script.until("all are in sync", [&] { return script.isr().size() == order.size(); });
  script.move_to(order);
  wire::ElectLeadersRequest request{.election_type = 0, .timeout_ms = 5000};
  request.topic_partitions->push_back({.topic = Script::kTopic, .partitions = {0}});
  script.until("it hands over", [&] {
    static_cast<void>(
        script.ask<wire::ElectLeadersResponse>(Client::AnyBroker{}, request, kElectVersion));
    return script.state().leader == order.front();
  });
}

// J2, Redpanda #3039; T22, #3040: producers repeat the last five batches that were acknowledged.
TEST(Clients, batches_that_are_repeated_through_pauses_and_kills_are_there_once) {
  Script script;
  Load load(script);
  for (int round = 0; round < 6; ++round) {
    script.run_for(seconds(1));
    script.until("somebody leads", [&] { return script.has_leader(); });
    auto& leader = script.leader();
    if (round % 2 == 0) {
      script.kill(leader);
      script.run_for(seconds(3));
      script.start(leader);
    } else {
      leader.broker.host().pause();
      script.run_for(seconds(3));
      leader.broker.host().go_on();
    }
    script.until("all are in sync", [&] { return script.isr().size() == 3; });
  }
  load.finish();
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// J3: two values at one offset. J10: offset 0, whatever the offset is.
TEST(Clients, an_offset_that_was_answered_is_where_the_record_is_read_whoever_leads) {
  Script script;
  Load load(script);
  for (int round = 0; round < 4; ++round) {
    script.run_for(milliseconds(500));
    hand_over(script);
    script.run_for(milliseconds(500));
    auto& leader = script.leader();
    script.kill(leader);
    script.run_for(seconds(1));
    script.start(leader);
  }
  load.finish();
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

// J8: Bufstream's consumers read nothing for ever. J9: its producers never went on.
TEST(Clients, everybody_goes_on_after_brokers_were_paused_and_killed) {
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    Script script({.seed = seed});
    Load load(script);
    GroupOracle group(script.world());
    const MemberOptions options{.group = "group", .topic = Script::kTopic};
    GroupMember first(script.site(), load.oracle(), group, options);
    GroupMember second(script.site(), load.oracle(), group, options);
    first.start();
    second.start();
    script.run_for(seconds(3));
    for (const auto& node : script.cluster().nodes())
      if (node->is_broker) node->broker.host().pause();
    script.run_for(seconds(12));
    for (const auto& node : script.cluster().nodes())
      if (node->is_broker) node->broker.host().go_on();
    script.until("somebody leads", [&] { return script.has_leader(); });
    script.kill(script.leader());
    script.run_for(seconds(3));
    script.become_whole();
    script.until("the group is stable", [&] { return first.is_stable() && second.is_stable(); });
    load.finish();
    EXPECT_EQ(script.failure(), "") << seed;
  }
}

// J11: Bufstream lost records without any fault.
TEST(Clients, nothing_is_lost_where_nothing_fails) {
  Script script;
  Load load(script, 5);
  script.run_for(seconds(20));
  load.finish();
  script.become_whole();
  EXPECT_EQ(script.failure(), "");
}

wire::FetchRequest fetch_from(int64_t offset, int32_t current_epoch) {
  wire::FetchRequest request{.max_wait_ms = 0, .min_bytes = 0};
  request.topics.push_back({.topic = Script::kTopic});
  request.topics[0].partitions.push_back({.partition = 0,
                                          .current_leader_epoch = current_epoch,
                                          .fetch_offset = offset,
                                          .partition_max_bytes = 65536});
  return request;
}

// R13, KAFKA-9338: what the session knows is of an epoch before.
TEST(Clients, a_fetch_that_goes_on_in_another_epoch_gets_an_error_and_no_data) {
  Script script;
  script.produce_until_acknowledged("a");
  const NodeId leader = script.state().leader;
  const auto epoch = script.state().leader_epoch;
  wire::FetchRequest request = fetch_from(0, epoch.value());
  request.session_epoch = 0;
  const auto begun = script.ask<wire::FetchResponse>(kPartition, request, kFetchVersion);
  ASSERT_TRUE(begun.has_value());
  ASSERT_NE(begun->session_id, 0);
  EXPECT_FALSE(begun->responses.at(0).partitions.at(0).records.bytes.empty());
  // A replica less begins an epoch of the same leader.
  script.move_to({{leader, script.follower(0).id}});
  script.until("the leader knows its new epoch", [&] {
    return script.state().leader_epoch > epoch && script.produce("b") == ErrorCode::kNone;
  });
  ASSERT_EQ(script.state().leader, leader);
  const wire::FetchRequest next{
      .max_wait_ms = 0, .min_bytes = 0, .session_id = begun->session_id, .session_epoch = 1};
  const auto answer = script.ask<wire::FetchResponse>(kPartition, next, kFetchVersion);
  ASSERT_TRUE(answer.has_value());
  ASSERT_EQ(answer->responses.size(), 1u);
  const auto& partition = answer->responses[0].partitions.at(0);
  EXPECT_EQ(static_cast<ErrorCode>(partition.error_code), ErrorCode::kFencedLeaderEpoch);
  EXPECT_TRUE(partition.records.bytes.empty());
  EXPECT_EQ(script.failure(), "");
}

// R20, KAFKA-9196, 9807, 9491: each record begins a segment.
TEST(Clients, nothing_is_read_above_the_high_watermark_where_segments_roll) {
  Script script(
      {.lag_ms = 60'000, .session_ms = 60'000, .topic = {{"internal.segment.bytes", "80"}}});
  for (int i = 0; i < 3; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  auto& leader = script.leader();
  auto& first = script.follower(0);
  auto& second = script.follower(1);
  first.broker.host().pause();
  second.broker.host().pause();
  const auto mark = script.high_watermark(leader);
  for (int i = 0; i < 5; ++i) {
    EXPECT_NE(script.produce(fmt::format("w{}", i), milliseconds(200)), ErrorCode::kNone);
    EXPECT_EQ(script.read().size(), 3u);
    EXPECT_EQ(script.high_watermark(leader), mark);
  }
  EXPECT_GT(script.log_end(leader), mark);
  first.broker.host().go_on();
  second.broker.host().go_on();
  script.become_whole();
  EXPECT_EQ(script.read().size(), 8u);
  EXPECT_EQ(script.failure(), "");
}

// R21, KAFKA-5634: there is room for nothing, and nothing that is not committed goes.
TEST(Clients, retention_stops_at_the_high_watermark) {
  Script script({.lag_ms = 60'000,
                 .session_ms = 60'000,
                 .more = {{"log.retention.check.interval.ms", "100"}},
                 .topic = {{"internal.segment.bytes", "80"}, {"retention.bytes", "1"}}});
  for (int i = 0; i < 3; ++i) script.produce_until_acknowledged(fmt::format("v{}", i));
  auto& first = script.follower(0);
  auto& second = script.follower(1);
  first.broker.host().pause();
  second.broker.host().pause();
  for (int i = 0; i < 5; ++i)
    EXPECT_NE(script.produce(fmt::format("w{}", i), milliseconds(200)), ErrorCode::kNone);
  const auto mark = script.high_watermark(script.leader());
  script.until("what is committed is deleted",
               [&] { return script.log_start(script.leader()) > Offset(0); });
  script.during(seconds(5), "what is not committed stays",
                [&] { return script.log_start(script.leader()) <= mark; });
  first.broker.host().go_on();
  second.broker.host().go_on();
  script.until("everything is whole", [&] { return script.replicas().what_is_missing().empty(); });
  EXPECT_EQ(script.failure(), "");
}

// R22, KIP-320: who has read what the new leader lacks is told where the logs part, and is not
// sent to another offset.
TEST(Clients, a_consumer_learns_where_an_unclean_election_cut_the_log) {
  Script script({.min_isr = 1, .topic = {{"unclean.leader.election.enable", "true"}}});
  script.produce_until_acknowledged("a");
  auto& leader = script.leader();
  auto& first = script.follower(0);
  auto& second = script.follower(1);
  script.kill(first);
  script.kill(second);
  script.until("the leader is alone", [&] { return script.isr().size() == 1; });
  const int32_t epoch = script.state().leader_epoch.value();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(script.produce("b"), ErrorCode::kNone);
  script.kill(leader);
  script.start(first);
  script.until("another leads uncleanly", [&] { return script.state().leader == first.id; });
  wire::OffsetForLeaderEpochRequest question;
  question.topics.push_back({.topic = Script::kTopic});
  question.topics[0].partitions.push_back({.partition = 0, .leader_epoch = epoch});
  wire::FetchRequest request = fetch_from(4, script.state().leader_epoch.value());
  request.topics[0].partitions[0].last_fetched_epoch = epoch;
  std::optional<wire::FetchResponse> fetched;
  script.until("the new leader serves", [&] {
    const auto answer = script.ask<wire::FetchResponse>(kPartition, request, kFetchVersion);
    if (!answer || answer->responses.at(0).partitions.at(0).error_code != 0) return false;
    fetched = *answer;
    return true;
  });
  ASSERT_TRUE(fetched.has_value());
  EXPECT_EQ(fetched->responses[0].partitions[0].diverging_epoch.end_offset, 1);
  EXPECT_TRUE(fetched->responses[0].partitions[0].records.bytes.empty());
  const auto ends =
      script.ask<wire::OffsetForLeaderEpochResponse>(kPartition, question, kEpochVersion);
  ASSERT_TRUE(ends.has_value());
  EXPECT_EQ(ends->topics.at(0).partitions.at(0).end_offset, 1);
  script.start(leader);
  script.start(second);
  script.until("everything is whole", [&] { return script.replicas().what_is_missing().empty(); });
  EXPECT_EQ(script.failure(), "");
}

}  // namespace
}  // namespace millrace::sim
