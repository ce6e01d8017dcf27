#include "replica/fetched_batches.h"

#include <gtest/gtest.h>

#include "record/builder.h"

namespace millrace::replica {
namespace {

struct Batch {
  int64_t base;
  int32_t epoch;
};

ByteBuffer bytes_of(const std::vector<Batch>& batches) {
  ByteBuffer all;
  for (const Batch& each : batches) {
    record::BatchBuilder builder({});
    builder.append({.value = as_bytes("value")});
    ByteBuffer batch = std::move(builder).build();
    record::patch_base_offset(batch, Offset(each.base));
    record::patch_leader_epoch(batch, LeaderEpoch(each.epoch));
    all.insert(all.end(), batch.begin(), batch.end());
  }
  return all;
}

constexpr FetchedFrom kFrom{Offset(10), LeaderEpoch(5)};

TEST(FetchedBatches, are_taken_whole) {
  ByteBuffer bytes = bytes_of({{10, 4}, {11, 5}, {12, 5}});
  bytes.pop_back();
  const auto batches = fetched_batches(bytes, kFrom);
  ASSERT_TRUE(batches.has_value());
  ASSERT_EQ(batches->size(), 2u);
  EXPECT_EQ(batches->at(1).base_offset(), Offset(11));
}

TEST(FetchedBatches, may_have_gaps) {
  EXPECT_EQ(fetched_batches(bytes_of({{15, 4}, {40, 5}}), kFrom)->size(), 2u);
}

TEST(FetchedBatches, of_a_later_epoch_are_left) {
  EXPECT_EQ(fetched_batches(bytes_of({{10, 5}, {11, 6}, {12, 5}}), kFrom)->size(), 1u);
}

TEST(FetchedBatches, that_the_log_has_already_are_refused) {
  EXPECT_FALSE(fetched_batches(bytes_of({{9, 5}}), kFrom).has_value());
  EXPECT_FALSE(fetched_batches(bytes_of({{11, 5}, {11, 5}}), kFrom).has_value());
}

// DeleteRecords ends within a batch, and a replica begins there.
TEST(FetchedBatches, of_an_empty_log_may_begin_before_it_if_they_reach_it) {
  record::BatchBuilder builder({});
  builder.append({.value = as_bytes("deleted")});
  builder.append({.value = as_bytes("value")});
  ByteBuffer bytes = std::move(builder).build();
  record::patch_base_offset(bytes, Offset(9));
  record::patch_leader_epoch(bytes, LeaderEpoch(4));
  EXPECT_FALSE(fetched_batches(bytes, kFrom).has_value());
  const auto batches = fetched_batches(bytes, {kFrom.log_end, kFrom.leader_epoch, true});
  ASSERT_TRUE(batches.has_value());
  EXPECT_EQ(batches->size(), 1u);
  EXPECT_FALSE(fetched_batches(bytes_of({{9, 4}}), {kFrom.log_end, kFrom.leader_epoch, true}));
}

TEST(FetchedBatches, with_damage_are_refused) {
  ByteBuffer bytes = bytes_of({{10, 5}});
  bytes.back() ^= 1;
  EXPECT_FALSE(fetched_batches(bytes, kFrom).has_value());
}

}  // namespace
}  // namespace millrace::replica
