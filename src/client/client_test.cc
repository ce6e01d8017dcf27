#include "client/client.h"

#include <gtest/gtest.h>

#include "client/consumer.h"
#include "client/producer.h"
#include "client/testing/scripted_cluster.h"

namespace millrace::client {
namespace {

using testing::ScriptedCluster;
using wire::ErrorCode;

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() { cluster.add_topic("t", {1, 1}); }

  void start(std::vector<env::Address> bootstrap = {{"broker1", 9092}}) {
    client = std::make_unique<Client>(
        cluster, cluster.shard(0),
        ClientOptions{.bootstrap = std::move(bootstrap), .request_timeout = seconds(30)});
  }
  void refresh(std::optional<Result<wire::MetadataResponse>>& into) {
    client->refresh({.names = {"t"}}, [&into](auto response) { into = std::move(response); });
  }

  ScriptedCluster cluster;
  std::unique_ptr<Client> client;
};

TEST_F(ClientTest, knows_leaders_and_addresses_after_a_refresh) {
  start();
  std::optional<Result<wire::MetadataResponse>> response;
  refresh(response);
  EXPECT_FALSE(response) << "callbacks come later";
  cluster.run();
  ASSERT_TRUE(response && *response);
  EXPECT_EQ(client->metadata().leader({"t", PartitionIndex(1)}), NodeId(1));
  EXPECT_EQ(client->metadata().topic("t")->partitions.size(), 2);
}

TEST_F(ClientTest, tries_the_next_bootstrap_address_and_names_all_that_failed) {
  cluster.refuse("nowhere:1");
  start({{"nowhere", 1}, {"broker1", 9092}});
  std::optional<Result<wire::MetadataResponse>> response;
  refresh(response);
  cluster.run();
  EXPECT_TRUE(response && *response);

  cluster.refuse("elsewhere:2");
  start({{"nowhere", 1}, {"elsewhere", 2}});
  refresh(response);
  cluster.run();
  ASSERT_FALSE(*response);
  EXPECT_NE(response->error().message.find("nowhere:1"), std::string::npos);
  EXPECT_NE(response->error().message.find("elsewhere:2"), std::string::npos);
}

TEST_F(ClientTest, a_broker_that_does_not_answer_costs_the_connection_after_the_timeout) {
  start();
  cluster.answers = false;
  std::optional<Result<wire::MetadataResponse>> response;
  refresh(response);
  cluster.run();
  cluster.advance(seconds(9));
  EXPECT_FALSE(response);
  cluster.advance(seconds(30));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->error().code, Errc::kClosed) << response->error().message;
  EXPECT_NE(response->error().message.find("no answer within"), std::string::npos);
  EXPECT_EQ(cluster.open_connections(), 0);
}

TEST_F(ClientTest, a_lost_connection_ends_its_calls_and_the_next_call_opens_another) {
  start();
  std::optional<Result<wire::MetadataResponse>> response;
  refresh(response);
  cluster.run();
  cluster.answers = false;
  refresh(response);
  cluster.run();
  cluster.cut_all();
  cluster.run();
  ASSERT_FALSE(*response);
  EXPECT_EQ(response->error().code, Errc::kClosed);
  cluster.answers = true;
  refresh(response);
  cluster.run();
  EXPECT_TRUE(*response);
}

TEST_F(ClientTest, a_broker_that_nobody_has_told_of_is_an_error) {
  start();
  std::optional<Result<wire::HeartbeatResponse>> response;
  client->call(core::Destination::to(NodeId(99)), wire::HeartbeatRequest{},
               [&](auto answer) { response = std::move(answer); });
  EXPECT_FALSE(response);
  cluster.run();
  EXPECT_EQ(response->error().code, Errc::kNotFound);
}

TEST_F(ClientTest, calls_nobody_once_it_is_gone) {
  start();
  std::optional<Result<wire::MetadataResponse>> response;
  refresh(response);
  client.reset();
  cluster.run();
  cluster.advance(seconds(60));
  EXPECT_FALSE(response);

  start();
  cluster.answers = false;
  refresh(response);
  cluster.run();
  EXPECT_EQ(cluster.open_connections(), 1);
  client.reset();
  cluster.run();
  EXPECT_FALSE(response);
  EXPECT_EQ(cluster.open_connections(), 0);
}

TEST_F(ClientTest, lanes_have_connections_of_their_own) {
  start();
  std::optional<Result<wire::MetadataResponse>> response;
  refresh(response);
  cluster.run();
  const size_t before = cluster.open_connections();
  client->call(core::Destination::to(NodeId(1), core::Lane::kGroup), wire::HeartbeatRequest{},
               [](auto) {});
  cluster.run();
  EXPECT_EQ(cluster.open_connections(), before + 1);
}

TEST_F(ClientTest, a_producer_delivers_over_cuts_and_every_record_once) {
  start();
  cluster.cut_every = 3;
  std::map<uint64_t, core::Delivery> deliveries;
  Producer producer(*client, {}, [&](const core::Delivery& delivery) {
    EXPECT_TRUE(deliveries.emplace(delivery.tag, delivery).second);
  });
  for (uint64_t tag = 1; tag <= 200; ++tag) {
    core::OutgoingRecord record{.tag = tag, .topic = "t", .timestamp = TimestampMs(1)};
    record.value = copy_of(as_bytes(std::to_string(tag)));
    producer.produce(std::move(record));
    if (tag % 10 == 0) cluster.advance(milliseconds(7));
  }
  producer.flush();
  for (int i = 0; i < 100 && !producer.idle(); ++i) cluster.advance(milliseconds(50));
  EXPECT_TRUE(producer.idle());
  ASSERT_EQ(deliveries.size(), 200);
  for (const auto& [tag, delivery] : deliveries) EXPECT_EQ(delivery.error, ErrorCode::kNone);
  EXPECT_EQ(cluster.record_count(), 200) << "idempotent";
}

TEST_F(ClientTest, a_producer_without_acks_does_not_wait_for_answers) {
  start();
  size_t delivered = 0;
  Producer producer(*client, {.acks = 0}, [&](const core::Delivery&) { ++delivered; });
  core::OutgoingRecord record{.tag = 1, .topic = "t", .timestamp = TimestampMs(1)};
  producer.produce(std::move(record));
  cluster.advance(seconds(1));
  EXPECT_EQ(delivered, 1);
  EXPECT_TRUE(producer.idle());
}

// One that commits some of its transactions and aborts the others.
class TransactionsTest : public ClientTest, public ::testing::WithParamInterface<int16_t> {
 protected:
  TransactionsTest() {
    cluster.transactions.version = GetParam();
    start();
    producer = std::make_unique<Producer>(
        *client, core::ProducerOptions{.transaction = core::TransactionOptions{.id = "tx"}},
        [this](const core::Delivery& delivery) { delivered.push_back(delivery.error); });
  }
  Producer::OnOutcome into_outcome() {
    outcome.reset();
    return [this](std::optional<core::TransactionFailure> failure) { outcome = failure; };
  }
  bool succeeds() {
    for (int i = 0; i < 100 && !outcome; ++i) cluster.advance(milliseconds(50));
    return outcome && !*outcome;
  }
  void produce(const std::string& value) {
    core::OutgoingRecord record{.tag = 1, .topic = "t", .timestamp = TimestampMs(1)};
    record.partition = PartitionIndex(0);
    record.value = copy_of(as_bytes(value));
    producer->produce(std::move(record));
  }
  std::set<ProducerEpoch> epochs() {
    std::set<ProducerEpoch> found;
    for (const auto& batch : cluster.log({"t", PartitionIndex(0)}).batches)
      found.insert(record::BatchView::parse(batch)->header().producer_epoch);
    return found;
  }

  std::unique_ptr<Producer> producer;
  std::vector<ErrorCode> delivered;
  std::optional<std::optional<core::TransactionFailure>> outcome;
};

TEST_P(TransactionsTest, commits_and_aborts_over_cuts) {
  EXPECT_FALSE(producer->begin_transaction()) << "not initialized";
  producer->init_transactions(into_outcome());
  ASSERT_TRUE(succeeds());
  cluster.cut_every = 3;
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(producer->begin_transaction());
    produce("a");
    produce("b");
    if (i % 2 == 0)
      producer->commit_transaction(into_outcome());
    else
      producer->abort_transaction(into_outcome());
    ASSERT_TRUE(succeeds()) << i;
    EXPECT_TRUE(producer->idle());
  }
  EXPECT_EQ(delivered.size(), 12);
  EXPECT_GE(cluster.transactions.decisions.size(), 3);
}

TEST_P(TransactionsTest, offsets_of_a_group_go_with_it) {
  producer->init_transactions(into_outcome());
  ASSERT_TRUE(succeeds());
  ASSERT_TRUE(producer->begin_transaction());
  produce("a");
  producer->send_offsets({.group = "g", .offsets = {{{"t", PartitionIndex(1)}, Offset(5)}}},
                         into_outcome());
  ASSERT_TRUE(succeeds());
  EXPECT_EQ(cluster.transactions.offset, 5);
  producer->commit_transaction(into_outcome());
  ASSERT_TRUE(succeeds());
  EXPECT_EQ(cluster.transactions.decisions, std::vector{true});
  EXPECT_EQ(epochs().size(), 1);
}

INSTANTIATE_TEST_SUITE_P(Protocols, TransactionsTest, ::testing::Values(1, 2));

class Recorder final : public ConsumerEvents {
 public:
  void records(std::vector<core::ConsumedRecord> records) override {
    for (const auto& each : records) values.emplace_back(as_text(*each.value));
  }
  void ended(const TopicPartition&) override { ++ended_count; }
  void problem(const core::Fetcher::Problem& problem) override {
    problems.push_back(problem.error.message);
  }
  void joined(const std::set<TopicPartition>& partitions) override {
    owned = partitions;
    if (on_joined) on_joined();
  }
  void left() override { has_left = true; }
  void failed(const Error& error) override { problems.push_back(error.message); }
  void committed(const core::GroupVocabulary::CommitOutcome& outcome) override {
    commits.push_back(outcome.error);
  }

  std::function<void()> on_joined;
  std::vector<std::string> values, problems;
  std::vector<ErrorCode> commits;
  std::set<TopicPartition> owned;
  int ended_count = 0;
  bool has_left = false;
};

TEST_F(ClientTest, a_consumer_reads_to_the_end_over_cuts) {
  start();
  cluster.cut_every = 3;
  for (int i = 0; i < 50; ++i) cluster.append({"t", PartitionIndex(0)}, std::to_string(i));
  Recorder recorder;
  Consumer consumer(*client, {.until_end = true, .partition_bytes = 400}, recorder);
  consumer.assign({{{"t", PartitionIndex(0)}, core::StartAt::earliest()}});
  for (int i = 0; i < 200 && recorder.ended_count == 0; ++i) cluster.advance(milliseconds(20));
  ASSERT_EQ(recorder.values.size(), 50);
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(recorder.values[static_cast<size_t>(i)], std::to_string(i));
}

TEST_F(ClientTest, a_member_joins_reads_commits_and_leaves) {
  start();
  for (int i = 0; i < 3; ++i) cluster.append({"t", PartitionIndex(1)}, std::to_string(i));
  Recorder recorder;
  Consumer consumer(*client, {.reset = core::StartAt::earliest()}, recorder);
  consumer.join(core::MembershipOptions{.group = "g", .topics = {"t"}});
  cluster.advance(seconds(2));
  EXPECT_EQ(recorder.owned.size(), 2);
  EXPECT_EQ(recorder.values, (std::vector<std::string>{"0", "1", "2"}));
  consumer.commit({{{"t", PartitionIndex(1)}, Offset(3)}});
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.commits, std::vector{ErrorCode::kNone});
  EXPECT_EQ(cluster.committed.at({"t", PartitionIndex(1)}), 3);
  consumer.leave();
  cluster.advance(seconds(1));
  EXPECT_TRUE(recorder.has_left);
  EXPECT_EQ(cluster.left_members, 1);
  cluster.append({"t", PartitionIndex(1)}, "another's");
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values.size(), 3);
}

TEST_F(ClientTest, a_member_by_the_consumer_protocol_joins_reads_commits_and_leaves) {
  start();
  for (int i = 0; i < 3; ++i) cluster.append({"t", PartitionIndex(1)}, std::to_string(i));
  Recorder recorder;
  Consumer consumer(*client, {.reset = core::StartAt::earliest()}, recorder);
  consumer.join(core::ConsumerMembershipOptions{.group = "g", .topics = {"t"}});
  cluster.advance(seconds(2));
  EXPECT_EQ(recorder.owned.size(), 2);
  EXPECT_EQ(recorder.values, (std::vector<std::string>{"0", "1", "2"}));
  consumer.commit({{{"t", PartitionIndex(1)}, Offset(3)}});
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.commits, std::vector{ErrorCode::kNone});
  EXPECT_EQ(cluster.committed.at({"t", PartitionIndex(1)}), 3);
  EXPECT_EQ(cluster.member_id.size(), 22) << "a uuid of the client's making";
  consumer.leave();
  cluster.advance(seconds(1));
  EXPECT_TRUE(recorder.has_left);
  EXPECT_EQ(cluster.left_members, 1);
  cluster.append({"t", PartitionIndex(1)}, "another's");
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values.size(), 3);
}

TEST_F(ClientTest, a_member_that_the_group_refuses_reads_no_more) {
  start();
  Recorder recorder;
  Consumer consumer(*client, {.reset = core::StartAt::earliest()}, recorder);
  consumer.join(core::ConsumerMembershipOptions{.group = "g", .topics = {"t"}});
  cluster.advance(seconds(2));
  cluster.append({"t", PartitionIndex(1)}, "ours");
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values.size(), 1);
  cluster.heartbeat_error = ErrorCode::kGroupAuthorizationFailed;
  cluster.advance(seconds(2));
  ASSERT_EQ(recorder.problems.size(), 1);
  cluster.append({"t", PartitionIndex(1)}, "another's");
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values.size(), 1);
}

TEST_F(ClientTest, a_consumer_goes_on_where_it_is_sent_and_not_with_what_it_gave_up) {
  start();
  const TopicPartition t0{"t", PartitionIndex(0)};
  for (int i = 0; i < 3; ++i) cluster.append(t0, std::to_string(i));
  Recorder recorder;
  Consumer consumer(*client, {}, recorder);
  consumer.assign({{t0, core::StartAt::offset(Offset(2))}});
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values, (std::vector<std::string>{"2"}));
  EXPECT_EQ(consumer.position(t0), Offset(3));
  consumer.seek(t0, core::StartAt::earliest());
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values, (std::vector<std::string>{"2", "0", "1", "2"}));
  consumer.pause({t0}, true);
  cluster.advance(seconds(1));
  cluster.append(t0, "3");
  consumer.seek(t0, core::StartAt::offset(Offset(3)));
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values.size(), 4) << "paused";
  consumer.unassign({t0});
  consumer.pause({t0}, false);
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values.size(), 4);
  EXPECT_EQ(consumer.position(t0), std::nullopt);
}

TEST_F(ClientTest, a_member_that_seeks_as_it_gets_a_partition_begins_there) {
  const TopicPartition t1{"t", PartitionIndex(1)};
  for (int i = 0; i < 3; ++i) cluster.append(t1, std::to_string(i));
  cluster.committed[t1] = 0;
  start();
  Recorder recorder;
  Consumer consumer(*client, {}, recorder);
  recorder.on_joined = [&] {
    consumer.seek(t1, core::StartAt::offset(Offset(2)));
    consumer.seek({"another's", PartitionIndex(0)}, core::StartAt::earliest());
  };
  consumer.join(core::MembershipOptions{.group = "g", .topics = {"t"}});
  cluster.advance(seconds(3));
  EXPECT_EQ(recorder.values, (std::vector<std::string>{"2"}));
  EXPECT_EQ(consumer.position({"another's", PartitionIndex(0)}), std::nullopt);
  EXPECT_TRUE(recorder.problems.empty());
}

TEST_F(ClientTest, a_member_without_a_reset_says_what_has_no_committed_offset) {
  const TopicPartition t1{"t", PartitionIndex(1)};
  cluster.append(t1, "0");
  cluster.committed[t1] = 0;
  start();
  Recorder recorder;
  Consumer consumer(*client, {.reset = std::nullopt}, recorder);
  consumer.join(core::MembershipOptions{.group = "g", .topics = {"t"}});
  cluster.advance(seconds(3));
  EXPECT_EQ(recorder.values, (std::vector<std::string>{"0"}));
  ASSERT_EQ(recorder.problems.size(), 1);
  EXPECT_NE(recorder.problems[0].find("t-0"), std::string::npos) << recorder.problems[0];
  consumer.seek({"t", PartitionIndex(0)}, core::StartAt::earliest());
  cluster.append({"t", PartitionIndex(0)}, "found");
  cluster.advance(seconds(1));
  EXPECT_EQ(recorder.values.size(), 2) << "it is ours, and said now where to begin";
}

TEST(ParseBootstrap, takes_names_ports_and_literals) {
  EXPECT_EQ(*parse_bootstrap("a:1,b"), (std::vector<env::Address>{{"a", 1}, {"b", 9092}}));
  EXPECT_EQ(*parse_bootstrap("[::1]:7"), (std::vector<env::Address>{{"::1", 7}}));
  EXPECT_EQ(*parse_bootstrap("[::1]"), (std::vector<env::Address>{{"::1", 9092}}));
  for (const char* wrong : {"", "a:", "a:0", "a:70000", ":1", "[::1", "a:1x", "a,,b"})
    EXPECT_FALSE(parse_bootstrap(wrong)) << wrong;
}

}  // namespace
}  // namespace millrace::client
