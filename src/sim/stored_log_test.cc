#include "sim/stored_log.h"

#include <gtest/gtest.h>

#include "raft/control_records.h"
#include "record/batch.h"
#include "record/builder.h"

namespace millrace::sim {
namespace {

constexpr const char* kDirectory = "/data/topic-0";
constexpr const char* kSegment = "/data/topic-0/00000000000000000000.log";

ByteBuffer batch_at(int64_t offset, std::string_view text) {
  record::BatchBuilder builder({});
  builder.append(
      {.timestamp = TimestampMs(1), .key = std::nullopt, .value = as_bytes(text), .headers = {}});
  ByteBuffer bytes = std::move(builder).build();
  store_big<int64_t>(bytes.data(), offset);
  return bytes;
}

class StoredLogTest : public testing::Test {
 protected:
  StoredLogTest() {
    EXPECT_TRUE(medium_.make_directories(kDirectory));
    EXPECT_TRUE(medium_.create(kSegment));
  }
  void append(const ByteBuffer& bytes) {
    auto file = medium_.find(kSegment);
    const ByteView view = bytes;
    ASSERT_TRUE(medium_.write(*file, {&view, 1}, file->content.size()));
  }
  void sync() {
    ASSERT_TRUE(medium_.sync(*medium_.find(kSegment)));
    ASSERT_TRUE(medium_.sync_disk(kDirectory));
  }

  World world_{1};
  Medium medium_{world_};
};

TEST_F(StoredLogTest, is_nothing_where_there_is_no_directory) {
  EXPECT_FALSE(read_stored_log(medium_, "/data/other-0", View::kWritten));
}

TEST_F(StoredLogTest, ends_behind_the_last_whole_batch) {
  append(batch_at(0, "a"));
  append(batch_at(1, "b"));
  ByteBuffer torn = batch_at(2, "c");
  torn.resize(torn.size() - 1);
  append(torn);
  const auto log = read_stored_log(medium_, kDirectory, View::kWritten);
  ASSERT_EQ(log->batches.size(), 2u);
  EXPECT_EQ(log->end(), 2);
  EXPECT_EQ(stored_end(medium_, kDirectory, View::kWritten), Offset(2));
}

TEST_F(StoredLogTest, what_is_not_synced_is_not_durable) {
  append(batch_at(0, "a"));
  sync();
  append(batch_at(1, "b"));
  EXPECT_EQ(stored_end(medium_, kDirectory, View::kDurable), Offset(1));
  EXPECT_EQ(stored_end(medium_, kDirectory, View::kWritten), Offset(2));
}

// It remembers what it found whole; read_stored_log looks at everything anew.
TEST_F(StoredLogTest, the_end_is_that_of_the_whole_log_whatever_happens_to_the_file) {
  Stream& dice = world_.disk;
  int ends_that_fell = 0;
  for (int step = 0; step < 4'000; ++step) {
    auto file = medium_.find(kSegment);
    const auto end = stored_end(medium_, kDirectory, View::kWritten);
    const uint64_t size = file->content.size();
    switch (dice.below(40)) {
      case 0: medium_.lose_power(); break;
      case 1: ASSERT_TRUE(medium_.truncate(*file, dice.below(size + 1))); break;
      case 2:
        if (size > 0) medium_.rot({kSegment, dice.below(size), 1});
        break;
      case 3: {
        const uint8_t byte = 7;
        if (size > 0) ASSERT_TRUE(medium_.write(*file, {{{&byte, 1}}}, dice.below(size)));
        break;
      }
      case 4:
        medium_.sync_failure_chance = 1;
        EXPECT_FALSE(medium_.sync(*file));
        medium_.sync_failure_chance = 0;
        break;
      case 5: ASSERT_TRUE(medium_.truncate(*file, 0)); break;
      case 6:
      case 7:
      case 8: sync(); break;
      default: append(batch_at(end.value(), "some text that takes a part of a page"));
    }
    for (const View view : {View::kWritten, View::kDurable})
      ASSERT_EQ(stored_end(medium_, kDirectory, view).value(),
                read_stored_log(medium_, kDirectory, view)->end());
    ends_that_fell += stored_end(medium_, kDirectory, View::kWritten) < end;
  }
  EXPECT_GT(ends_that_fell, 50);
}

TEST_F(StoredLogTest, batches_that_differ_in_a_byte_have_other_fingerprints) {
  append(batch_at(0, "a"));
  const auto before = read_stored_log(medium_, kDirectory, View::kWritten);
  ASSERT_TRUE(medium_.truncate(*medium_.find(kSegment), 0));
  append(batch_at(0, "b"));
  const auto after = read_stored_log(medium_, kDirectory, View::kWritten);
  EXPECT_NE(before->batches, after->batches);
}

TEST_F(StoredLogTest, sets_of_voters_stand_in_control_batches) {
  append(batch_at(0, "a"));
  raft::VoterSet voters;
  voters.voters[NodeId(2)] = {.directory_id = Uuid::of_words({1, 2}), .endpoints = {}};
  raft::ControlRecords records;
  records.emplace_back(record::ControlType::kKraftVoters, raft::voters_record(voters));
  append(raft::control_batch(records, {.base_offset = Offset(1), .leader_epoch = LeaderEpoch(3)},
                             TimestampMs(1)));
  const auto sets = read_stored_voters(medium_, kDirectory);
  ASSERT_EQ(sets.size(), 1u);
  EXPECT_EQ(sets[0].offset, Offset(1));
  EXPECT_EQ(sets[0].epoch, LeaderEpoch(3));
  EXPECT_EQ(sets[0].set, voters);
}

}  // namespace
}  // namespace millrace::sim
