#include "share/share_partition.h"

#include <gtest/gtest.h>

#include "share/testing/window.h"

namespace millrace::share {
namespace {

using testing::Window;
using wire::ErrorCode;

constexpr int8_t kGap = 0, kAccept = 1, kRelease = 2, kReject = 3;
constexpr auto kRecordLimit = AcquireMode::kRecordLimit;

PersistedState kept(int64_t start, std::vector<StateBatch> batches) {
  return {.start_offset = Offset(start), .batches = std::move(batches)};
}
StateBatch state(int64_t first, int64_t last, DeliveryState what, int16_t count = 1) {
  return {Offset(first), Offset(last), what, count};
}

TEST(SharePartition, gives_each_record_to_one_member) {
  Window window;
  window.log({0, 4});
  EXPECT_EQ(window.fetch("a"), "0-4 x1");
  EXPECT_EQ(window.fetch("b"), "");
  window.log({5, 9});
  EXPECT_EQ(window.fetch("b"), "5-9 x1");
  EXPECT_EQ(window.at().in_flight_records(), 10);
}

TEST(SharePartition, what_is_accepted_moves_the_start_once_it_is_kept) {
  Window window;
  window.log({0, 4});
  window.fetch("a");
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kAccept}}}), "waits");
  EXPECT_EQ(window.at().start_offset(), Offset(0));
  EXPECT_EQ(window.at().delivery_complete_count(), 5);
  EXPECT_EQ(window.write(), "0 [0-4 2 1]");
  EXPECT_EQ(window.at().start_offset(), Offset(5));
  EXPECT_EQ(window.at().end_offset(), Offset(5));
  EXPECT_EQ(window.at().delivery_complete_count(), 0);
  EXPECT_EQ(window.at().next_fetch_offset(), Offset(5));
}

TEST(SharePartition, each_record_may_be_said_something_else_of) {
  Window window;
  window.log({0, 4});
  window.fetch("a");
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kGap, kAccept, kRelease, kReject, kAccept}}}),
            "waits");
  EXPECT_EQ(window.write(), "0 [0-0 4 1] [1-1 2 1] [2-2 0 1] [3-3 4 1] [4-4 2 1]");
  EXPECT_EQ(window.at().start_offset(), Offset(2));
  EXPECT_EQ(window.at().delivery_complete_count(), 2);
  EXPECT_EQ(window.fetch("b"), "2-2 x2");
}

TEST(SharePartition, a_released_record_is_nobodys_until_that_is_kept) {
  Window window;
  window.log({0, 4});
  window.fetch("a");
  window.acknowledge("a", {{0, 4, {kRelease}}});
  EXPECT_EQ(window.fetch("b"), "");
  window.write();
  EXPECT_EQ(window.fetch("b"), "0-4 x2");
}

TEST(SharePartition, what_cannot_be_kept_is_the_members_again) {
  Window window;
  window.log({0, 4});
  window.fetch("a");
  window.acknowledge("a", {{0, 4, {kAccept}}});
  window.write(ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(window.last_error, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(window.at().delivery_complete_count(), 0);
  EXPECT_EQ(window.fetch("b"), "");
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kAccept}}}), "waits");
  window.write();
  EXPECT_EQ(window.at().start_offset(), Offset(5));
}

TEST(SharePartition, what_cannot_be_kept_is_free_if_the_lock_was_over_meanwhile) {
  Window window;
  window.log({0, 4});
  window.fetch("a");
  window.acknowledge("a", {{0, 4, {kAccept}}});
  EXPECT_FALSE(window.tick(Window::kLock));
  EXPECT_EQ(window.at().next_deadline(), Instant::never());
  window.write(ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(window.fetch("b"), "0-4 x2");
}

TEST(SharePartition, one_write_at_a_time_and_the_next_has_all_that_came_meanwhile) {
  Window window;
  for (int64_t i = 0; i < 4; ++i) window.log({i, i});
  window.fetch("a", {.batch_size = 1});
  window.acknowledge("a", {{3, 3, {kAccept}}});
  ASSERT_TRUE(window.at().take_write().has_value());
  EXPECT_FALSE(window.at().take_write().has_value());
  window.acknowledge("a", {{0, 0, {kAccept}}});
  window.acknowledge("a", {{1, 1, {kAccept}}});
  EXPECT_FALSE(window.at().take_write().has_value());
  EXPECT_EQ(window.at().on_written(ErrorCode::kNone).size(), 1);
  EXPECT_EQ(window.write(), "0 [0-1 2 1]");
  EXPECT_EQ(window.at().start_offset(), Offset(2));
}

TEST(SharePartition, locks_end) {
  Window window;
  window.log({0, 4});
  window.fetch("a");
  EXPECT_EQ(window.at().next_deadline(), window.now + Window::kLock);
  EXPECT_FALSE(window.tick(Window::kLock - milliseconds(1)));
  EXPECT_TRUE(window.tick(milliseconds(1)));
  // At once, whatever becomes of the write.
  EXPECT_EQ(window.fetch("b"), "0-4 x2");
  EXPECT_EQ(window.write(ErrorCode::kCoordinatorNotAvailable), "0 [0-4 0 1]");
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kAccept}}}), "INVALID_RECORD_STATE");
}

TEST(SharePartition, a_lock_is_renewed) {
  Window window;
  window.log({0, 4});
  window.fetch("a");
  window.tick(seconds(20));
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kRenew}}}), "");
  EXPECT_EQ(window.write(), "");
  EXPECT_FALSE(window.tick(seconds(29)));
  // Of some records: they have locks of their own.
  EXPECT_EQ(window.acknowledge("a", {{1, 2, {kRenew}}}), "");
  EXPECT_TRUE(window.tick(seconds(1)));
  EXPECT_EQ(window.write(), "0 [0-0 0 1] [3-4 0 1]");
  EXPECT_EQ(window.acknowledge("a", {{1, 2, {kAccept, kRenew}}}), "waits");
}

TEST(SharePartition, renewing_may_be_forbidden) {
  Window window;
  window.log({0, 4});
  window.fetch("a");
  window.config.may_renew = false;
  window.reconfigure();
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kRenew}}}), "INVALID_RECORD_STATE");
  EXPECT_EQ(window.acknowledge("a", {{0, 0, {kRenew}}}), "INVALID_RECORD_STATE");
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kAccept}}}), "waits");
}

TEST(SharePartition, refuses_acknowledgements_of_what_the_member_has_not) {
  Window window;
  window.log({5, 9});
  EXPECT_EQ(window.acknowledge("a", {{5, 9, {kAccept}}}), "INVALID_RECORD_STATE");  // not read yet
  window.fetch("a");
  EXPECT_EQ(window.acknowledge("b", {{5, 9, {kAccept}}}), "INVALID_RECORD_STATE");  // another's
  EXPECT_EQ(window.acknowledge("b", {{6, 7, {kAccept}}}), "INVALID_RECORD_STATE");
  EXPECT_EQ(window.acknowledge("a", {{10, 10, {kAccept}}}), "INVALID_REQUEST");  // behind all
  EXPECT_EQ(window.acknowledge("a", {{5, 10, {kAccept}}}), "INVALID_REQUEST");
  EXPECT_EQ(window.acknowledge("a", {{5, 9, {5}}}), "INVALID_REQUEST");
  EXPECT_EQ(window.acknowledge("a", {{5, 9, {}}}), "INVALID_REQUEST");
  EXPECT_EQ(window.acknowledge("a", {{5, 9, {1, 1}}}), "INVALID_REQUEST");
  EXPECT_EQ(window.acknowledge("a", {{9, 5, {1}}}), "INVALID_REQUEST");
  EXPECT_EQ(window.acknowledge("a", {{6, 7, {kAccept}}}), "waits");
  EXPECT_EQ(window.acknowledge("a", {{5, 9, {kAccept}}}), "INVALID_RECORD_STATE");  // 6, 7 change
  window.write();
  EXPECT_EQ(window.acknowledge("a", {{6, 7, {kAccept}}}), "INVALID_RECORD_STATE");
  EXPECT_EQ(window.acknowledge("a", {{5, 5, {kAccept}}}), "waits");
  window.write();
  EXPECT_EQ(window.at().start_offset(), Offset(8));
  EXPECT_EQ(window.acknowledge("a", {{5, 7, {kAccept}}}), "");  // below the start: nothing to do
}

TEST(SharePartition, an_acknowledgement_is_of_all_or_of_nothing) {
  Window window;
  window.log({0, 4});
  window.log({5, 9});
  window.fetch("a", {.records = 5});
  window.fetch("b", {.records = 5});
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kAccept}}, {5, 9, {kAccept}}}),
            "INVALID_RECORD_STATE");
  EXPECT_EQ(window.write(), "");
  EXPECT_EQ(window.at().delivery_complete_count(), 0);
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kAccept}}}), "waits");
}

TEST(SharePartition, a_session_that_closes_gives_its_records_back) {
  Window window;
  window.log({0, 4});
  window.log({5, 9});
  window.fetch("a", {.records = 5});
  window.fetch("b", {.records = 5});
  window.acknowledge("a", {{1, 1, {kAccept}}});
  window.write();
  EXPECT_NE(window.at().release("a").change, ChangeId::kNone);
  EXPECT_EQ(window.fetch("c"), "");
  EXPECT_EQ(window.write(), "0 [0-0 0 1] [2-4 0 1]");
  EXPECT_EQ(window.fetch("c"), "0-0 x2 2-4 x2");
  EXPECT_EQ(window.at().release("a").change, ChangeId::kNone);
}

TEST(SharePartition, a_record_that_was_given_too_often_is_archived) {
  Window window;
  window.config.delivery_limit = 2;
  window.reconfigure();
  window.log({0, 0});
  window.fetch("a");
  window.tick(Window::kLock);
  EXPECT_EQ(window.write(), "0 [0-0 0 1]");
  EXPECT_EQ(window.fetch("a"), "0-0 x2");
  window.acknowledge("a", {{0, 0, {kRelease}}});
  EXPECT_EQ(window.write(), "0 [0-0 4 2]");
  EXPECT_EQ(window.at().start_offset(), Offset(1));
}

TEST(SharePartition, records_that_fail_again_and_again_go_in_ever_smaller_parts) {
  Window window;
  window.config.delivery_limit = 5;
  window.reconfigure();
  window.log({0, 15});
  window.log({16, 19});
  auto fail = [&](const std::string& what) {
    EXPECT_EQ(window.fetch("a", {.batches = 1}), what);
    window.tick(Window::kLock);
    window.write();
  };
  fail("0-15 x1");
  fail("0-15 x2");
  fail("0-15 x3");
  // From the third failure on by halves, on the last way alone.
  fail("0-7 x4");
  fail("0-0 x5");
  EXPECT_EQ(window.at().start_offset(), Offset(1));
  EXPECT_EQ(window.fetch("a"), "1-1 x5");
  EXPECT_EQ(window.fetch("b"), "2-2 x5");
  // What comes behind them waits until they are through.
  for (int i = 3; i < 8; ++i) EXPECT_EQ(window.fetch("b"), fmt::format("{0}-{0} x5", i));
  EXPECT_EQ(window.fetch("b"), "8-15 x4");
  EXPECT_EQ(window.fetch("b"), "16-19 x1");
}

TEST(SharePartition, no_more_are_in_flight_than_may_be) {
  Window window;
  window.config.max_record_locks = 10;
  window.reconfigure();
  for (int64_t i = 0; i < 40; i += 4) window.log({i, i + 3});
  // Whole batches: some more.
  EXPECT_EQ(window.fetch("a"), "0-11 x1");
  EXPECT_FALSE(window.at().can_acquire());
  EXPECT_EQ(window.fetch("a"), "");
  // What was given back within may go out again, and nothing behind.
  window.acknowledge("a", {{4, 5, {kRelease}}});
  window.write();
  EXPECT_TRUE(window.at().can_acquire());
  EXPECT_EQ(window.fetch("b"), "4-5 x2");
  window.acknowledge("a", {{0, 3, {kAccept}}});
  window.write();
  EXPECT_EQ(window.fetch("b"), "12-15 x1");
}

TEST(SharePartition, batches_of_a_size_are_acknowledged_as_one) {
  Window window;
  for (int64_t i = 0; i < 12; i += 2) window.log({i, i + 1});
  EXPECT_EQ(window.fetch("a", {.records = 10, .batch_size = 4}), "0-3 x1 4-7 x1 8-9 x1");
}

TEST(SharePartition, a_whole_batch_is_given_unless_the_limit_is_strict) {
  Window window;
  window.log({0, 9});
  window.log({10, 19});
  EXPECT_EQ(window.fetch("a", {.records = 5}), "0-9 x1");
  EXPECT_EQ(window.fetch("a", {.records = 4, .mode = kRecordLimit}), "10-13 x1");
  EXPECT_EQ(window.at().end_offset(), Offset(19));
  EXPECT_EQ(window.at().next_fetch_offset(), Offset(14));
  EXPECT_EQ(window.fetch("b", {.records = 4, .mode = kRecordLimit}), "14-17 x1");
  EXPECT_EQ(window.fetch("b", {.records = 4, .mode = kRecordLimit}), "18-19 x1");
}

TEST(SharePartition, a_strict_limit_holds_for_what_was_given_before) {
  Window window;
  window.log({0, 9});
  window.fetch("a");
  window.tick(Window::kLock);
  window.write();
  EXPECT_EQ(window.fetch("b", {.records = 3, .mode = kRecordLimit}), "0-2 x2");
  EXPECT_EQ(window.fetch("b", {.records = 3, .mode = kRecordLimit}), "3-5 x2");
}

TEST(SharePartition, goes_on_with_what_was_kept) {
  Window window(kept(
      10, {state(10, 12, DeliveryState::kAcknowledged), state(13, 14, DeliveryState::kAvailable, 2),
           state(15, 16, DeliveryState::kArchived)}));
  EXPECT_EQ(window.at().start_offset(), Offset(13));
  EXPECT_EQ(window.at().end_offset(), Offset(16));
  EXPECT_EQ(window.at().delivery_complete_count(), 2);
  window.log({10, 20});
  EXPECT_EQ(window.fetch("a"), "13-14 x3 17-20 x1");
}

TEST(SharePartition, reads_the_gaps_of_what_was_kept) {
  Window window(kept(
      10, {state(15, 16, DeliveryState::kAcknowledged), state(20, 21, DeliveryState::kAvailable)}));
  EXPECT_EQ(window.at().start_offset(), Offset(10));
  EXPECT_EQ(window.at().next_fetch_offset(), Offset(10));
  for (int64_t i = 10; i < 30; i += 5) window.log({i, i + 4});
  EXPECT_EQ(window.fetch("a"), "10-14 x1 17-19 x1 20-21 x2 22-29 x1");
  EXPECT_EQ(window.at().next_fetch_offset(), Offset(30));
}

TEST(SharePartition, a_gap_at_the_start_is_not_passed) {
  Window window(kept(10, {state(12, 13, DeliveryState::kAcknowledged)}));
  EXPECT_EQ(window.at().start_offset(), Offset(10));
  window.log({10, 11});
  EXPECT_EQ(window.fetch("a"), "10-11 x1");
  window.acknowledge("a", {{10, 11, {kAccept}}});
  window.write();
  EXPECT_EQ(window.at().start_offset(), Offset(14));
}

TEST(SharePartition, refuses_what_could_not_have_been_kept) {
  const SharePartitionKey key{.group = "g"};
  auto begins = [&](PersistedState state) {
    return SharePartition(key, LeaderEpoch(0)).begin({.kept = state, .log_end = Offset(100)});
  };
  EXPECT_FALSE(begins(kept(10, {state(9, 12, DeliveryState::kAvailable)})));
  EXPECT_FALSE(begins(kept(10, {state(12, 11, DeliveryState::kAvailable)})));
  EXPECT_FALSE(begins(kept(
      10, {state(10, 11, DeliveryState::kAvailable), state(11, 12, DeliveryState::kAvailable)})));
  EXPECT_FALSE(begins(kept(-5, {})));
  EXPECT_FALSE(begins(kept(10, {state(10, 11, static_cast<DeliveryState>(7))})));
}

TEST(SharePartition, one_that_is_stopped_writes_no_more) {
  Window window;
  window.log({0, 9});
  window.fetch("a");
  window.acknowledge("a", {{0, 1, {kAccept}}});
  ASSERT_TRUE(window.at().take_write());
  window.acknowledge("a", {{2, 3, {kAccept}}});
  window.tick(Window::kLock);  // the locks of the others end, and nobody waits for that
  const auto ended = window.at().stop();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended.front().error, ErrorCode::kNotLeaderOrFollower);
  EXPECT_TRUE(window.at().is_writing());
  EXPECT_EQ(window.at().on_written(ErrorCode::kNone).size(), 1u);
  EXPECT_FALSE(window.at().take_write());
  window.at().check_invariants();
}

// Anybody may write such state, and an unclean election leaves some.
TEST(SharePartition, what_lies_behind_the_end_of_the_log_was_not_given) {
  constexpr auto kAvailable = DeliveryState::kAvailable,
                 kAcknowledged = DeliveryState::kAcknowledged;
  SharePartition partition({.group = "g"}, LeaderEpoch(0));
  ASSERT_TRUE(
      partition.begin({.kept = kept(0, {state(0, 9, kAvailable), state(10, 30, kAcknowledged),
                                        state(40, INT64_MAX, kAcknowledged)}),
                       .log_end = Offset(20)}));
  partition.check_invariants();
  EXPECT_EQ(partition.end_offset(), Offset(19));
  EXPECT_EQ(partition.delivery_complete_count(), 10);
  SharePartition later({.group = "g"}, LeaderEpoch(0));
  ASSERT_TRUE(later.begin({.kept = kept(INT64_MAX, {}), .log_end = Offset(20)}));
  EXPECT_EQ(later.next_fetch_offset(), Offset(20));
  EXPECT_TRUE(later.can_acquire());
}

TEST(SharePartition, as_much_as_was_never_in_flight_is_given_anew) {
  SharePartition partition({.group = "g"}, LeaderEpoch(0));
  constexpr int64_t kMuch = 4'000'000'000'000'000'000;
  ASSERT_TRUE(partition.begin(
      {.kept = kept(0, {state(0, kMuch, DeliveryState::kAvailable)}), .log_end = Offset(kMuch)}));
  EXPECT_EQ(partition.end_offset(), Offset(kMostInFlight - 1));
  const FetchedBatch read{Offset(0), Offset(9)};
  const auto acquired = partition.acquire({.member = std::make_shared<const std::string>("a"),
                                           .max_records = 500,
                                           .fetch_offset = Offset(0),
                                           .batches = {&read, 1}},
                                          Instant{});
  EXPECT_EQ(acquired.count, 10);
  const AcknowledgementBatch all{Offset(0), Offset(INT64_MAX), {kAccept, kAccept}};
  EXPECT_EQ(partition.acknowledge("a", {&all, 1}, Instant{}).error, ErrorCode::kInvalidRequest);
}

TEST(SharePartition, begins_where_it_is_told_when_nothing_was_kept) {
  SharePartition partition({.group = "g"}, LeaderEpoch(0));
  ASSERT_TRUE(partition.begin({.kept = {}, .initial = Offset(7), .log_end = Offset(9)}));
  EXPECT_EQ(partition.next_fetch_offset(), Offset(7));
  EXPECT_EQ(partition.start_offset(), Offset(7));
}

TEST(SharePartition, the_log_begins_later) {
  Window window;
  window.log({0, 4});
  window.log({5, 9});
  window.fetch("a", {.records = 5});
  window.fetch("b", {.records = 5});
  window.acknowledge("b", {{5, 9, {kRelease}}});
  window.write();
  window.at().move_log_start(Offset(7));
  window.at().check_invariants();
  EXPECT_EQ(window.at().start_offset(), Offset(7));
  EXPECT_EQ(window.fetch("b"), "7-9 x2");
  // What was acquired below is archived when its lock ends, or said of in vain.
  EXPECT_EQ(window.acknowledge("a", {{0, 4, {kAccept}}}), "");
  window.tick(Window::kLock);
  EXPECT_EQ(window.write(), "7 [7-9 0 2]");
  window.at().move_log_start(Offset(20));
  window.at().check_invariants();
  EXPECT_EQ(window.at().next_fetch_offset(), Offset(20));
  EXPECT_EQ(window.at().in_flight_records(), 0);
}

TEST(SharePartition, the_log_begins_within_a_batch_that_is_acquired) {
  Window window;
  window.log({0, 9});
  window.fetch("a");
  window.at().move_log_start(Offset(4));
  window.at().check_invariants();
  EXPECT_EQ(window.acknowledge("a", {{0, 9, {kRelease}}}), "waits");
  EXPECT_EQ(window.write(), "4 [4-9 0 1]");
  EXPECT_EQ(window.fetch("b"), "4-9 x2");
  EXPECT_EQ(window.at().release("a").change == ChangeId::kNone, false);
}

TEST(SharePartition, what_was_compacted_away_is_archived) {
  Window window;
  window.log({0, 4});
  window.log({5, 9});
  window.log({10, 14});
  window.fetch("a", {.batch_size = 5});
  window.tick(Window::kLock);
  window.write();
  window.batches().erase(window.batches().begin());
  EXPECT_EQ(window.fetch("b"), "5-9 x2 10-14 x2");
  EXPECT_EQ(window.at().start_offset(), Offset(5));
}

TEST(SharePartition, aborted_batches_are_never_given_to_readers_of_committed_records) {
  Window window;
  const ProducerId producer(7);
  window.batches() = {
      {.base = Offset(0), .last = Offset(4), .producer_id = producer, .is_transactional = true},
      {.base = Offset(5), .last = Offset(6)},
      {.base = Offset(7),
       .last = Offset(7),
       .producer_id = producer,
       .is_transactional = true,
       .is_control = true},
      {.base = Offset(8), .last = Offset(9), .producer_id = producer, .is_transactional = true}};
  EXPECT_EQ(window.fetch("a", {.aborted = {{producer, Offset(0)}}}), "5-9 x1");
  EXPECT_EQ(window.at().start_offset(), Offset(5));
}

TEST(SharePartition, tells_members_what_its_keeper_said) {
  EXPECT_EQ(told_of_persister(ErrorCode::kNone), ErrorCode::kNone);
  EXPECT_EQ(told_of_persister(ErrorCode::kCoordinatorLoadInProgress),
            ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(told_of_persister(ErrorCode::kFencedStateEpoch), ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(told_of_persister(ErrorCode::kFencedLeaderEpoch), ErrorCode::kNotLeaderOrFollower);
  EXPECT_EQ(told_of_persister(ErrorCode::kGroupIdNotFound), ErrorCode::kGroupIdNotFound);
  EXPECT_EQ(told_of_persister(ErrorCode::kInvalidRequest), ErrorCode::kUnknownServerError);
}

}  // namespace
}  // namespace millrace::share
