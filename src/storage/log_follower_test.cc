// What a follower does to its log: appending as its leader has it, cutting, starting over.
#include <gtest/gtest.h>

#include "env/testing/memory_disk.h"
#include "record/builder.h"
#include "storage/log.h"

namespace millrace::storage {
namespace {

constexpr TimestampMs kNow{1'700'000'000'000};
const std::string kDirectory = "/data/t-0";

class FollowerLogTest : public ::testing::Test {
 protected:
  FollowerLogTest() { reopen(); }

  void reopen(LogRecovery recovery = {}) {
    auto log = Log::open(disk_, kDirectory, LogOptions{.segment_bytes = 1000}, recovery);
    ASSERT_TRUE(log.has_value()) << log.error().message;
    log_ = std::move(*log);
  }
  // One record of a producer, as the leader wrote it.
  void append(int64_t offset, int32_t epoch, ProducerId producer = kNoProducerId) {
    const bool idempotent = producer != kNoProducerId;
    record::BatchBuilder builder({.base_offset = Offset(offset),
                                  .leader_epoch = LeaderEpoch(epoch),
                                  .producer_id = producer,
                                  .producer_epoch = ProducerEpoch(idempotent ? 0 : -1),
                                  .base_sequence = ProducerSequence(idempotent ? 0 : -1)});
    builder.append({.timestamp = kNow, .value = as_bytes(std::string(100, 'x'))});
    const ByteBuffer bytes = std::move(builder).build();
    const auto batch = *record::BatchView::parse(bytes);
    ASSERT_TRUE(log_->append_as_is({&batch, 1}, kNow).has_value());
  }

  env::testing::MemoryDisk disk_;
  std::unique_ptr<Log> log_;
};

TEST_F(FollowerLogTest, has_the_leaders_offsets_and_epochs) {
  append(0, 1);
  append(5, 1);  // a compacted log has gaps
  append(6, 4);
  EXPECT_EQ(log_->log_end(), Offset(7));
  EXPECT_EQ(log_->end_of_epoch(LeaderEpoch(1)), (EpochStart{LeaderEpoch(1), Offset(6)}));
  EXPECT_EQ(log_->latest_epoch(), LeaderEpoch(4));
}

TEST_F(FollowerLogTest, an_epoch_without_records_goes_where_the_log_is_cut) {  // KAFKA-10706
  append(0, 1);
  append(1, 2);
  ASSERT_TRUE(log_->truncate_to(Offset(1)).has_value());
  EXPECT_EQ(log_->latest_epoch(), LeaderEpoch(1));
  append(1, 3);
  EXPECT_EQ(log_->end_of_epoch(LeaderEpoch(2)), (EpochStart{LeaderEpoch(1), Offset(1)}));
}

TEST_F(FollowerLogTest, a_sync_from_before_a_cut_says_nothing_about_what_came_after) {
  append(0, 1);
  append(1, 1);
  const Unsynced before = log_->take_unsynced();
  ASSERT_TRUE(log_->truncate_to(Offset(1)).has_value());
  append(1, 2);
  EXPECT_FALSE(log_->is_current(before));
  EXPECT_TRUE(log_->is_current(log_->take_unsynced()));
}

TEST_F(FollowerLogTest, producers_whose_records_were_cut_off_are_not_known_after_a_restart) {
  append(0, 1);
  append(1, 1, ProducerId(7));
  ASSERT_TRUE(log_->close().has_value());  // leaves a snapshot
  reopen({.recovery_point = Offset(2), .clean = true});
  EXPECT_TRUE(log_->producers().producers().contains(ProducerId(7)));
  ASSERT_TRUE(log_->truncate_to(Offset(1)).has_value());
  append(1, 2);
  reopen({.recovery_point = Offset(0), .clean = true});
  EXPECT_EQ(log_->log_end(), Offset(2));
  EXPECT_FALSE(log_->producers().producers().contains(ProducerId(7)));
}

TEST_F(FollowerLogTest, starts_over_where_its_leader_does) {
  append(0, 1);
  ASSERT_TRUE(log_->start_over_at(Offset(40)).has_value());
  append(40, 3);
  EXPECT_EQ(log_->log_start(), Offset(40));
  EXPECT_EQ(log_->log_end(), Offset(41));
  EXPECT_EQ(log_->latest_epoch(), LeaderEpoch(3));
}

}  // namespace
}  // namespace millrace::storage
