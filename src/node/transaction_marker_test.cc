#include "node/transaction_marker.h"

#include <gtest/gtest.h>

#include "env/testing/manual_shard.h"
#include "env/testing/memory_disk.h"
#include "record/builder.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;
using enum wire::ErrorCode;

constexpr NodeId kSelf{1};
constexpr ProducerId kProducer{9};

class TransactionMarkerTest : public ::testing::Test {
 protected:
  TransactionMarkerTest() {
    state_.lead(
        {.self = kSelf},
        {.replicas = {kSelf}, .isr = {kSelf}, .leader = kSelf, .leader_epoch = LeaderEpoch(1)},
        Instant{});
  }

  void append(int16_t epoch, int32_t sequence) {
    record::BatchBuilder builder({.producer_id = kProducer,
                                  .producer_epoch = ProducerEpoch(epoch),
                                  .base_sequence = ProducerSequence(sequence),
                                  .transactional = true});
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes("value")});
    ByteBuffer batch = std::move(builder).build();
    const MutableByteView view = batch;
    ASSERT_TRUE(state_.append({&view, 1}, TimestampMs(1)).has_value());
  }
  ErrorCode mark(int16_t epoch, int16_t version, int32_t coordinator_epoch = 0) {
    return append_marker(state_,
                         {.producer_id = kProducer,
                          .producer_epoch = ProducerEpoch(epoch),
                          .commit = true,
                          .coordinator_epoch = coordinator_epoch,
                          .transaction_version = version},
                         TimestampMs(2));
  }
  void replicate() { state_.became_durable(state_.log().log_end(), state_.log().appended_bytes()); }
  int64_t log_end() const { return state_.log().log_end().value(); }
  ErrorCode check(int16_t epoch, VerificationGuards::Guard guard) {
    return check_transactional_append(
        state_, {.producer_id = kProducer, .producer_epoch = ProducerEpoch(epoch), .guard = guard});
  }
  Verification verify(int16_t epoch, int32_t sequence = 0) {
    return begin_verification(state_, {kProducer, ProducerEpoch(epoch), ProducerSequence(sequence)},
                              TimestampMs(1));
  }

  env::testing::MemoryDisk disk_;
  PartitionState state_{*storage::Log::open(disk_, "/data/t-0", {}, {}),
                        std::make_shared<const TopicSettings>()};
};

TEST_F(TransactionMarkerTest, the_last_stable_offset_passes_it_when_it_is_replicated) {
  append(0, 0);
  replicate();
  EXPECT_EQ(state_.last_stable_offset(), Offset(0));
  EXPECT_EQ(mark(1, 2), kNone);
  EXPECT_EQ(state_.last_stable_offset(), Offset(0)) << "it may still be lost";
  replicate();
  EXPECT_EQ(state_.last_stable_offset(), Offset(2));
}

// KAFKA-19999.
TEST_F(TransactionMarkerTest, of_v2_is_not_written_twice) {
  append(0, 0);
  EXPECT_EQ(mark(1, 2), kNone);
  EXPECT_EQ(mark(1, 2), kNone);
  EXPECT_EQ(log_end(), 2);
}

TEST_F(TransactionMarkerTest, of_v2_that_is_late_does_not_end_the_next_transaction) {
  append(0, 0);
  EXPECT_EQ(mark(1, 2), kNone);
  append(1, 0);
  EXPECT_EQ(mark(1, 2), kInvalidProducerEpoch);
  EXPECT_TRUE(state_.log().producers().first_unstable_offset().has_value());
}

TEST_F(TransactionMarkerTest, of_no_producer_is_refused) {
  EXPECT_EQ(mark(-1, 0), kUnknownServerError);
  EXPECT_EQ(log_end(), 0);
}

TEST_F(TransactionMarkerTest, of_older_clients_has_the_epoch_of_the_transaction) {
  append(4, 0);
  EXPECT_EQ(mark(3, 0), kInvalidProducerEpoch);
  EXPECT_EQ(mark(4, 0), kNone);
  EXPECT_FALSE(state_.log().producers().first_unstable_offset().has_value());
}

TEST_F(TransactionMarkerTest, of_an_unknown_producer_is_written) {
  EXPECT_EQ(mark(0, 0), kNone);
  EXPECT_EQ(log_end(), 1);
}

TEST_F(TransactionMarkerTest, of_a_former_coordinator_is_refused) {
  append(0, 0);
  EXPECT_EQ(mark(1, 2, 5), kNone);
  EXPECT_EQ(mark(2, 2, 4), kTransactionCoordinatorFenced);
}

// KAFKA-9144: else a former coordinator would be believed again.
TEST_F(TransactionMarkerTest, its_producer_is_remembered_for_as_long_as_after_a_batch) {
  append(0, 0);
  EXPECT_EQ(mark(1, 2, 5), kNone);
  replicate();
  state_.log().expire_producers(TimestampMs(2));
  EXPECT_EQ(mark(2, 2, 4), kTransactionCoordinatorFenced);
  state_.log().expire_producers(TimestampMs(3));
  EXPECT_EQ(mark(2, 2, 4), kNone);
}

TEST_F(TransactionMarkerTest, a_follower_writes_none) {
  state_.follow({NodeId(2), LeaderEpoch(2)});
  EXPECT_EQ(mark(0, 0), kNotLeaderOrFollower);
}

TEST_F(TransactionMarkerTest, a_transaction_opens_with_a_guard_and_goes_on_without) {
  EXPECT_EQ(check(0, VerificationGuards::Guard::kNone), kInvalidTxnState);
  const Verification needed = verify(0);
  ASSERT_TRUE(needed.needed);
  EXPECT_EQ(check(0, needed.guard), kNone);
  append(0, 0);
  EXPECT_FALSE(verify(0).needed);
  EXPECT_EQ(check(0, VerificationGuards::Guard::kNone), kNone);
}

// KAFKA-14884: the answer to the first question comes after the transaction was ended, and after
// the next one was asked about.
TEST_F(TransactionMarkerTest, a_guard_of_a_transaction_that_was_ended_meanwhile_opens_nothing) {
  const auto first = verify(0).guard;
  EXPECT_EQ(mark(0, 0), kNone);
  EXPECT_EQ(check(0, first), kConcurrentTransactions);
  const auto second = verify(0).guard;
  EXPECT_NE(first, second);
  EXPECT_EQ(check(0, first), kConcurrentTransactions);
  EXPECT_EQ(check(0, second), kNone);
}

TEST_F(TransactionMarkerTest, a_guard_of_a_leadership_that_is_over_opens_nothing) {
  const auto guard = verify(0).guard;
  state_.follow({NodeId(2), LeaderEpoch(2)});
  EXPECT_EQ(check(0, guard), kConcurrentTransactions);
}

TEST_F(TransactionMarkerTest, a_fenced_producer_is_refused_whatever_it_has) {
  EXPECT_EQ(mark(5, 2), kNone);
  EXPECT_EQ(check(4, verify(4).guard), kInvalidProducerEpoch);
}

TEST_F(TransactionMarkerTest, what_came_later_waits_for_what_came_first) {
  (void)verify(0, 5);
  (void)verify(0, 0);
  EXPECT_TRUE(state_.guards().is_ahead(kProducer, ProducerSequence(5)));
  EXPECT_FALSE(state_.guards().is_ahead(kProducer, ProducerSequence(0)));
  state_.guards().end(kProducer);
  EXPECT_FALSE(state_.guards().is_ahead(kProducer, ProducerSequence(5)));
}

TEST_F(TransactionMarkerTest, guards_that_nobody_came_back_for_are_forgotten) {
  const auto guard = verify(0).guard;
  state_.guards().expire(TimestampMs(2));
  EXPECT_EQ(check(0, guard), kConcurrentTransactions);
}

// With an epoch for each transaction the sequences of each begin at 0.
TEST_F(TransactionMarkerTest, behind_it_a_producer_of_v2_begins_at_sequence_0) {
  append(0, 0);
  EXPECT_EQ(mark(1, 2), kNone);
  record::BatchHeader header{.producer_id = kProducer, .producer_epoch = ProducerEpoch(1)};
  header.base_sequence = ProducerSequence(1);
  EXPECT_TRUE(
      std::holds_alternative<storage::SequenceError>(state_.log().producers().check(header)));
  header.base_sequence = ProducerSequence(0);
  EXPECT_TRUE(std::holds_alternative<storage::Accepted>(state_.log().producers().check(header)));
}

}  // namespace
}  // namespace millrace::node
