#include "client/core/transaction.h"

#include <gtest/gtest.h>

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

const TopicPartition kA{"a", PartitionIndex(0)};
const TopicPartition kB{"b", PartitionIndex(1)};
constexpr NodeId kCoordinator{2};
constexpr NodeId kGroupCoordinator{3};

// A transaction whose questions are answered one by one.
class TransactionTest : public ::testing::Test {
 protected:
  explicit TransactionTest(int16_t level = 0) : level_(level) {}

  void want(Transaction::Event event) {
    action = transaction.resume(std::move(event), now);
    note();
  }
  void answer(Transaction::Answer what) { want(Transaction::Answered{std::move(what)}); }
  void lose(Errc code = Errc::kClosed) {
    want(Transaction::Answered{millrace::fail(code, "gone")});
  }
  void tick(Duration after = milliseconds(100)) {
    now = now + after;
    want(Transaction::Tick{});
  }
  // The request that is to be sent now.
  template <class Question>
  Question asked() {
    EXPECT_TRUE(action.send) << transaction.describe();
    if (!action.send) return {};
    const auto* question = std::get_if<Question>(&action.send->question);
    EXPECT_TRUE(question) << "another question: " << action.send->question.index();
    return question ? *question : Question{};
  }
  bool succeeded() const { return outcome && !outcome->failure; }
  bool failed(bool fatal) const {
    return outcome && outcome->failure && outcome->failure->fatal == fatal;
  }

  void find(NodeId node = kCoordinator) {
    asked<Transaction::FindCoordinator>();
    answer(FoundCoordinator{.node = node, .error = 0, .message = {}});
  }
  void identify(int64_t id, int16_t epoch) {
    answer(wire::InitProducerIdResponse{.producer_id = id, .producer_epoch = epoch});
  }
  void init() {
    want(Transaction::Init{});
    find();
    asked<Transaction::AskFeatures>();
    wire::ApiVersionsResponse features;
    features.finalized_features.push_back(
        {.name = "transaction.version", .max_version_level = level_, .min_version_level = level_});
    answer(features);
    asked<wire::InitProducerIdRequest>();
    identify(7, 0);
    EXPECT_TRUE(succeeded());
    EXPECT_TRUE(transaction.is_ready());
  }
  void begin() {
    init();
    want(Transaction::Begin{});
  }
  void include(const TopicPartition& partition) {
    want(Transaction::Include{{partition}});
    asked<wire::AddPartitionsToTxnRequest>();
    answer_added({{partition, ErrorCode::kNone}});
  }
  void answer_added(const std::map<TopicPartition, ErrorCode>& errors) {
    wire::AddPartitionsToTxnResponse response;
    for (const auto& [partition, error] : errors)
      response.results_by_topic_v3_and_below.push_back(
          {.name = partition.topic,
           .results_by_partition = {{.partition_index = partition.partition.value(),
                                     .partition_error_code = wire::code_of(error)}}});
    answer(response);
  }
  void end(bool commit) {
    want(Transaction::End{commit});
    want(Transaction::Drained{});
  }
  void answer_end(ErrorCode error, int64_t id = -1, int16_t epoch = -1) {
    answer(wire::EndTxnResponse{
        .error_code = wire::code_of(error), .producer_id = id, .producer_epoch = epoch});
  }
  void answer_offsets(ErrorCode error) {
    wire::TxnOffsetCommitResponse response;
    response.topics.push_back({.name = "a", .partitions = {{.error_code = wire::code_of(error)}}});
    answer(response);
  }
  static Transaction::SendOffsets offsets() {
    return {{.group = "g",
             .member_id = "m",
             .generation = 4,
             .instance_id = "i",
             .offsets = {{kA, Offset(9)}}}};
  }

  int16_t level_;
  Transaction transaction{TransactionOptions{.id = "tx"}};
  Instant now{seconds(1)};
  Transaction::Action action;
  std::optional<Transaction::Outcome> outcome;  // the last

 private:
  void note() {
    if (action.outcome) outcome = action.outcome;
  }
};

TEST_F(TransactionTest, finds_its_coordinator_and_asks_it_who_the_producer_is) {
  want(Transaction::Init{});
  EXPECT_EQ(asked<Transaction::FindCoordinator>().key, "tx");
  EXPECT_FALSE(asked<Transaction::FindCoordinator>().of_group);
  find();
  answer(wire::ApiVersionsResponse{});
  EXPECT_EQ(action.send->to, kCoordinator);
  const auto request = asked<wire::InitProducerIdRequest>();
  EXPECT_EQ(request.transactional_id, "tx");
  EXPECT_EQ(request.transaction_timeout_ms, 60'000);
  EXPECT_EQ(request.producer_id, -1);
  identify(7, 3);
  EXPECT_TRUE(succeeded());
  EXPECT_EQ(transaction.identity(), (ProducerIdentity{ProducerId(7), ProducerEpoch(3)}));
}

TEST_F(TransactionTest, asks_the_same_again_of_whoever_coordinates_now) {
  want(Transaction::Init{});
  find();
  answer(wire::ApiVersionsResponse{});
  for (const auto error : {ErrorCode::kNotCoordinator, ErrorCode::kCoordinatorNotAvailable}) {
    answer(wire::InitProducerIdResponse{.error_code = wire::code_of(error)});
    EXPECT_FALSE(action.send) << "there is a pause";
    EXPECT_EQ(action.wake, now + milliseconds(100));
    tick();
    find();
    asked<wire::InitProducerIdRequest>();
  }
  lose();
  tick();
  find(NodeId(5));
  EXPECT_EQ(action.send->to, NodeId(5));
  for (const auto error :
       {ErrorCode::kCoordinatorLoadInProgress, ErrorCode::kConcurrentTransactions}) {
    answer(wire::InitProducerIdResponse{.error_code = wire::code_of(error)});
    tick();
    asked<wire::InitProducerIdRequest>();
  }
  identify(7, 0);
  EXPECT_TRUE(succeeded());
}

TEST_F(TransactionTest, a_coordinator_that_never_answers_is_given_up) {
  want(Transaction::Init{});
  for (int i = 0; i < 10 && !outcome; ++i) {
    find();
    lose();
    tick(seconds(10));
  }
  ASSERT_TRUE(failed(/*fatal=*/true));
  EXPECT_EQ(outcome->failure->error, ErrorCode::kRequestTimedOut);
}

TEST_F(TransactionTest, an_id_that_is_refused_is_fatal) {
  for (const auto error :
       {ErrorCode::kTransactionalIdAuthorizationFailed, ErrorCode::kInvalidTransactionTimeout,
        ErrorCode::kProducerFenced, ErrorCode::kTransactionAbortable}) {
    transaction = Transaction({.id = "tx"});
    want(Transaction::Init{});
    find();
    answer(wire::ApiVersionsResponse{});
    answer(wire::InitProducerIdResponse{.error_code = wire::code_of(error)});
    ASSERT_TRUE(failed(/*fatal=*/true));
    EXPECT_EQ(outcome->failure->error, error);
    want(Transaction::Tick{});
    EXPECT_FALSE(action.send) << "CT3";
  }
}

TEST_F(TransactionTest, a_partition_is_part_of_it_once_the_coordinator_says_so) {
  begin();
  want(Transaction::Include{{kA}});
  const auto request = asked<wire::AddPartitionsToTxnRequest>();
  EXPECT_EQ(request.v3_and_below_producer_id, 7);
  EXPECT_EQ(request.v3_and_below_topics.at(0).name, "a");
  EXPECT_FALSE(transaction.includes(kA)) << "CT2";
  want(Transaction::Include{{kA, kB}});
  EXPECT_FALSE(action.send) << "one question at a time";
  answer_added({{kA, ErrorCode::kNone}});
  EXPECT_TRUE(transaction.includes(kA));
  EXPECT_EQ(asked<wire::AddPartitionsToTxnRequest>().v3_and_below_topics.size(), 1);
  answer_added({{kB, ErrorCode::kConcurrentTransactions}});
  EXPECT_EQ(action.wake, now + milliseconds(20));
  tick();
  answer_added({{kB, ErrorCode::kNone}});
  EXPECT_TRUE(transaction.includes(kB));
}

TEST_F(TransactionTest, a_partition_that_may_not_be_added_can_only_be_aborted) {
  begin();
  want(Transaction::Include{{kA, kB}});
  answer_added(
      {{kA, ErrorCode::kOperationNotAttempted}, {kB, ErrorCode::kTopicAuthorizationFailed}});
  ASSERT_TRUE(transaction.failure());
  EXPECT_EQ(transaction.failure()->error, ErrorCode::kTopicAuthorizationFailed);
  EXPECT_FALSE(transaction.takes_records());
  end(true);
  EXPECT_TRUE(failed(/*fatal=*/false));
  EXPECT_EQ(outcome->failure->error, ErrorCode::kTopicAuthorizationFailed);
  end(false);
  EXPECT_FALSE(action.send) << "the coordinator knows of no transaction";
  EXPECT_TRUE(succeeded());
  EXPECT_TRUE(transaction.is_ready());
}

TEST_F(TransactionTest, is_committed_when_its_records_are_there) {
  begin();
  include(kA);
  want(Transaction::End{.commit = true});
  EXPECT_FALSE(action.send) << "CT1";
  EXPECT_TRUE(transaction.awaits_records());
  want(Transaction::Drained{});
  EXPECT_TRUE(asked<wire::EndTxnRequest>().committed);
  answer_end(ErrorCode::kNone);
  EXPECT_TRUE(succeeded());
  want(Transaction::Begin{});
  EXPECT_FALSE(transaction.includes(kA)) << "it is another one";
  EXPECT_EQ(transaction.identity(), (ProducerIdentity{ProducerId(7), ProducerEpoch(0)}));
}

TEST_F(TransactionTest, without_records_it_ends_unasked) {
  begin();
  end(true);
  EXPECT_FALSE(action.send);
  EXPECT_TRUE(succeeded());
}

TEST_F(TransactionTest, a_record_that_fails_while_it_is_committed_stops_that) {
  begin();
  include(kA);
  want(Transaction::End{.commit = true});
  want(Transaction::RecordFailed{ErrorCode::kInvalidRecord, "no"});
  EXPECT_FALSE(action.send) << "CT1";
  ASSERT_TRUE(failed(/*fatal=*/false));
  EXPECT_EQ(outcome->failure->message, "no");
  end(false);
  EXPECT_FALSE(asked<wire::EndTxnRequest>().committed);
  answer_end(ErrorCode::kNone);
  EXPECT_TRUE(succeeded());
  EXPECT_TRUE(transaction.is_ready());
  EXPECT_FALSE(transaction.failure());
}

TEST_F(TransactionTest, the_decision_is_repeated_until_it_is_answered) {
  begin();
  include(kA);
  end(true);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(asked<wire::EndTxnRequest>().committed) << "CT5";
    lose();
    tick();
    find();
  }
  answer_end(ErrorCode::kConcurrentTransactions);
  tick();
  EXPECT_TRUE(asked<wire::EndTxnRequest>().committed);
  answer_end(ErrorCode::kNone);
  EXPECT_TRUE(succeeded());
}

TEST_F(TransactionTest, nobody_knows_how_one_ended_whose_end_is_never_answered) {
  begin();
  include(kA);
  end(true);
  outcome.reset();
  for (int i = 0; i < 10 && !outcome; ++i) {
    lose();
    tick(seconds(10));
    if (!outcome) find();
  }
  ASSERT_TRUE(failed(/*fatal=*/true));
  EXPECT_TRUE(outcome->failure->message.starts_with("nobody knows whether"));
}

TEST_F(TransactionTest, who_is_fenced_asks_nothing_more) {
  for (const auto error : {ErrorCode::kProducerFenced, ErrorCode::kInvalidProducerEpoch}) {
    transaction = Transaction({.id = "tx"});
    begin();
    include(kA);
    end(true);
    answer_end(error);
    ASSERT_TRUE(failed(/*fatal=*/true));
    EXPECT_NE(outcome->failure->message.find("another producer"), std::string::npos);
    end(false);
    EXPECT_TRUE(failed(/*fatal=*/true));
    EXPECT_FALSE(action.send) << "CT3";
    EXPECT_FALSE(action.wake);
  }
}

TEST_F(TransactionTest, a_commit_that_is_refused_may_be_abortable) {
  begin();
  include(kA);
  end(true);
  answer_end(ErrorCode::kTransactionAbortable);
  EXPECT_TRUE(failed(/*fatal=*/false));
  end(false);
  EXPECT_FALSE(asked<wire::EndTxnRequest>().committed);
  answer_end(ErrorCode::kTransactionAbortable);
  EXPECT_TRUE(failed(/*fatal=*/true)) << "what else could be done?";
}

TEST_F(TransactionTest, a_doubt_costs_the_epoch) {
  begin();
  include(kA);
  want(Transaction::RecordFailed{ErrorCode::kRequestTimedOut, "late", /*maybe_written=*/true});
  end(false);
  EXPECT_FALSE(asked<wire::EndTxnRequest>().committed);
  answer_end(ErrorCode::kNone);
  const auto request = asked<wire::InitProducerIdRequest>();
  EXPECT_EQ(request.producer_id, 7) << "CT6";
  EXPECT_EQ(request.producer_epoch, 0);
  answer(wire::InitProducerIdResponse{.error_code =
                                          wire::code_of(ErrorCode::kConcurrentTransactions)});
  tick();
  asked<wire::InitProducerIdRequest>();
  EXPECT_FALSE(transaction.is_ready());
  identify(7, 1);
  EXPECT_TRUE(succeeded());
  EXPECT_EQ(transaction.identity().epoch, ProducerEpoch(1));
}

TEST_F(TransactionTest, a_doubt_that_comes_while_it_is_aborted_costs_the_epoch_too) {
  begin();
  include(kA);
  want(Transaction::End{.commit = false});
  want(Transaction::RecordFailed{ErrorCode::kTransactionAbortable, "", /*maybe_written=*/true});
  want(Transaction::Drained{});
  answer_end(ErrorCode::kNone);
  asked<wire::InitProducerIdRequest>();
}

TEST_F(TransactionTest, an_unheard_question_may_have_begun_it) {
  begin();
  want(Transaction::Include{{kA}});
  lose();
  want(Transaction::End{.commit = false});
  want(Transaction::Drained{});
  tick();
  find();
  EXPECT_FALSE(asked<wire::EndTxnRequest>().committed);
  answer_end(ErrorCode::kInvalidTxnState);
  EXPECT_TRUE(succeeded()) << "it has not";
}

TEST_F(TransactionTest, an_answer_that_comes_too_late_changes_no_abort) {
  begin();
  want(Transaction::Include{{kA}});
  end(false);
  EXPECT_FALSE(action.send);
  answer_added({{kA, ErrorCode::kTopicAuthorizationFailed}});
  EXPECT_FALSE(failed(false));
  EXPECT_TRUE(succeeded()) << "and nothing was begun";
}

TEST_F(TransactionTest, a_record_that_its_producer_may_not_write_at_all_is_fatal) {
  begin();
  include(kA);
  want(Transaction::RecordFailed{ErrorCode::kProducerFenced, ""});
  ASSERT_TRUE(transaction.failure());
  EXPECT_TRUE(transaction.failure()->fatal);
  end(false);
  EXPECT_FALSE(action.send) << "CT3";
}

TEST_F(TransactionTest, offsets_of_a_group_are_added_and_then_committed_with_their_member) {
  begin();
  want(offsets());
  EXPECT_EQ(asked<wire::AddOffsetsToTxnRequest>().group_id, "g");
  answer(wire::AddOffsetsToTxnResponse{});
  EXPECT_TRUE(asked<Transaction::FindCoordinator>().of_group);
  find(kGroupCoordinator);
  EXPECT_EQ(action.send->to, kGroupCoordinator);
  const auto request = asked<wire::TxnOffsetCommitRequest>();
  EXPECT_EQ(request.member_id, "m");
  EXPECT_EQ(request.generation_id, 4);
  EXPECT_EQ(request.group_instance_id, "i");
  EXPECT_EQ(request.topics.at(0).partitions.at(0).committed_offset, 9);
  answer_offsets(ErrorCode::kNotCoordinator);
  tick();
  find(NodeId(4));
  EXPECT_EQ(action.send->to, NodeId(4)) << "the group's coordinator has moved";
  answer_offsets(ErrorCode::kNone);
  EXPECT_TRUE(succeeded());
  end(true);
  EXPECT_EQ(action.send->to, kCoordinator);
  asked<wire::EndTxnRequest>();
}

TEST_F(TransactionTest, a_member_that_is_out_of_its_group_can_only_abort) {
  for (const auto error :
       {ErrorCode::kIllegalGeneration, ErrorCode::kUnknownMemberId, ErrorCode::kFencedInstanceId}) {
    transaction = Transaction({.id = "tx"});
    begin();
    want(offsets());
    answer(wire::AddOffsetsToTxnResponse{});
    find(kGroupCoordinator);
    answer_offsets(error);
    EXPECT_TRUE(failed(/*fatal=*/false));
    end(false);
    asked<wire::EndTxnRequest>();
  }
}

TEST_F(TransactionTest, a_broker_that_cannot_serve_it_is_fatal) {
  want(Transaction::Init{});
  find();
  answer(wire::ApiVersionsResponse{});
  lose(Errc::kUnsupported);
  EXPECT_TRUE(failed(/*fatal=*/true));
}

TEST_F(TransactionTest, what_makes_no_sense_is_refused_and_changes_nothing) {
  end(true);
  EXPECT_TRUE(failed(/*fatal=*/false));
  want(offsets());
  EXPECT_TRUE(failed(/*fatal=*/false));
  init();
  want(Transaction::Init{});
  EXPECT_TRUE(failed(/*fatal=*/false));
  EXPECT_TRUE(transaction.is_ready());
}

class ImplicitTransactionTest : public TransactionTest {
 protected:
  ImplicitTransactionTest() : TransactionTest(2) {}
};

TEST_F(ImplicitTransactionTest, partitions_are_part_of_it_by_being_written) {
  begin();
  want(Transaction::Include{{kA}});
  EXPECT_FALSE(action.send);
  EXPECT_TRUE(transaction.includes(kA));
  EXPECT_EQ(transaction.protocol(), TransactionProtocol::kImplicit);
}

TEST_F(ImplicitTransactionTest, each_end_gives_the_next_epoch) {
  begin();
  for (int16_t epoch = 1; epoch < 4; ++epoch) {
    want(Transaction::Include{{kA}});
    end(epoch % 2 == 0);
    EXPECT_EQ(asked<wire::EndTxnRequest>().producer_epoch, epoch - 1);
    answer_end(ErrorCode::kNone, 7, epoch);
    EXPECT_TRUE(succeeded());
    EXPECT_EQ(transaction.identity().epoch, ProducerEpoch(epoch));
    want(Transaction::Begin{});
  }
}

TEST_F(ImplicitTransactionTest, a_doubt_needs_no_epoch_but_that_of_the_end) {
  begin();
  want(Transaction::Include{{kA}});
  want(Transaction::RecordFailed{ErrorCode::kRequestTimedOut, "", /*maybe_written=*/true});
  end(false);
  answer_end(ErrorCode::kNone, 8, 0);
  EXPECT_TRUE(succeeded());
  EXPECT_EQ(transaction.identity(), (ProducerIdentity{ProducerId(8), ProducerEpoch(0)}));
}

TEST_F(ImplicitTransactionTest, an_end_that_gives_no_epoch_is_followed_by_the_question_for_one) {
  begin();
  want(Transaction::Include{{kA}});
  end(true);
  answer_end(ErrorCode::kNone);
  asked<wire::InitProducerIdRequest>();
  identify(7, 1);
  EXPECT_TRUE(succeeded());
}

TEST_F(ImplicitTransactionTest, one_whose_time_is_over_is_aborted_and_the_next_one_begins) {
  begin();
  want(Transaction::Include{{kA}});
  end(true);
  answer_end(ErrorCode::kInvalidTxnState);
  EXPECT_TRUE(failed(/*fatal=*/false));
  end(false);
  EXPECT_FALSE(asked<wire::EndTxnRequest>().committed);
  answer_end(ErrorCode::kNone, 7, 1);
  EXPECT_TRUE(succeeded());
  EXPECT_TRUE(transaction.is_ready());
}

TEST_F(ImplicitTransactionTest, offsets_are_part_of_it_by_being_committed) {
  begin();
  want(offsets());
  find(kGroupCoordinator);
  asked<wire::TxnOffsetCommitRequest>();
  answer_offsets(ErrorCode::kGroupAuthorizationFailed);
  EXPECT_TRUE(failed(/*fatal=*/false));
  end(false);
  asked<wire::EndTxnRequest>();
}

TEST(TransactionProtocol, decides_which_versions_are_spoken) {
  using enum TransactionProtocol;
  using wire::ApiKey;
  EXPECT_EQ(versions_for(kExplicit, ApiKey::kProduce).max, 11);
  EXPECT_EQ(versions_for(kImplicit, ApiKey::kProduce).min, 12);
  EXPECT_EQ(versions_for(kExplicit, ApiKey::kEndTxn).max, 4);
  EXPECT_EQ(versions_for(kImplicit, ApiKey::kEndTxn).min, 5);
  EXPECT_EQ(versions_for(kExplicit, ApiKey::kTxnOffsetCommit).max, 4);
  EXPECT_EQ(versions_for(kImplicit, ApiKey::kTxnOffsetCommit).min, 5);
  EXPECT_EQ(versions_for(kExplicit, ApiKey::kAddPartitionsToTxn).max, 3) << "later ones: brokers";
}

}  // namespace
}  // namespace millrace::client::core
