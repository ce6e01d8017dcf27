#include "share/state_merge.h"

#include <gtest/gtest.h>

#include <random>

#include "share/testing/coordinator_host.h"

namespace millrace::share {
namespace {

using testing::batch;
using enum DeliveryState;
using Batches = std::vector<StateBatch>;

Batches merge(const Batches& known, const Batches& added, int64_t start = -1) {
  return merge_batches(known, added, Offset(start));
}

TEST(StateMerge, batches_apart_stay_as_they_are) {
  const Batches known{batch({10, 19}, kAcknowledged, 1)};
  const Batches added{batch({0, 4}, kAcknowledged, 1), batch({30, 39}, kAvailable, 1)};
  EXPECT_EQ(merge(known, added), (Batches{added[0], known[0], added[1]}));
}

TEST(StateMerge, neighbours_that_say_the_same_become_one) {
  EXPECT_EQ(merge({batch({0, 9}, kAvailable, 1)}, {batch({10, 19}, kAvailable, 1)}),
            Batches{batch({0, 19}, kAvailable, 1)});
  EXPECT_EQ(merge({batch({0, 9}, kAvailable, 1)}, {batch({5, 19}, kAvailable, 1)}),
            Batches{batch({0, 19}, kAvailable, 1)});
  EXPECT_EQ(merge({batch({0, 9}, kAvailable, 1)}, {batch({10, 19}, kAvailable, 2)}).size(), 2u);
}

TEST(StateMerge, the_higher_delivery_count_counts_then_the_higher_state) {
  EXPECT_EQ(merge({batch({0, 9}, kAcknowledged, 1)}, {batch({0, 9}, kAvailable, 2)}),
            Batches{batch({0, 9}, kAvailable, 2)});
  EXPECT_EQ(merge({batch({0, 9}, kAvailable, 1)}, {batch({0, 9}, kArchived, 1)}),
            Batches{batch({0, 9}, kArchived, 1)});
  EXPECT_EQ(merge({batch({0, 9}, kArchived, 3)}, {batch({0, 9}, kAcknowledged, 1)}),
            Batches{batch({0, 9}, kArchived, 3)});
}

TEST(StateMerge, a_batch_within_another_splits_it) {
  const Batches parts{batch({0, 3}, kAvailable, 1), batch({4, 6}, kAcknowledged, 1),
                      batch({7, 9}, kAvailable, 1)};
  EXPECT_EQ(merge({batch({0, 9}, kAvailable, 1)}, {parts[1]}), parts);
}

TEST(StateMerge, what_lies_below_the_start_goes) {
  const Batches known{batch({0, 4}, kAcknowledged, 1), batch({5, 14}, kAvailable, 1)};
  EXPECT_EQ(merge(known, {}, 10), Batches{batch({10, 14}, kAvailable, 1)});
  EXPECT_EQ(merge(known, {}, 15), Batches{});
  EXPECT_EQ(merge(known, {}, -1), known);
}

// The lower one is done before the upper two become one: it is met again with the next merge.
TEST(StateMerge, neighbours_that_come_to_say_the_same_may_stay_two) {
  const Batches known{batch({0, 5}, kAvailable, 2), batch({6, 8}, kAvailable, 1)};
  const Batches once = merge(known, {batch({6, 10}, kAvailable, 2)});
  EXPECT_EQ(once, (Batches{batch({0, 5}, kAvailable, 2), batch({6, 10}, kAvailable, 2)}));
  EXPECT_EQ(merge(once, {}), Batches{batch({0, 10}, kAvailable, 2)});
}

TEST(StateMerge, a_batch_that_ends_with_the_last_offset_has_no_neighbour_above) {
  constexpr int64_t kLast = INT64_MAX;
  EXPECT_EQ(
      merge({batch({0, kLast}, kAvailable, 1)}, {batch({kLast, kLast}, kAcknowledged, 2)}),
      (Batches{batch({0, kLast - 1}, kAvailable, 1), batch({kLast, kLast}, kAcknowledged, 2)}));
}

TEST(StateMerge, every_offset_has_what_counts_of_it) {
  constexpr int64_t kOffsets = 24;
  std::mt19937_64 dice(7);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(dice() % static_cast<uint64_t>(n));
  };
  for (int round = 0; round < 3000; ++round) {
    Batches all;
    for (int64_t i = below(7); i >= 0; --i) {
      const int64_t first = below(kOffsets), last = first + below(kOffsets - first);
      all.push_back(batch({first, last}, static_cast<DeliveryState>(below(3) * 2),
                          static_cast<int16_t>(1 + below(3))));
    }
    const int64_t start = below(kOffsets) - 1;
    const auto at = [](const Batches& batches, int64_t offset) {
      std::pair<int, int> highest{-1, -1};
      for (const StateBatch& each : batches)
        if (each.first <= Offset(offset) && Offset(offset) <= each.last)
          highest = std::max(highest, {each.delivery_count, static_cast<int>(each.state)});
      return highest;
    };
    const Batches merged = merge({}, all, start);
    EXPECT_TRUE(are_merged(merged, Offset(start)));
    for (int64_t offset = 0; offset < kOffsets; ++offset)
      EXPECT_EQ(at(merged, offset), offset < start ? std::pair(-1, -1) : at(all, offset)) << offset;
  }
}

}  // namespace
}  // namespace millrace::share
