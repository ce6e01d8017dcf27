#include "txn/coordinator.h"

#include "txn/testing/host.h"

namespace millrace::txn {
namespace {

using namespace testing;
using enum wire::ErrorCode;

const std::set<TopicPartition> kA{at("a", 0)};
const std::set<TopicPartition> kAB{at("a", 0), at("b", 1)};

Producer with_epoch(const Producer& producer, int16_t epoch) {
  return {producer.id, ProducerEpoch(epoch)};
}

struct V1Host : Host {
  V1Host() { client = TransactionVersion::kV0; }
};

// The id's producer is at `epoch`, as its record in the log says.
Producer aged(Host& host, const std::string& id, int16_t epoch) {
  Host young;
  young.init(id);
  constexpr size_t kProducerIdAt = 2, kEpochAt = 10;  // in the value
  auto record = young.log.back();
  store_big(record.value->data() + kProducerIdAt, int64_t{7});
  store_big(record.value->data() + kEpochAt, epoch);
  host.log.push_back(record);
  host.start();
  return {ProducerId(7), ProducerEpoch(epoch)};
}

// --- InitProducerId.

TEST(InitProducerId, gives_a_new_id_its_first_epoch_and_writes_it) {
  Host host;
  const Producer producer = host.init("t");
  EXPECT_EQ(host.error, kNone);
  EXPECT_EQ(producer, (Producer{ProducerId(1000), ProducerEpoch(0)}));
  EXPECT_EQ(host.state("t"), "Empty");
  EXPECT_EQ(host.log.size(), 1u);
}

TEST(InitProducerId, a_second_producer_gets_the_next_epoch_and_the_first_is_fenced) {
  Host host;
  const Producer first = host.init("t");
  const Producer second = host.init("t");
  EXPECT_EQ(second, with_epoch(first, 1));
  EXPECT_EQ(host.add("t", first, kA), kProducerFenced);
  host.end("t", first, true);
  EXPECT_EQ(host.error, kProducerFenced);
  EXPECT_EQ(host.add("t", second, kA), kNone);
}

TEST(InitProducerId, an_open_transaction_is_aborted_first) {
  Host host;
  const Producer first = host.init("t");
  ASSERT_EQ(host.add("t", first, kAB), kNone);
  host.init("t");
  EXPECT_EQ(host.error, kConcurrentTransactions);
  EXPECT_EQ(host.state("t"), "PrepareAbort");
  ASSERT_EQ(host.markers.size(), 1u);
  EXPECT_FALSE(host.markers[0].commit);
  EXPECT_EQ(host.markers[0].partitions, kAB);
  EXPECT_GT(host.markers[0].producer.epoch, first.epoch);
  host.init("t");
  EXPECT_EQ(host.error, kConcurrentTransactions);
  host.write_markers();
  EXPECT_EQ(host.state("t"), "CompleteAbort");
  const Producer second = host.init("t");
  EXPECT_EQ(host.error, kNone);
  EXPECT_GT(second.epoch, first.epoch);
}

TEST(InitProducerId, a_fence_raises_the_epoch_once) {
  for (const auto version : {TransactionVersion::kV1, TransactionVersion::kV2}) {
    Host host;
    host.version = version;
    const Producer first = host.init("t");
    host.add("t", first, kA);
    host.init("t");
    EXPECT_EQ(host.markers.at(0).producer, with_epoch(first, 1));
    host.write_markers();
    EXPECT_EQ(host.init("t"), with_epoch(first, 2));
  }
}

// KAFKA-9666, KAFKA-14880: who is hosted begins anew from its log then.
TEST(InitProducerId, what_could_not_be_written_has_not_happened) {
  Host host;
  wire::InitProducerIdRequest request;
  request.transactional_id = "t";
  request.transaction_timeout_ms = host.timeout_ms;
  const RequestContext context{
      .ticket = {}, .moment = host.moment(), .fresh_producer_id = ProducerId(5)};
  EXPECT_EQ(host.machine->decide_init_producer_id(request, context).records.size(), 1u);
  host.start();
  EXPECT_EQ(host.state("t"), "none");
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(host.machine->decide_init_producer_id(request, context).records.size(), 1u);
    host.start();
  }
  host.init("t");
  EXPECT_EQ(host.markers.at(0).producer, with_epoch(producer, 1));
}

// KAFKA-19367: with V2 it is told the epoch under which its transaction was aborted.
TEST(InitProducerId, who_asks_amid_its_own_transaction_goes_on_with_the_epoch_of_the_abort) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  host.init("t", producer);
  EXPECT_EQ(host.error, kConcurrentTransactions);
  host.write_markers();
  EXPECT_EQ(host.init("t", producer), with_epoch(producer, 1));
  EXPECT_EQ(host.init("t", producer), with_epoch(producer, 1));
}

TEST(InitProducerId, the_epoch_that_fenced_the_last_one_is_given_to_nobody) {
  Host host;
  const Producer old = aged(host, "t", 32766);
  ASSERT_EQ(host.add("t", old, kA), kNone);
  host.init("t", old);
  host.write_markers();
  host.end("t", old, false);
  EXPECT_EQ(host.error, kProducerFenced);
  EXPECT_EQ(host.init("t", old), (Producer{ProducerId(1000), ProducerEpoch(0)}));
}

TEST(InitProducerId, a_timeout_that_is_not_positive_or_too_long_is_refused) {
  Host host;
  for (const int32_t timeout : {0, -1, 900'001}) {
    host.timeout_ms = timeout;
    host.init("t");
    EXPECT_EQ(host.error, kInvalidTransactionTimeout) << timeout;
  }
  EXPECT_TRUE(host.log.empty());
}

// KIP-360: a producer goes on after an error with the next epoch of its own.
TEST(InitProducerId, who_is_current_gets_the_next_epoch_and_the_same_one_when_it_asks_again) {
  Host host;
  const Producer first = host.init("t");
  const Producer second = host.init("t", first);
  EXPECT_EQ(second, with_epoch(first, 1));
  EXPECT_EQ(host.init("t", first), second);
  EXPECT_EQ(host.error, kNone);
}

TEST(InitProducerId, who_was_replaced_by_another_producer_is_fenced) {
  Host host;
  const Producer first = host.init("t");
  host.init("t");
  host.init("t", first);
  EXPECT_EQ(host.error, kProducerFenced);
  host.init("t", Producer{ProducerId(5), ProducerEpoch(1)});
  EXPECT_EQ(host.error, kProducerFenced);
}

TEST(InitProducerId, a_zombie_does_not_abort_the_transaction_of_its_successor) {
  Host host;
  const Producer zombie = host.init("t");
  const Producer current = host.init("t");
  host.add("t", current, kA);
  host.init("t", zombie);
  EXPECT_EQ(host.error, kProducerFenced);
  EXPECT_EQ(host.state("t"), "Ongoing");
}

TEST(InitProducerId, an_unknown_id_with_an_old_producer_gets_a_new_one) {
  Host host;
  const Producer producer = host.init("t", Producer{ProducerId(5), ProducerEpoch(3)});
  EXPECT_EQ(host.error, kNone);
  EXPECT_EQ(producer, (Producer{ProducerId(1000), ProducerEpoch(0)}));
}

TEST(InitProducerId, behind_the_last_epoch_comes_a_new_producer_id) {
  Host host;
  const Producer old = aged(host, "t", 32766);
  const Producer fresh = host.init("t");
  EXPECT_EQ(fresh, (Producer{ProducerId(1000), ProducerEpoch(0)}));
  EXPECT_EQ(host.add("t", old, kA), kInvalidProducerIdMapping);
}

TEST(InitProducerId, who_asks_again_for_the_producer_id_behind_its_last_epoch_gets_the_same) {
  Host host;
  const Producer old = aged(host, "t", 32766);
  const Producer fresh = host.init("t", old);
  EXPECT_EQ(fresh, (Producer{ProducerId(1000), ProducerEpoch(0)}));
  EXPECT_EQ(host.init("t", old), fresh)
      << static_cast<int>(host.error) << host.machine->describe_replicated();
}

// KAFKA-18660, KAFKA-20090: whatever ends it, an epoch is never negative and nobody is stuck.
TEST(InitProducerId, a_producer_is_fenced_at_each_of_the_last_epochs) {
  for (const int16_t epoch : {32764, 32765, 32766}) {
    Host host;
    const Producer old = aged(host, "t", epoch);
    ASSERT_EQ(host.add("t", old, kA), kNone) << epoch;
    host.init("t");
    EXPECT_EQ(host.error, kConcurrentTransactions);
    EXPECT_GT(host.markers.at(0).producer.epoch, old.epoch);
    host.write_markers();
    const Producer next = host.init("t");
    EXPECT_EQ(host.error, kNone);
    EXPECT_LE(next.epoch, kLastEpoch);
    const Producer with_last = with_epoch(old, 32766);
    const Producer with_new_id{ProducerId(1000), ProducerEpoch(0)};
    EXPECT_EQ(next, epoch == 32764 ? with_last : with_new_id) << epoch;
  }
}

// --- AddPartitionsToTxn.

TEST(AddPartitions, begins_a_transaction_and_extends_it) {
  Host host;
  const Producer producer = host.init("t");
  EXPECT_EQ(host.add("t", producer, kA), kNone);
  EXPECT_EQ(host.state("t"), "Ongoing");
  const TimestampMs start = host.machine->find("t")->start;
  host.advance(seconds(1));
  EXPECT_EQ(host.add("t", producer, kAB), kNone);
  EXPECT_EQ(host.machine->find("t")->partitions, kAB);
  EXPECT_EQ(host.machine->find("t")->start, start);
}

TEST(AddPartitions, what_is_in_the_transaction_is_not_written_again) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kAB);
  const size_t records = host.log.size();
  EXPECT_EQ(host.add("t", producer, kA), kNone);
  EXPECT_EQ(host.log.size(), records);
}

TEST(AddPartitions, who_is_not_the_producer_is_refused) {
  Host host;
  const Producer producer = host.init("t");
  EXPECT_EQ(host.add("", producer, kA), kInvalidRequest);
  EXPECT_EQ(host.add("u", producer, kA), kInvalidProducerIdMapping);
  EXPECT_EQ(host.add("t", {ProducerId(1), producer.epoch}, kA), kInvalidProducerIdMapping);
  EXPECT_EQ(host.add("t", with_epoch(producer, 1), kA), kProducerFenced);
}

// KAFKA-18575: it belongs to the next transaction, which cannot begin yet.
TEST(AddPartitions, a_transaction_that_is_being_ended_takes_no_partition_of_the_next) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  const Producer next = host.end("t", producer, true);
  EXPECT_EQ(next, with_epoch(producer, 1));
  EXPECT_EQ(host.add("t", next, {at("b", 0)}), kConcurrentTransactions);
  host.write_markers();
  EXPECT_EQ(host.machine->find("t")->partitions.size(), 0u);
  EXPECT_EQ(host.add("t", next, {at("b", 0)}), kNone);
}

TEST(AddPartitions, verification_names_what_is_not_in_the_transaction) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  const size_t records = host.log.size();
  const PartitionsAdded seen = host.verify("t", producer, kAB);
  EXPECT_EQ(seen.error, kNone);
  EXPECT_EQ(seen.missing, (std::set{at("b", 1)}));
  EXPECT_EQ(host.log.size(), records);
  EXPECT_EQ(host.verify("t", with_epoch(producer, 4), kA).error, kProducerFenced);
  V1Host old;
  const Producer ends = old.init("t");
  old.add("t", ends, kA);
  old.end("t", ends, true);
  EXPECT_EQ(old.verify("t", ends, kA).error, kConcurrentTransactions);
}

// --- EndTxn with V2.

TEST(EndTransactionV2, commits_and_gives_the_next_epoch) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kAB);
  const Producer next = host.end("t", producer, true);
  EXPECT_EQ(host.error, kNone);
  EXPECT_EQ(next, with_epoch(producer, 1));
  EXPECT_EQ(host.state("t"), "PrepareCommit");
  ASSERT_EQ(host.markers.size(), 1u);
  EXPECT_EQ(host.markers[0], (Markers{"t", next, true, TransactionVersion::kV2, kAB}));
  host.write_markers();
  EXPECT_EQ(host.state("t"), "CompleteCommit");
  EXPECT_EQ(host.machine->find("t")->producer, next);
}

TEST(EndTransactionV2, the_same_request_again_is_answered_alike) {
  for (const bool commit : {true, false}) {
    Host host;
    const Producer producer = host.init("t");
    host.add("t", producer, kA);
    const Producer next = host.end("t", producer, commit);
    host.end("t", producer, commit);
    EXPECT_EQ(host.error, kConcurrentTransactions);
    host.write_markers();
    EXPECT_EQ(host.end("t", producer, commit), next);
    EXPECT_EQ(host.error, kNone);
    host.end("t", producer, !commit);
    EXPECT_EQ(host.error, kInvalidTxnState);
  }
}

// KAFKA-17754: the commit of the first transaction, delayed until the third is open.
TEST(EndTransactionV2, a_late_request_decides_no_later_transaction) {
  Host host;
  const Producer first = host.init("t");
  host.add("t", first, kA);
  const Producer second = host.end("t", first, true);
  host.write_markers();
  host.add("t", second, kA);
  const Producer third = host.end("t", second, false);
  host.write_markers();
  host.add("t", third, kA);
  host.end("t", first, true);
  EXPECT_EQ(host.error, kProducerFenced);
  EXPECT_EQ(host.state("t"), "Ongoing");
  EXPECT_TRUE(host.markers.empty());
}

TEST(EndTransactionV2, without_a_partition_an_abort_raises_the_epoch_and_a_commit_is_refused) {
  Host host;
  const Producer producer = host.init("t");
  host.end("t", producer, true);
  EXPECT_EQ(host.error, kInvalidTxnState);
  Producer next = host.end("t", producer, false);
  EXPECT_EQ(host.error, kNone);
  EXPECT_EQ(next, with_epoch(producer, 1));
  ASSERT_EQ(host.markers.size(), 1u);
  EXPECT_TRUE(host.markers[0].partitions.empty());
  host.write_markers();
  EXPECT_EQ(host.state("t"), "CompleteAbort");
  next = host.end("t", next, false);
  EXPECT_EQ(next, with_epoch(producer, 2));
  host.write_markers();
  host.end("t", next, true);
  EXPECT_EQ(host.error, kInvalidTxnState);
}

TEST(EndTransactionV2, after_a_commit_the_next_one_may_be_aborted_without_a_partition) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  Producer next = host.end("t", producer, true);
  host.write_markers();
  next = host.end("t", next, false);
  EXPECT_EQ(host.error, kNone);
  EXPECT_EQ(next, with_epoch(producer, 2));
}

TEST(EndTransactionV2, behind_the_last_epoch_comes_a_new_producer_id_from_the_end_on) {
  Host host;
  const Producer old = aged(host, "t", 32766);
  host.add("t", old, kA);
  const Producer fresh = host.end("t", old, true);
  EXPECT_EQ(fresh, (Producer{ProducerId(1000), ProducerEpoch(0)}));
  EXPECT_EQ(host.markers.at(0).producer, with_epoch(old, 32767));
  EXPECT_EQ(host.add("t", fresh, kA), kConcurrentTransactions);
  host.start();  // the coordinator moves: the markers are written all the same
  host.write_markers();
  EXPECT_EQ(host.machine->find("t")->producer, fresh);
  EXPECT_EQ(host.end("t", old, true), fresh) << "asked again";
  EXPECT_EQ(host.error, kNone);
  EXPECT_EQ(host.add("t", fresh, kA), kNone);
}

TEST(EndTransactionV2, who_is_not_the_producer_is_refused) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  host.end("", producer, true);
  EXPECT_EQ(host.error, kInvalidRequest);
  host.end("u", producer, true);
  EXPECT_EQ(host.error, kInvalidProducerIdMapping);
  host.end("t", {ProducerId(1), producer.epoch}, true);
  EXPECT_EQ(host.error, kInvalidProducerIdMapping);
  for (const int16_t epoch : {-1, 1, 32767}) {
    host.end("t", with_epoch(producer, epoch), true);
    EXPECT_EQ(host.error, kProducerFenced) << epoch;
  }
}

// --- EndTxn of older clients.

TEST(EndTransactionV1, commits_in_the_same_epoch) {
  V1Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  EXPECT_EQ(host.end("t", producer, true).id, kNoProducerId);
  EXPECT_EQ(host.error, kNone);
  EXPECT_EQ(host.markers.at(0), (Markers{"t", producer, true, TransactionVersion::kV0, kA}));
  host.end("t", producer, true);
  EXPECT_EQ(host.error, kConcurrentTransactions);
  host.write_markers();
  host.end("t", producer, true);
  EXPECT_EQ(host.error, kNone);
  host.end("t", producer, false);
  EXPECT_EQ(host.error, kInvalidTxnState);
  EXPECT_EQ(host.add("t", producer, kA), kNone);
}

TEST(EndTransactionV1, without_a_partition_there_is_nothing_to_end) {
  V1Host host;
  const Producer producer = host.init("t");
  for (const bool commit : {true, false}) {
    host.end("t", producer, commit);
    EXPECT_EQ(host.error, kInvalidTxnState);
  }
}

TEST(EndTransactionV1, another_epoch_is_fenced) {
  V1Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  host.end("t", with_epoch(producer, 1), true);
  EXPECT_EQ(host.error, kProducerFenced);
}

// --- Markers.

TEST(Complete, happens_once_and_only_for_the_transaction_that_the_markers_are_of) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  const Producer next = host.end("t", producer, true);
  const Markers markers = host.markers.at(0);
  host.write_markers();
  const size_t records = host.log.size();
  EXPECT_TRUE(host.machine->complete(markers, host.moment()).records.empty());
  host.add("t", next, kA);
  host.end("t", next, false);
  EXPECT_TRUE(host.machine->complete(markers, host.moment()).records.empty());
  EXPECT_EQ(host.log.size(), records + 2);
}

TEST(Complete, a_decided_transaction_goes_on_when_the_coordinator_moves) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kAB);
  host.end("t", producer, true);
  const auto before = host.markers;
  host.start();
  EXPECT_EQ(host.markers, before);
  host.write_markers();
  EXPECT_EQ(host.state("t"), "CompleteCommit");
}

// --- Time.

TEST(Timeout, an_open_transaction_is_aborted_and_its_producer_fenced) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  host.advance(milliseconds(59'999));
  EXPECT_EQ(host.state("t"), "Ongoing");
  host.advance(milliseconds(1));
  EXPECT_EQ(host.state("t"), "PrepareAbort");
  host.write_markers();
  EXPECT_EQ(host.add("t", producer, kA), kProducerFenced);
  host.client = TransactionVersion::kV0;
  host.end("t", producer, false);
  EXPECT_EQ(host.error, kProducerFenced);
}

// KIP-890: as if it had asked for it, so that it may go on.
TEST(Timeout, with_v2_its_producer_may_abort_and_go_on_but_not_commit) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  host.advance(seconds(60));
  host.write_markers();
  host.end("t", producer, true);
  EXPECT_EQ(host.error, kInvalidTxnState);
  const Producer next = host.end("t", producer, false);
  EXPECT_EQ(host.error, kNone);
  EXPECT_EQ(next, with_epoch(producer, 1));
  EXPECT_EQ(host.add("t", next, kA), kNone);
}

TEST(Timeout, counts_from_the_first_partition_and_goes_on_through_a_restart) {
  Host host;
  const Producer producer = host.init("t");
  host.advance(seconds(100));
  host.add("t", producer, kA);
  host.advance(seconds(30));
  host.add("t", producer, kAB);
  host.start();
  host.advance(seconds(29));
  EXPECT_EQ(host.state("t"), "Ongoing");
  host.advance(seconds(1));
  EXPECT_EQ(host.state("t"), "PrepareAbort");
}

TEST(Timeout, an_ended_transaction_has_none) {
  Host host;
  const Producer producer = host.init("t");
  host.add("t", producer, kA);
  host.end("t", producer, true);
  host.advance(seconds(120));
  EXPECT_EQ(host.state("t"), "PrepareCommit");
}

TEST(Expiry, an_id_that_was_silent_for_long_is_forgotten_unless_it_is_at_work) {
  Host host;
  host.init("silent");
  const Producer producer = host.init("busy");
  host.add("busy", producer, kA);
  host.end("busy", producer, true);
  host.advance(seconds(604'800 + 3600));
  EXPECT_EQ(host.state("silent"), "none");
  EXPECT_EQ(host.state("busy"), "PrepareCommit");
  host.start();
  EXPECT_EQ(host.state("silent"), "none");
}

// --- Reads.

TEST(ListTransactions, filters_are_joined_by_and) {
  Host host;
  const Producer one = host.init("one");
  host.init("two");
  host.add("one", one, kA);
  host.advance(seconds(10));
  const auto ids = [&](const wire::ListTransactionsRequest& request) {
    std::string text;
    for (const auto& each : host.machine->list_transactions(request, host.wall))
      text += each.transactional_id + " ";
    return text;
  };
  EXPECT_EQ(ids({}), "one two ");
  EXPECT_EQ(ids({.state_filters = {"Empty"}}), "two ");
  EXPECT_EQ(ids({.state_filters = {"Empty"}, .producer_id_filters = {one.id.value()}}), "");
  EXPECT_EQ(ids({.duration_filter = 9'000}), "one two ") << "it has never begun";
  EXPECT_EQ(ids({.duration_filter = 10'000}), "two ");
}

TEST(DescribeTransactions, shows_the_partitions_of_an_open_transaction) {
  Host host;
  host.add("t", host.init("t"), {at("a", 0), at("a", 3), at("b", 1)});
  const auto shown = host.machine->describe_transaction("t");
  EXPECT_EQ(shown.transaction_state, "Ongoing");
  EXPECT_EQ(shown.transaction_start_time_ms, host.wall.value());
  ASSERT_EQ(shown.topics.size(), 2u);
  EXPECT_EQ(shown.topics[0].partitions, (std::vector{0, 3}));
  EXPECT_EQ(host.machine->describe_transaction("u").error_code,
            wire::code_of(kTransactionalIdNotFound));
}

TEST(Coordinator, a_restart_gives_the_same_state) {
  Host host;
  Producer producer = host.init("t");
  for (const bool commit : {true, false, true}) {
    host.add("t", producer, kAB);
    producer = host.end("t", producer, commit);
    host.write_markers();
  }
  host.add("t", producer, kA);
  const std::string before = host.machine->describe_replicated();
  host.start();
  EXPECT_EQ(host.machine->describe_replicated(), before);
}

}  // namespace
}  // namespace millrace::txn
