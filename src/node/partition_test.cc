#include "node/partition.h"

#include <gtest/gtest.h>

#include "env/testing/manual_shard.h"
#include "env/testing/memory_disk.h"
#include "record/builder.h"

namespace millrace::node {
namespace {

class PartitionStateTest : public ::testing::Test {
 protected:
  // The bytes that it added to the log.
  uint64_t append() {
    const uint64_t before = state_.log().appended_bytes();
    record::BatchBuilder builder({});
    builder.append({.timestamp = TimestampMs(1), .value = as_bytes("value")});
    ByteBuffer batch = std::move(builder).build();
    const MutableByteView view = batch;
    EXPECT_TRUE(state_.log().append({&view, 1}, LeaderEpoch(0), TimestampMs(1)).has_value());
    return state_.log().appended_bytes() - before;
  }
  void make_visible() {
    state_.advance_high_watermark(state_.log().log_end(), state_.log().appended_bytes());
    shard_.run();
  }
  std::shared_ptr<FetchWaiter> wait_for(int64_t bytes) {
    auto waiter = std::make_shared<FetchWaiter>(shard_, bytes, [this] { ++woken_; });
    state_.add_fetch_waiter(waiter);
    return waiter;
  }

  env::testing::MemoryDisk disk_;
  env::testing::ManualShard shard_;
  PartitionState state_{*storage::Log::open(disk_, "/data/t-0", {}, {}),
                        std::make_shared<const TopicSettings>()};
  int woken_ = 0;
};

TEST_F(PartitionStateTest, a_fetch_is_woken_when_the_bytes_it_wants_are_visible_and_once) {
  const auto bytes = static_cast<int64_t>(append());
  wait_for(2 * bytes + 1);
  make_visible();
  append();
  EXPECT_EQ(woken_, 0);
  append();
  EXPECT_EQ(woken_, 0);
  make_visible();
  EXPECT_EQ(woken_, 1);
  append();
  make_visible();
  EXPECT_EQ(woken_, 1);
}

TEST_F(PartitionStateTest, a_fetch_of_several_partitions_adds_their_bytes_up) {
  PartitionState other{*storage::Log::open(disk_, "/data/t-1", {}, {}),
                       std::make_shared<const TopicSettings>()};
  const auto bytes = static_cast<int64_t>(append());
  auto waiter = wait_for(2 * bytes);
  other.add_fetch_waiter(waiter);
  make_visible();
  EXPECT_EQ(woken_, 0);
  std::swap(state_, other);
  append();
  make_visible();
  EXPECT_EQ(woken_, 1);
}

TEST_F(PartitionStateTest, a_fetch_is_woken_when_the_partition_goes_offline) {
  wait_for(1'000'000);
  state_.go_offline(wire::ErrorCode::kKafkaStorageError);
  shard_.run();
  EXPECT_EQ(woken_, 1);
}

TEST_F(PartitionStateTest, an_acknowledgement_waits_for_the_high_watermark) {
  append();
  std::vector<wire::ErrorCode> acks;
  state_.wait_for(Offset(1), shard_, [&](wire::ErrorCode code) { acks.push_back(code); });
  append();
  state_.wait_for(Offset(2), shard_, [&](wire::ErrorCode code) { acks.push_back(code); });
  shard_.run();
  EXPECT_TRUE(acks.empty());
  state_.advance_high_watermark(Offset(1), 0);
  shard_.run();
  EXPECT_EQ(acks.size(), 1U);
  state_.go_offline(wire::ErrorCode::kKafkaStorageError);
  shard_.run();
  EXPECT_EQ(acks, (std::vector{wire::ErrorCode::kNone, wire::ErrorCode::kKafkaStorageError}));
}

}  // namespace
}  // namespace millrace::node
