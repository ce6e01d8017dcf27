#include "share/state_batches.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "share/aborted_batches.h"

namespace millrace::share {
namespace {

constexpr auto kAcknowledged = DeliveryState::kAcknowledged;
constexpr auto kAvailable = DeliveryState::kAvailable;

StateBatch of(int64_t first, int64_t last, DeliveryState state) {
  return {Offset(first), Offset(last), state, 1};
}

std::string text(const std::vector<StateBatch>& batches) {
  std::string result;
  for (const StateBatch& batch : batches)
    result += fmt::format("{}-{}:{} ", batch.first, batch.last, static_cast<int>(batch.state));
  return result;
}

TEST(StateBatches, what_is_newer_covers_what_is_older) {
  std::vector<StateBatch> batches;
  overlay(batches, of(10, 19, kAvailable));
  overlay(batches, of(30, 39, kAvailable));
  EXPECT_EQ(text(batches), "10-19:0 30-39:0 ");
  overlay(batches, of(12, 13, kAcknowledged));
  EXPECT_EQ(text(batches), "10-11:0 12-13:2 14-19:0 30-39:0 ");
  overlay(batches, of(18, 31, kAcknowledged));
  EXPECT_EQ(text(batches), "10-11:0 12-13:2 14-17:0 18-31:2 32-39:0 ");
  overlay(batches, of(0, 9, kAcknowledged));
  EXPECT_EQ(text(batches), "0-9:2 10-11:0 12-13:2 14-17:0 18-31:2 32-39:0 ");
  overlay(batches, of(0, 50, kAvailable));
  EXPECT_EQ(text(batches), "0-50:0 ");
}

TEST(StateBatches, equal_neighbours_are_one_and_what_is_below_the_start_goes) {
  const std::vector<StateBatch> batches = {of(0, 4, kAcknowledged), of(5, 9, kAcknowledged),
                                           of(11, 12, kAcknowledged), of(13, 13, kAvailable)};
  EXPECT_EQ(text(combined(batches, Offset(0))), "0-9:2 11-12:2 13-13:0 ");
  EXPECT_EQ(text(combined(batches, Offset(7))), "7-9:2 11-12:2 13-13:0 ");
  EXPECT_EQ(text(combined(batches, Offset(20))), "");
}

TEST(AbortedBatches, ranges_lose_what_batches_have) {
  auto left = [](const std::vector<AcquiredRange>& ranges,
                 const std::vector<FetchedBatch>& batches) {
    std::string result;
    for (const AcquiredRange& range : without(ranges, batches))
      result += fmt::format("{}-{} ", range.first, range.last);
    return result;
  };
  auto range = [](int64_t first, int64_t last) {
    return AcquiredRange{Offset(first), Offset(last), 1};
  };
  auto batch = [](int64_t base, int64_t last) { return FetchedBatch{Offset(base), Offset(last)}; };
  EXPECT_EQ(left({range(0, 9)}, {batch(2, 3), batch(5, 5)}), "0-1 4-4 6-9 ");
  EXPECT_EQ(left({range(0, 9), range(10, 19)}, {batch(8, 12)}), "0-7 13-19 ");
  EXPECT_EQ(left({range(0, 9), range(20, 29)}, {batch(0, 9), batch(12, 13)}), "20-29 ");
  EXPECT_EQ(left({range(5, 9)}, {batch(0, 4), batch(10, 12)}), "5-9 ");
}

TEST(AbortedBatches, a_transaction_lasts_from_its_first_batch_to_its_marker) {
  const ProducerId one(1), two(2);
  const std::vector<FetchedBatch> batches = {
      {.base = Offset(0), .last = Offset(0), .producer_id = one, .is_transactional = true},
      {.base = Offset(1), .last = Offset(1), .producer_id = two, .is_transactional = true},
      {.base = Offset(2), .last = Offset(2), .producer_id = one},
      {.base = Offset(3),
       .last = Offset(3),
       .producer_id = one,
       .is_transactional = true,
       .is_control = true},
      {.base = Offset(4), .last = Offset(4), .producer_id = one, .is_transactional = true},
      {.base = Offset(5), .last = Offset(5)}};
  const auto aborted = aborted_batches(batches, std::vector<AbortedTransaction>{{one, Offset(0)}});
  ASSERT_EQ(aborted.size(), 1);
  EXPECT_EQ(aborted.front().base, Offset(0));
}

}  // namespace
}  // namespace millrace::share
