#include "share/share_coordinator.h"

#include <gtest/gtest.h>

#include "share/testing/coordinator_host.h"

namespace millrace::share {
namespace {

using namespace testing;
using enum DeliveryState;
using Batches = std::vector<StateBatch>;

const SharePartitionKey kKey = key_of(1);

PersistedState done_with(std::pair<int64_t, int64_t> offsets, int64_t start = -1) {
  return {.state_epoch = -1,
          .start_offset = Offset(start),
          .delivery_complete_count = 0,
          .batches = {batch(offsets, kAcknowledged, 1)}};
}

class ShareCoordinatorTest : public ::testing::Test {
 protected:
  ErrorCode write(PersistedState state, const SharePartitionKey& key = kKey) {
    return host_.ask(key, WriteState{std::move(state)}).error;
  }
  ErrorCode read(int32_t leader_epoch) {
    return host_.ask(kKey, ReadState{LeaderEpoch(leader_epoch)}).error;
  }
  const PersistedState& state() { return host_.machine->find(kKey)->state; }
  StateRecord last_record() { return **parse_record(host_.log.back()); }

  CoordinatorHost host_{{.updates_per_snapshot = 3}};
};

// --- Initialising.

TEST_F(ShareCoordinatorTest, what_is_initialised_has_a_start_and_no_batches) {
  EXPECT_EQ(host_.initialize(kKey, 2, 100), ErrorCode::kNone);
  const Answer read = host_.ask(kKey, ReadState{});
  EXPECT_EQ(read.state, (PersistedState{.state_epoch = 2, .start_offset = Offset(100)}));
  const Answer summary = host_.ask(kKey, ReadStateSummary{});
  EXPECT_EQ(summary.state.leader_epoch, LeaderEpoch(0));
  EXPECT_EQ(summary.state.delivery_complete_count, 0) << "all behind a known start can be counted";
}

TEST_F(ShareCoordinatorTest, without_a_start_nothing_can_be_counted) {
  EXPECT_EQ(host_.initialize(kKey), ErrorCode::kNone);
  EXPECT_EQ(state().delivery_complete_count, -1);
}

TEST_F(ShareCoordinatorTest, who_initialises_again_begins_anew) {
  host_.initialize(kKey, 0, 0);
  write(done_with({5, 9}));
  EXPECT_EQ(host_.initialize(kKey, 1, 50), ErrorCode::kNone);
  EXPECT_EQ(state().start_offset, Offset(50));
  EXPECT_EQ(state().batches, Batches{});
  EXPECT_EQ(host_.machine->find(kKey)->epoch, 1);
}

TEST_F(ShareCoordinatorTest, a_lower_state_epoch_is_fenced_but_for_none) {
  host_.initialize(kKey, 5);
  EXPECT_EQ(host_.initialize(kKey, 4), ErrorCode::kFencedStateEpoch);
  EXPECT_EQ(host_.initialize(kKey, -1), ErrorCode::kNone);
  EXPECT_EQ(state().state_epoch, -1);
  EXPECT_EQ(host_.initialize(kKey, 4), ErrorCode::kFencedStateEpoch) << "the highest counts";
}

// --- Checks, in Kafka's order.

TEST_F(ShareCoordinatorTest, a_negative_partition_is_no_request) {
  const auto key = key_of(1, -1);
  for (const Question& question :
       {Question(InitializeState{}), Question(ReadState{}), Question(WriteState{}),
        Question(DeleteState{}), Question(ReadStateSummary{})}) {
    const Answer answer = host_.ask(key, question);
    EXPECT_EQ(answer.error, ErrorCode::kInvalidRequest);
    EXPECT_EQ(answer.message, "The partition id cannot be a negative number.");
  }
}

TEST_F(ShareCoordinatorTest, what_is_not_initialised_is_neither_read_nor_written) {
  const Answer written = host_.ask(kKey, WriteState{});
  EXPECT_EQ(written.error, ErrorCode::kInvalidRequest);
  EXPECT_EQ(written.message, "Write operation on uninitialized share partition not allowed.");
  const Answer read = host_.ask(kKey, ReadState{});
  EXPECT_EQ(read.error, ErrorCode::kInvalidRequest);
  EXPECT_EQ(read.message, "Read operation on uninitialized share partition not allowed.");
}

TEST_F(ShareCoordinatorTest, the_summary_of_what_is_not_initialised_says_so) {
  const Answer answer = host_.ask(kKey, ReadStateSummary{});
  EXPECT_EQ(answer.error, ErrorCode::kNone);
  EXPECT_EQ(answer.state, PersistedState{.leader_epoch = LeaderEpoch(0)});
}

TEST_F(ShareCoordinatorTest, of_a_topic_or_partition_that_is_gone_nothing_is_known) {
  const auto beyond = key_of(1, 4);
  EXPECT_EQ(host_.initialize(beyond), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(host_.ask(beyond, DeleteState{}).error, ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(host_.ask(beyond, ReadStateSummary{}).error, ErrorCode::kUnknownTopicOrPartition);
  host_.initialize(kKey);
  host_.topics.gone = {kKey.topic};
  EXPECT_EQ(write(done_with({0, 1})), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(read(3), ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(ShareCoordinatorTest, a_leader_of_an_earlier_epoch_is_fenced) {
  host_.initialize(kKey);
  EXPECT_EQ(read(5), ErrorCode::kNone);
  EXPECT_EQ(read(4), ErrorCode::kFencedLeaderEpoch);
  PersistedState late = done_with({0, 1});
  late.leader_epoch = LeaderEpoch(4);
  late.state_epoch = -2;
  EXPECT_EQ(write(late), ErrorCode::kFencedLeaderEpoch) << "before the state epoch is looked at";
  late.leader_epoch = LeaderEpoch(5);
  EXPECT_EQ(write(late), ErrorCode::kFencedStateEpoch);
  late.state_epoch = -1;
  EXPECT_EQ(write(late), ErrorCode::kNone);
  host_.initialize(kKey);
  EXPECT_EQ(read(4), ErrorCode::kFencedLeaderEpoch) << "who initialises does not unfence it";
}

TEST_F(ShareCoordinatorTest, a_reversed_batch_is_no_request) {
  host_.initialize(kKey);
  EXPECT_EQ(write(done_with({2, 1})), ErrorCode::kInvalidRequest);
}

TEST_F(ShareCoordinatorTest, a_batch_of_what_can_be_no_records_is_no_request) {
  host_.initialize(kKey);
  EXPECT_EQ(write(done_with({0, INT64_MAX})), ErrorCode::kInvalidRequest);
  EXPECT_EQ(write(done_with({-1, 1})), ErrorCode::kInvalidRequest);
  EXPECT_EQ(write(done_with({0, INT64_MAX - 1})), ErrorCode::kNone);
}

// --- Records.

TEST_F(ShareCoordinatorTest, only_a_read_with_another_leader_epoch_writes) {
  host_.initialize(kKey, 0, 10);
  write(done_with({20, 29}));
  const size_t before = host_.log.size();
  read(-1);
  read(0);
  EXPECT_EQ(host_.log.size(), before);
  read(7);
  ASSERT_EQ(host_.log.size(), before + 1);
  const auto update = std::get<Update>(last_record().content);
  EXPECT_EQ(update.changes, (PersistedState{.leader_epoch = LeaderEpoch(7),
                                            .start_offset = Offset(10),
                                            .delivery_complete_count = 0}));
  EXPECT_EQ(state().batches, Batches{batch({20, 29}, kAcknowledged, 1)});
}

TEST_F(ShareCoordinatorTest, a_write_says_what_changed_and_keeps_the_leader_epoch) {
  host_.initialize(kKey, 0, 0);
  read(3);
  PersistedState changes = done_with({0, 4}, 5);
  changes.leader_epoch = LeaderEpoch(9);
  EXPECT_EQ(write(changes), ErrorCode::kNone);
  EXPECT_EQ(
      std::get<Update>(last_record().content).changes,
      (PersistedState{
          .leader_epoch = LeaderEpoch(3), .start_offset = Offset(5), .delivery_complete_count = 0}))
      << "what lies below the new start is not worth a word";
  EXPECT_EQ(state().leader_epoch, LeaderEpoch(3));
}

TEST_F(ShareCoordinatorTest, a_write_without_a_start_leaves_it) {
  host_.initialize(kKey, 0, 10);
  write(done_with({10, 14}));
  EXPECT_EQ(state().start_offset, Offset(10));
  EXPECT_EQ(state().batches.size(), 1u);
}

TEST_F(ShareCoordinatorTest, behind_so_many_updates_comes_a_snapshot) {
  host_.initialize(kKey, 4, 0);
  for (int64_t at : {0, 10, 20}) write(done_with({at, at + 4}));
  EXPECT_TRUE(std::holds_alternative<Update>(last_record().content));
  write(done_with({30, 34}));
  const auto snapshot = std::get<Snapshot>(last_record().content);
  EXPECT_EQ(snapshot.epoch, 1);
  EXPECT_EQ(snapshot.state.state_epoch, 4);
  EXPECT_EQ(snapshot.state.batches.size(), 4u);
  write(done_with({40, 44}));
  EXPECT_EQ(std::get<Update>(last_record().content).snapshot_epoch, 1);
}

// As in Kafka: only a snapshot that is due starts to count anew.
TEST_F(ShareCoordinatorTest, updates_before_an_initialisation_count_on) {
  host_.initialize(kKey);
  write(done_with({0, 4}));
  write(done_with({5, 9}));
  host_.initialize(kKey);
  write(done_with({0, 4}));
  EXPECT_TRUE(std::holds_alternative<Update>(last_record().content));
  write(done_with({5, 9}));
  EXPECT_TRUE(std::holds_alternative<Snapshot>(last_record().content));
}

TEST_F(ShareCoordinatorTest, with_no_updates_allowed_every_write_is_a_snapshot) {
  host_.config.updates_per_snapshot = 0;
  host_.start();
  host_.initialize(kKey);
  write(done_with({0, 4}));
  EXPECT_TRUE(std::holds_alternative<Snapshot>(last_record().content));
}

// --- The end of it.

TEST_F(ShareCoordinatorTest, who_deletes_leaves_nothing_and_may_do_it_twice) {
  host_.initialize(kKey, 5);
  EXPECT_EQ(host_.ask(kKey, DeleteState{}).error, ErrorCode::kNone);
  EXPECT_TRUE(std::holds_alternative<Removal>(last_record().content));
  const size_t before = host_.log.size();
  EXPECT_EQ(host_.ask(kKey, DeleteState{}).error, ErrorCode::kNone);
  EXPECT_EQ(host_.log.size(), before);
  EXPECT_EQ(host_.initialize(kKey, 1), ErrorCode::kNone) << "its epochs are forgotten too";
}

TEST_F(ShareCoordinatorTest, what_is_kept_of_a_topic_goes_with_it) {
  host_.initialize(kKey);
  host_.initialize(key_of(2));
  host_.forget_topic(kKey.topic);
  EXPECT_EQ(host_.machine->find(kKey), nullptr);
  EXPECT_NE(host_.machine->find(key_of(2)), nullptr);
}

TEST_F(ShareCoordinatorTest, a_topic_that_went_while_nobody_coordinated_is_found_at_loading) {
  host_.initialize(kKey);
  host_.topics.gone = {kKey.topic};
  host_.start();
  EXPECT_EQ(host_.machine->find(kKey), nullptr);
}

// --- Time.

TEST_F(ShareCoordinatorTest, what_nobody_writes_to_is_written_again_while_others_are_written_to) {
  const auto busy = key_of(2);
  host_.initialize(kKey, 0, 7);
  host_.advance(seconds(200));
  host_.initialize(busy);
  const Offset fresh = host_.log_end() - 1;
  host_.advance(seconds(100));
  const Snapshot& cold = *host_.machine->find(kKey);
  EXPECT_EQ(cold.epoch, 1);
  EXPECT_EQ(cold.state.start_offset, Offset(7));
  EXPECT_EQ(cold.created, TimestampMs(1'000'000));
  EXPECT_EQ(cold.written, TimestampMs(1'300'000));
  EXPECT_EQ(host_.machine->find(busy)->epoch, 0) << "it was written to not long ago";
  EXPECT_EQ(host_.machine->redundant_end(), fresh);
}

TEST_F(ShareCoordinatorTest, where_all_are_cold_nothing_is_written) {
  host_.initialize(kKey);
  host_.initialize(key_of(2));
  host_.advance(seconds(300));
  const Offset end = host_.log_end();
  EXPECT_EQ(end, Offset(4));
  host_.advance(seconds(3000));
  EXPECT_EQ(host_.log_end(), end);
}

TEST_F(ShareCoordinatorTest, the_log_begins_with_the_oldest_last_snapshot) {
  host_.initialize(key_of(1));
  host_.initialize(key_of(2));
  EXPECT_EQ(host_.machine->redundant_end(), std::nullopt);
  host_.initialize(key_of(1));
  EXPECT_EQ(host_.machine->redundant_end(), Offset(1));
  host_.advance(seconds(299));
  EXPECT_EQ(host_.log_start, Offset(0));
  host_.advance(seconds(1));
  EXPECT_EQ(host_.log_start, Offset(1));
}

TEST_F(ShareCoordinatorTest, where_nothing_is_left_the_log_begins_with_the_last_removal) {
  host_.initialize(kKey);
  host_.ask(kKey, DeleteState{});
  EXPECT_EQ(host_.machine->redundant_end(), Offset(1));
  host_.advance(seconds(300));
  EXPECT_EQ(host_.log_start, Offset(1));
}

TEST_F(ShareCoordinatorTest, without_any_state_there_is_nothing_to_wait_for) {
  EXPECT_EQ(host_.machine->next_deadline(), Instant::never());
  host_.initialize(kKey);
  EXPECT_EQ(host_.machine->next_deadline(), Instant(seconds(300)));
}

// --- Replay.

TEST_F(ShareCoordinatorTest, a_restart_changes_nothing) {
  host_.initialize(kKey, 3, 10);
  read(4);
  for (int64_t at = 10; at < 60; at += 10) write(done_with({at, at + 3}, at));
  host_.initialize(key_of(2));
  host_.ask(key_of(2), DeleteState{});
  const std::string before = host_.machine->describe_replicated();
  host_.start();
  EXPECT_EQ(host_.machine->describe_replicated(), before);
}

TEST_F(ShareCoordinatorTest, updates_whose_snapshot_was_cut_off_are_taken_as_they_are) {
  ShareCoordinator fresh({});
  ASSERT_TRUE(fresh.apply(
      update_record(kKey, {.snapshot_epoch = 4, .changes = done_with({5, 9}, 5)}), Offset(9)));
  fresh.check_invariants();
  EXPECT_EQ(fresh.find(kKey)->epoch, 4);
  EXPECT_EQ(fresh.find(kKey)->state.start_offset, Offset(5));
  EXPECT_EQ(fresh.redundant_end(), std::nullopt);
}

TEST_F(ShareCoordinatorTest, a_snapshot_with_batches_that_overlap_is_put_in_order) {
  Snapshot snapshot;
  snapshot.state.start_offset = Offset(2);
  snapshot.state.batches = {batch({4, 9}, kAvailable, 1), batch({0, 5}, kAcknowledged, 1)};
  ASSERT_TRUE(host_.machine->apply(snapshot_record(kKey, snapshot), Offset(0)));
  host_.machine->check_invariants();
  EXPECT_EQ(state().batches,
            (Batches{batch({2, 5}, kAcknowledged, 1), batch({6, 9}, kAvailable, 1)}));
}

TEST_F(ShareCoordinatorTest, records_that_nobody_knows_are_ignored) {
  host_.initialize(kKey);
  auto later = host_.log.back();
  later.key[1] = 9;
  EXPECT_TRUE(host_.machine->apply(later, Offset(1)));
  auto no_update = update_record(kKey, {});
  no_update.value.reset();
  EXPECT_TRUE(host_.machine->apply(no_update, Offset(2)));
}

TEST_F(ShareCoordinatorTest, records_that_cannot_be_are_refused) {
  Snapshot reversed;
  reversed.state.batches = {batch({3, 2}, kAvailable, 1)};
  const auto refused = host_.machine->apply(snapshot_record(kKey, reversed), Offset(0));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCorrupt);
  auto later = snapshot_record(kKey, {});
  later.value->at(1) = 1;
  EXPECT_EQ(host_.machine->apply(later, Offset(0)).error().code, Errc::kUnsupported);
  EXPECT_EQ(host_.machine->find(kKey), nullptr);
}

}  // namespace
}  // namespace millrace::share
