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
    EXPECT_TRUE(state_.append({&view, 1}, TimestampMs(1)).has_value());
    return state_.log().appended_bytes() - before;
  }
  void make_visible() {
    state_.became_durable(state_.log().log_end(), state_.log().appended_bytes());
    shard_.run();
  }
  std::shared_ptr<FetchWaiter> wait_for(int64_t bytes) {
    auto waiter = std::make_shared<FetchWaiter>(shard_, bytes, [this] { ++woken_; });
    state_.add_fetch_waiter(waiter);
    return waiter;
  }

  PartitionState open(const std::string& directory) {
    PartitionState state{*storage::Log::open(disk_, directory, {}, {}),
                         std::make_shared<const TopicSettings>()};
    lead(state, {kSelf});
    return state;
  }
  static void lead(PartitionState& state, std::vector<NodeId> replicas, int32_t min_isr = 1) {
    state.lead({.self = kSelf, .min_insync_replicas = min_isr},
               {.replicas = replicas,
                .isr = replicas,
                .leader = kSelf,
                .leader_epoch = state.leadership().epoch + 1},
               Instant{});
  }

  static constexpr NodeId kSelf{1}, kOther{2};
  env::testing::MemoryDisk disk_;
  env::testing::ManualShard shard_;
  PartitionState state_ = open("/data/t-0");
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
  PartitionState other = open("/data/t-1");
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
  state_.became_durable(Offset(1), 0);
  shard_.run();
  EXPECT_EQ(acks.size(), 1U);
  state_.go_offline(wire::ErrorCode::kKafkaStorageError);
  shard_.run();
  EXPECT_EQ(acks, (std::vector{wire::ErrorCode::kNone, wire::ErrorCode::kKafkaStorageError}));
}

TEST_F(PartitionStateTest, an_acknowledgement_waits_for_the_followers) {
  lead(state_, {kSelf, kOther});
  append();
  std::vector<wire::ErrorCode> acks;
  state_.wait_for(Offset(1), shard_, [&](wire::ErrorCode code) { acks.push_back(code); });
  make_visible();
  EXPECT_TRUE(acks.empty());
  const metadata::Image nobody;
  state_.on_follower_fetch({.replica = kOther, .fetch_offset = Offset(1)}, nobody, Instant{});
  shard_.run();
  EXPECT_EQ(acks, std::vector{wire::ErrorCode::kNone});
}

TEST_F(PartitionStateTest, who_waits_is_told_when_the_leadership_is_lost) {
  append();
  wait_for(1'000'000);
  std::vector<wire::ErrorCode> acks;
  state_.wait_for(Offset(1), shard_, [&](wire::ErrorCode code) { acks.push_back(code); });
  state_.follow({kOther, LeaderEpoch(9)});
  state_.wait_for(Offset(1), shard_, [&](wire::ErrorCode code) { acks.push_back(code); });
  shard_.run();
  EXPECT_EQ(acks, std::vector(2, wire::ErrorCode::kNotLeaderOrFollower));
  EXPECT_EQ(woken_, 1);
}

TEST_F(PartitionStateTest, who_waits_goes_on_waiting_when_too_few_replicas_are_in_sync) {
  lead(state_, {kSelf, kOther}, /*min_isr=*/2);
  append();
  std::vector<wire::ErrorCode> acks;
  state_.wait_for(Offset(1), shard_, [&](wire::ErrorCode code) { acks.push_back(code); });
  make_visible();
  state_.lead({.self = kSelf, .min_insync_replicas = 2},
              {.replicas = {kSelf, kOther},
               .isr = {kSelf},
               .leader = kSelf,
               .leader_epoch = state_.leadership().epoch,
               .partition_epoch = PartitionEpoch(1)},
              Instant{});
  shard_.run();
  EXPECT_TRUE(acks.empty());
}

TEST_F(PartitionStateTest, a_followers_fetch_is_woken_by_an_append) {
  auto waiter = std::make_shared<FetchWaiter>(shard_, 1, [this] { ++woken_; });
  state_.add_follower_waiter(waiter);
  append();
  shard_.run();
  EXPECT_EQ(woken_, 1);
}

TEST_F(PartitionStateTest, a_followers_fetch_that_waits_notes_a_high_watermark_that_moves) {
  lead(state_, {kSelf, kOther});
  append();
  make_visible();
  auto waiter = std::make_shared<FetchWaiter>(shard_, 1, [this] { ++woken_; });
  state_.add_follower_waiter(waiter);
  EXPECT_FALSE(waiter->has_moved());
  const metadata::Image nobody;
  state_.on_follower_fetch({.replica = kOther, .fetch_offset = Offset(1)}, nobody, Instant{});
  shard_.run();
  EXPECT_TRUE(waiter->has_moved());
  EXPECT_EQ(woken_, 0);
}

TEST_F(PartitionStateTest, a_followers_high_watermark_is_its_leaders_as_far_as_its_log_goes) {
  append();
  append();
  state_.follow({kOther, LeaderEpoch(9)});
  state_.learn_high_watermark(Offset(1));
  EXPECT_EQ(state_.high_watermark(), Offset(1));
  state_.learn_high_watermark(Offset(7));
  EXPECT_EQ(state_.high_watermark(), Offset(2));
  ASSERT_TRUE(state_.cut(Offset(1)).has_value());
  EXPECT_EQ(state_.high_watermark(), Offset(1));
}

}  // namespace
}  // namespace millrace::node
