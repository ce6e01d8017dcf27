#include <gtest/gtest.h>

#include "client/core/producer.h"
#include "client/core/testing/cluster.h"

namespace millrace::client::core {
namespace {

using testing::cache_of;
using wire::ErrorCode;

// A producer of topic t, whose coordinator answers at once and well unless the test says otherwise.
class ProducerTransactionTest : public ::testing::Test {
 protected:
  explicit ProducerTransactionTest(int16_t level = 0)
      : cache(cache_of({{"t", {1, 2}}})), level_(level) {
    options.linger = {};
    options.transaction = TransactionOptions{.id = "tx"};
  }

  Producer& producer() {
    if (!producer_) producer_ = std::make_unique<Producer>(cache, options);
    return *producer_;
  }
  void resume(Producer::Event event) {
    auto action = producer().resume(std::move(event), now);
    for (auto& each : action.deliveries) deliveries.push_back(std::move(each));
    for (auto& each : action.sends) sends.push_back(std::move(each));
    if (action.outcome) outcome = std::move(action.outcome);
    if (action.ask) asked = std::move(action.ask);
    while (answers_at_once && asked) answer_question();
  }
  void want(Transaction::Event event) { resume(std::move(event)); }
  void answer_question() {
    std::visit([this](const auto& question) { answer(question); },
               std::exchange(asked, {})->question);
  }
  void answered(Transaction::Answer answer) { want(Transaction::Answered{std::move(answer)}); }
  void answer(const Transaction::FindCoordinator&) {
    answered(FoundCoordinator{.node = NodeId(3)});
  }
  void answer(const Transaction::AskFeatures&) {
    wire::ApiVersionsResponse features;
    features.finalized_features.push_back(
        {.name = "transaction.version", .max_version_level = level_, .min_version_level = level_});
    answered(features);
  }
  void answer(const wire::InitProducerIdRequest& request) {
    identities.push_back(request.producer_id);
    answered(wire::InitProducerIdResponse{.producer_id = 7, .producer_epoch = ++epoch});
  }
  void answer(const wire::AddPartitionsToTxnRequest& request) {
    wire::AddPartitionsToTxnResponse response;
    for (const auto& topic : request.v3_and_below_topics) {
      auto& results = response.results_by_topic_v3_and_below.emplace_back();
      results.name = topic.name;
      for (int32_t index : topic.partitions)
        results.results_by_partition.push_back(
            {.partition_index = index, .partition_error_code = wire::code_of(add_error)});
    }
    answered(response);
  }
  void answer(const wire::AddOffsetsToTxnRequest&) { answered(wire::AddOffsetsToTxnResponse{}); }
  void answer(const wire::TxnOffsetCommitRequest&) { answered(wire::TxnOffsetCommitResponse{}); }
  void answer(const wire::EndTxnRequest& request) {
    ends.push_back(request.committed);
    wire::EndTxnResponse response;
    if (level_ >= 2) {
      response.producer_id = 7;
      response.producer_epoch = ++epoch;
    }
    answered(response);
  }

  void begin() {
    if (!producer().transaction()->is_ready()) want(Transaction::Init{});
    want(Transaction::Begin{});
  }
  void produce(const std::string& value, int32_t partition = 0) {
    OutgoingRecord record{.tag = ++last_tag, .topic = "t"};
    record.partition = PartitionIndex(partition);
    record.value = copy_of(as_bytes(value));
    resume(Producer::Produce{std::move(record)});
  }
  // The oldest request that was sent, and not answered.
  Producer::Send take_send() {
    EXPECT_FALSE(sends.empty());
    Producer::Send send = std::move(sends.front());
    sends.erase(sends.begin());
    return send;
  }
  void answer(const Producer::Send& send, ErrorCode error) {
    wire::ProduceResponse response;
    for (const auto& topic : send.request.topic_data) {
      auto& results = response.responses.emplace_back();
      results.name = topic.name;
      for (const auto& each : topic.partition_data)
        results.partition_responses.push_back(
            {.index = each.index, .error_code = wire::code_of(error)});
    }
    resume(Producer::Produced{send.id, std::move(response)});
  }
  void lose(const Producer::Send& send) {
    resume(Producer::Produced{send.id, millrace::fail(Errc::kClosed, "reset")});
  }
  void tick(Duration after) {
    now = now + after;
    resume(Producer::Tick{});
  }
  static record::BatchHeader header_of(const Producer::Send& send) {
    return record::BatchView::parse(
               send.request.topic_data.at(0).partition_data.at(0).records.bytes)
        ->header();
  }
  bool succeeded() const { return outcome && !outcome->failure; }

  MetadataCache cache;
  ProducerOptions options;
  Instant now{seconds(1)};
  int16_t level_;
  int16_t epoch = -1;
  uint64_t last_tag = 0;
  bool answers_at_once = true;
  ErrorCode add_error = ErrorCode::kNone;
  std::vector<Delivery> deliveries;
  std::vector<Producer::Send> sends;
  std::vector<int64_t> identities;  // the producer ids that came with InitProducerId
  std::vector<bool> ends;           // what was decided
  std::optional<Transaction::Outcome> outcome;
  std::optional<Transaction::Send> asked;
  std::unique_ptr<Producer> producer_;
};

TEST_F(ProducerTransactionTest, takes_records_of_an_open_transaction_only) {
  produce("early");
  ASSERT_EQ(deliveries.size(), 1);
  EXPECT_EQ(deliveries[0].error, ErrorCode::kInvalidTxnState);
  begin();
  produce("in time");
  EXPECT_EQ(deliveries.size(), 1);
  EXPECT_EQ(sends.size(), 1);
}

TEST_F(ProducerTransactionTest, marks_its_batches_and_says_whose_they_are) {
  begin();
  produce("a");
  const auto send = take_send();
  EXPECT_EQ(send.request.transactional_id, "tx");
  EXPECT_EQ(send.versions.max, 11);
  const auto header = header_of(send);
  EXPECT_TRUE(header.attributes.transactional());
  EXPECT_EQ(header.producer_id, ProducerId(7));
  EXPECT_EQ(header.producer_epoch, ProducerEpoch(0));
  EXPECT_EQ(header.base_sequence, ProducerSequence(0));
}

TEST_F(ProducerTransactionTest, sends_nothing_to_a_partition_that_is_not_part_of_it) {
  begin();
  answers_at_once = false;
  produce("a");
  EXPECT_TRUE(sends.empty()) << "CT2";
  produce("b", 1);
  answer_question();
  EXPECT_EQ(sends.size(), 1);
  answer_question();
  EXPECT_EQ(sends.size(), 2);
}

TEST_F(ProducerTransactionTest, a_commit_waits_for_every_record_and_for_no_linger) {
  options.linger = seconds(10);
  begin();
  produce("a");
  produce("b", 1);
  want(Transaction::End{.commit = true});
  ASSERT_EQ(sends.size(), 2);
  EXPECT_TRUE(ends.empty());
  answer(take_send(), ErrorCode::kNone);
  EXPECT_TRUE(ends.empty()) << "CT1";
  answer(take_send(), ErrorCode::kNone);
  EXPECT_EQ(ends, std::vector{true});
  EXPECT_TRUE(succeeded());
}

TEST_F(ProducerTransactionTest, a_record_that_fails_fails_the_others_and_the_commit) {
  begin();
  produce("a");
  produce("behind");
  produce("b", 1);
  want(Transaction::End{.commit = true});
  answer(take_send(), ErrorCode::kInvalidRecord);
  ASSERT_TRUE(outcome && outcome->failure);
  EXPECT_EQ(outcome->failure->error, ErrorCode::kInvalidRecord);
  ASSERT_EQ(deliveries.size(), 2);
  EXPECT_NE(deliveries[1].message.find("the transaction has failed"), std::string::npos);
  EXPECT_EQ(sends.size(), 1) << "that of partition 1 is under way";
  want(Transaction::End{.commit = false});
  EXPECT_TRUE(ends.empty()) << "the decision waits for what is under way";
  answer(take_send(), ErrorCode::kNone);
  EXPECT_EQ(ends, std::vector{false});
  EXPECT_TRUE(succeeded());
  EXPECT_EQ(identities.size(), 1) << "nothing is in doubt";
}

TEST_F(ProducerTransactionTest, an_abort_fails_what_is_buffered) {
  options.linger = seconds(10);
  begin();
  produce("a");
  want(Transaction::End{.commit = false});
  ASSERT_EQ(deliveries.size(), 1);
  EXPECT_NE(deliveries[0].message.find("aborted"), std::string::npos);
  EXPECT_TRUE(producer().idle());
  EXPECT_TRUE(succeeded());
  EXPECT_TRUE(ends.empty()) << "nobody has heard of it";
}

TEST_F(ProducerTransactionTest, sequences_go_on_in_the_next_transaction_of_an_epoch) {
  begin();
  produce("a");
  answer(take_send(), ErrorCode::kNone);
  want(Transaction::End{.commit = true});
  begin();
  produce("b");
  EXPECT_EQ(header_of(take_send()).base_sequence, ProducerSequence(1));
}

TEST_F(ProducerTransactionTest, what_is_under_way_when_it_is_aborted_and_lost_costs_the_epoch) {
  begin();
  produce("a");
  want(Transaction::End{.commit = false});
  lose(take_send());
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kTransactionAbortable);
  EXPECT_EQ(ends, std::vector{false});
  EXPECT_EQ(identities, (std::vector<int64_t>{-1, 7})) << "CT6";
  begin();
  produce("b");
  const auto header = header_of(take_send());
  EXPECT_EQ(header.producer_epoch, ProducerEpoch(1));
  EXPECT_EQ(header.base_sequence, ProducerSequence(0)) << "CT4";
}

TEST_F(ProducerTransactionTest, a_gap_in_sequences_costs_the_epoch) {
  begin();
  produce("a");
  answer(take_send(), ErrorCode::kOutOfOrderSequenceNumber);
  want(Transaction::End{.commit = false});
  EXPECT_TRUE(succeeded());
  EXPECT_EQ(identities.size(), 2);
}

TEST_F(ProducerTransactionTest, what_expires_unsent_fails_the_transaction_and_is_no_doubt) {
  add_error = ErrorCode::kCoordinatorLoadInProgress;
  begin();
  produce("a");
  EXPECT_TRUE(sends.empty());
  tick(options.delivery_timeout);
  EXPECT_EQ(deliveries.at(0).error, ErrorCode::kRequestTimedOut);
  want(Transaction::End{.commit = false});
  EXPECT_TRUE(succeeded());
  EXPECT_EQ(identities.size(), 1);
}

TEST_F(ProducerTransactionTest, a_fenced_producer_sends_nothing_more) {
  begin();
  produce("a");
  produce("b", 1);
  answer(take_send(), ErrorCode::kProducerFenced);
  answer(take_send(), ErrorCode::kNotLeaderOrFollower);
  tick(seconds(1));
  EXPECT_TRUE(sends.empty()) << "CT3";
  EXPECT_TRUE(producer().idle());
  produce("c");
  EXPECT_EQ(deliveries.back().error, ErrorCode::kProducerFenced);
  want(Transaction::End{.commit = false});
  ASSERT_TRUE(outcome->failure);
  EXPECT_TRUE(outcome->failure->fatal);
  EXPECT_TRUE(ends.empty());
}

class ImplicitProducerTransactionTest : public ProducerTransactionTest {
 protected:
  ImplicitProducerTransactionTest() : ProducerTransactionTest(2) {}
};

TEST_F(ImplicitProducerTransactionTest, sends_at_once_and_numbers_anew_in_each) {
  begin();
  for (int16_t round = 0; round < 3; ++round) {
    answers_at_once = false;
    produce("a");
    const auto send = take_send();
    EXPECT_EQ(send.versions.min, 12);
    EXPECT_EQ(header_of(send).producer_epoch, ProducerEpoch(round));
    EXPECT_EQ(header_of(send).base_sequence, ProducerSequence(0)) << "CT4";
    answers_at_once = true;
    answer(send, ErrorCode::kNone);
    want(Transaction::End{.commit = true});
    begin();
  }
  EXPECT_EQ(ends.size(), 3);
}

TEST_F(ImplicitProducerTransactionTest, a_doubt_costs_no_more_than_the_end_gives_anyway) {
  begin();
  produce("a");
  lose(take_send());
  want(Transaction::End{.commit = false});
  EXPECT_TRUE(succeeded());
  EXPECT_EQ(identities.size(), 1);
  begin();
  produce("b");
  EXPECT_EQ(header_of(take_send()).producer_epoch, ProducerEpoch(1));
}

}  // namespace
}  // namespace millrace::client::core
