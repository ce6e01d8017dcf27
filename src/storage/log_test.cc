#include "storage/log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "env/testing/memory_disk.h"
#include "record/builder.h"
#include "record/record.h"
#include "storage/log_directory.h"

namespace millrace::storage {
namespace {

constexpr TimestampMs kNow{1'700'000'000'000};
const std::string kDirectory = "/data/t-0";

ByteBuffer batch_of(int records, record::BatchOptions options = {}, TimestampMs timestamp = kNow) {
  record::BatchBuilder builder(options);
  for (int i = 0; i < records; ++i)
    builder.append({.timestamp = timestamp, .value = as_bytes("twenty bytes of value")});
  return std::move(builder).build();
}

class LogTest : public ::testing::Test {
 protected:
  LogTest() { reopen(); }

  void reopen(LogRecovery recovery = {}) {
    auto log = Log::open(disk_, kDirectory, options_, recovery);
    ASSERT_TRUE(log.has_value()) << log.error().message;
    log_ = std::move(*log);
  }
  Result<Offset> append(int records, LeaderEpoch epoch = LeaderEpoch(0)) {
    ByteBuffer batch = batch_of(records);
    const MutableByteView view = batch;
    return log_->append({&view, 1}, epoch, kNow);
  }
  void sync() {
    Unsynced unsynced = log_->take_unsynced();
    for (auto& file : unsynced.files) ASSERT_TRUE(file->sync().has_value());
    log_->mark_synced(unsynced.log_end);
  }
  // The offsets of all records that a reader from `from` on gets.
  std::vector<int64_t> read_offsets(Offset from) {
    std::vector<int64_t> offsets;
    for (;;) {
      auto slice = log_->read({.from = from, .below = log_->log_end(), .max_bytes = 1000});
      EXPECT_TRUE(slice.has_value());
      if (slice->length == 0) return offsets;
      ByteBuffer bytes(slice->length);
      EXPECT_EQ(*slice->file->read_at(bytes, slice->position), slice->length);
      record::BatchIterator batches(bytes);
      while (auto batch = *batches.next())
        for (from = batch->next_offset(); auto i : {batch->base_offset()})
          for (Offset o = i; o < from; ++o) offsets.push_back(o.value());
    }
  }

  env::testing::MemoryDisk disk_;
  LogOptions options_{.segment_bytes = 1000, .index_interval_bytes = 200};
  std::unique_ptr<Log> log_;
};

std::vector<int64_t> numbers(int64_t below) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < below; ++i) all.push_back(i);
  return all;
}

TEST_F(LogTest, gives_offsets_in_order_and_reads_them_back_over_segments) {
  for (int i = 0; i < 30; ++i) EXPECT_EQ(*append(3), Offset(3 * i));
  EXPECT_EQ(log_->log_end(), Offset(90));
  EXPECT_EQ(read_offsets(Offset(0)), numbers(90));
  EXPECT_GT(disk_.list(kDirectory)->size(), 6u);
}

// `UnifiedLog`: "Deleting all segments because logEndOffset is smaller than logStartOffset".
TEST_F(LogTest, a_log_that_ends_below_its_start_begins_anew_there) {
  ASSERT_TRUE(append(3).has_value());
  reopen({.log_start = Offset(7)});
  EXPECT_EQ(log_->log_start(), Offset(7));
  EXPECT_EQ(log_->log_end(), Offset(7));
  EXPECT_EQ(*append(3), Offset(7));
  EXPECT_EQ(read_offsets(Offset(7)), std::vector<int64_t>({7, 8, 9}));
}

TEST_F(LogTest, a_read_begins_with_the_batch_that_holds_the_offset) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(append(3).has_value());
  auto slice = *log_->read({.from = Offset(4), .below = Offset(15), .max_bytes = 1});
  ByteBuffer bytes(slice.length);
  ASSERT_TRUE(slice.file->read_at(bytes, slice.position).has_value());
  EXPECT_EQ(record::BatchView::parse(bytes)->base_offset(), Offset(3));
}

TEST_F(LogTest, a_read_of_a_batch_that_the_index_names_asks_the_file_for_nothing) {
  options_ = {.segment_bytes = 1 << 20, .index_interval_bytes = 50};
  reopen();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(append(3).has_value());
  for (int64_t from = 0; from < 30; ++from) {
    uint64_t reads = 0;
    disk_.on_read = [&](const std::string&, uint64_t, size_t) { ++reads; };
    auto slice = *log_->read({.from = Offset(from), .below = Offset(30), .max_bytes = 1});
    if (from >= 6) EXPECT_EQ(reads, 0U) << from;
    disk_.on_read = nullptr;
    ByteBuffer bytes(slice.length);
    ASSERT_TRUE(slice.file->read_at(bytes, slice.position).has_value());
    EXPECT_EQ(record::BatchView::parse(bytes)->base_offset(), Offset(from / 3 * 3));
  }
}

TEST_F(LogTest, a_read_never_gives_batches_at_or_beyond_its_bound) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(append(3).has_value());
  auto slice = *log_->read({.from = Offset(0), .below = Offset(6), .max_bytes = 10'000});
  ByteBuffer bytes(slice.length);
  ASSERT_TRUE(slice.file->read_at(bytes, slice.position).has_value());
  record::BatchIterator batches(bytes);
  Offset end;
  while (auto batch = *batches.next()) end = batch->next_offset();
  EXPECT_EQ(end, Offset(6));
}

TEST_F(LogTest, after_a_clean_stop_everything_is_there_again) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(3, LeaderEpoch(i / 10)).has_value());
  ASSERT_TRUE(log_->close().has_value());
  reopen({.clean = true});
  EXPECT_EQ(read_offsets(Offset(0)), numbers(90));
  EXPECT_EQ(log_->epoch_of(Offset(35)), LeaderEpoch(1));
  EXPECT_EQ(*append(1), Offset(90));
}

TEST_F(LogTest, a_clean_stop_keeps_every_segment_through_a_power_loss) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(3).has_value());
  ASSERT_TRUE(log_->close().has_value());
  disk_.crash();
  reopen({.clean = true});
  EXPECT_EQ(read_offsets(Offset(0)), numbers(90));
}

TEST_F(LogTest, after_a_clean_stop_only_the_end_of_the_log_is_read) {
  options_.segment_bytes = 1 << 20;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(append(3).has_value());
  ASSERT_TRUE(log_->close().has_value());
  uint64_t bytes = 0;
  disk_.on_read = [&](const std::string& path, uint64_t, size_t size) {
    if (path.ends_with(".log")) bytes += size;
  };
  reopen({.clean = true});
  EXPECT_EQ(log_->log_end(), Offset(3000));
  EXPECT_LT(bytes, 1000U);
  disk_.on_read = nullptr;
  EXPECT_EQ(read_offsets(Offset(0)), numbers(3000));
}

TEST_F(LogTest, a_stop_after_which_nothing_was_appended_writes_nothing) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(3).has_value());
  ASSERT_TRUE(log_->close().has_value());
  reopen({.clean = true});
  disk_.fault = [](std::string_view operation, const std::string& path) -> Result<> {
    if (operation == "read" || operation == "open") return {};
    ADD_FAILURE() << operation << " " << path;
    return {};
  };
  ASSERT_TRUE(log_->close().has_value());
  disk_.fault = nullptr;
}

TEST_F(LogTest, what_a_clean_stop_left_is_not_believed_when_it_is_damaged) {
  record::BatchOptions idempotent{.producer_id = ProducerId(7), .producer_epoch = ProducerEpoch(0)};
  for (int i = 0; i < 30; ++i) {
    idempotent.base_sequence = ProducerSequence(3 * i);
    ByteBuffer batch = batch_of(3, idempotent);
    const MutableByteView view = batch;
    ASSERT_TRUE(log_->append({&view, 1}, LeaderEpoch(0), kNow).has_value());
  }
  ASSERT_TRUE(log_->close().has_value());
  const ByteBuffer snapshot = log_->producers().snapshot();
  for (const auto& entry : *disk_.list(kDirectory)) {
    if (entry.name.ends_with(".log") || entry.name == "partition.metadata") continue;
    const std::string path = kDirectory + "/" + entry.name;
    const ByteBuffer whole = disk_.content(path);
    auto expect_all_there = [&](const ByteBuffer& damaged) {
      disk_.content(path) = damaged;
      reopen({.clean = true});
      EXPECT_EQ(read_offsets(Offset(0)), numbers(90)) << entry.name;
      EXPECT_EQ(log_->epoch_of(Offset(89)), LeaderEpoch(0)) << entry.name;
      if (!entry.name.ends_with(".snapshot"))
        EXPECT_EQ(log_->producers().snapshot(), snapshot) << entry.name;
      disk_.content(path) = whole;
    };
    expect_all_there({});
    expect_all_there(ByteBuffer(whole.size()));
    for (size_t at = 0; at < whole.size(); ++at) {
      ByteBuffer cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(at));
      expect_all_there(cut);
      ByteBuffer flipped = whole;
      flipped[at] ^= 0x41;
      if (entry.name.ends_with("index")) expect_all_there(flipped);
    }
  }
}

TEST_F(LogTest, old_segments_go_by_time_after_a_restart_too) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(3).has_value());
  ASSERT_TRUE(log_->close().has_value());
  reopen({.clean = true});
  const TimestampMs later = kNow + options_.retention_ms + 1;
  EXPECT_FALSE(log_->delete_old_segments(log_->log_end(), later)->empty());
  EXPECT_EQ(log_->log_start(), Offset(90));
}

TEST_F(LogTest, recovery_walks_over_what_is_trusted_without_reading_it) {
  options_.segment_bytes = 10 << 20;
  reopen();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(append(2000).has_value());
  sync();
  ASSERT_TRUE(append(2000).has_value());
  uint64_t bytes = 0;
  disk_.on_read = [&](const std::string& path, uint64_t, size_t size) {
    if (path.ends_with(".log")) bytes += size;
  };
  const uint64_t size = disk_.content(kDirectory + "/00000000000000000000.log").size();
  reopen({.recovery_point = Offset(40'000)});
  EXPECT_EQ(log_->log_end(), Offset(42'000));
  EXPECT_LT(bytes, size / 21 + 21 * 4096 + 4096);
  disk_.on_read = nullptr;
  EXPECT_EQ(read_offsets(Offset(0)), numbers(42'000));
}

TEST_F(LogTest, synced_batches_survive_a_power_loss_and_a_torn_tail_is_cut_at_every_byte) {
  ASSERT_TRUE(append(3).has_value());
  sync();
  const size_t synced = disk_.content(kDirectory + "/00000000000000000000.log").size();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(append(3).has_value());
  const ByteBuffer whole = disk_.content(kDirectory + "/00000000000000000000.log");
  const size_t batch = (whole.size() - synced) / 3;
  for (size_t kept = 0; kept <= whole.size() - synced; ++kept) {
    auto& content = disk_.content(kDirectory + "/00000000000000000000.log");
    content.assign(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(synced + kept));
    reopen({.recovery_point = Offset(3)});
    EXPECT_EQ(log_->log_end(), Offset(3 + 3 * static_cast<int64_t>(kept / batch))) << kept;
  }
}

TEST_F(LogTest, a_flipped_bit_behind_the_recovery_point_is_cut_and_below_it_refused) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(append(3).has_value());
  const std::string path = kDirectory + "/00000000000000000000.log";
  disk_.content(path)[disk_.content(path).size() / 2] ^= 1;
  const ByteBuffer rotten = disk_.content(path);
  auto refused = Log::open(disk_, kDirectory, options_, {.recovery_point = Offset(9)});
  // Trusted batches are not checked at start; what lies at the recovery point is.
  EXPECT_TRUE(refused.has_value());
  EXPECT_EQ(disk_.content(path), rotten);
  reopen({.recovery_point = Offset(0)});
  EXPECT_EQ(log_->log_end(), Offset(3));
}

TEST_F(LogTest, what_lies_behind_an_end_that_did_not_reach_the_medium_is_cut) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(1).has_value());
  auto& content = disk_.content(kDirectory + "/00000000000000000000.log");
  record::BatchIterator batches(content);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(batches.next()->has_value());
  const size_t kept = batches.position();
  ASSERT_LT(kept, content.size());
  content.resize(kept);  // of files that were not synced the second is whole, the first is not
  reopen({.recovery_point = Offset(2)});
  EXPECT_EQ(log_->log_end(), Offset(5));
  EXPECT_EQ(read_offsets(Offset(0)), numbers(5));
}

TEST_F(LogTest, a_compacted_log_has_gaps_between_its_files_and_loses_nothing) {
  options_.compacts = true;
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(1).has_value());
  auto& content = disk_.content(kDirectory + "/00000000000000000000.log");
  record::BatchIterator batches(content);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(batches.next()->has_value());
  content.resize(batches.position());
  reopen({.recovery_point = Offset(2)});
  EXPECT_EQ(log_->log_end(), Offset(30));
}

TEST_F(LogTest, damage_below_the_recovery_point_is_reported_and_nothing_is_cut) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(append(3).has_value());
  const std::string path = kDirectory + "/00000000000000000000.log";
  disk_.content(path)[16] = 77;  // the magic of the first batch
  const ByteBuffer rotten = disk_.content(path);
  auto log = Log::open(disk_, kDirectory, options_, {.recovery_point = Offset(9)});
  ASSERT_FALSE(log.has_value());
  EXPECT_EQ(log.error().code, Errc::kCorrupt);
  EXPECT_EQ(disk_.content(path), rotten);
}

TEST_F(LogTest, a_full_disk_refuses_the_append_and_leaves_nothing_of_it) {
  ASSERT_TRUE(append(3).has_value());
  const size_t before = disk_.content(kDirectory + "/00000000000000000000.log").size();
  disk_.fault = [](std::string_view operation, const std::string&) -> Result<> {
    if (operation == "write") return fail(Errc::kNoSpace, "full");
    return {};
  };
  EXPECT_EQ(append(3).error().code, Errc::kNoSpace);
  EXPECT_EQ(disk_.content(kDirectory + "/00000000000000000000.log").size(), before);
  disk_.fault = nullptr;
  EXPECT_EQ(*append(3), Offset(3));
  EXPECT_EQ(read_offsets(Offset(0)), numbers(6));
}

TEST_F(LogTest, old_segments_go_by_size_and_readers_see_the_new_start) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(3).has_value());
  options_.retention_bytes = 1500;
  log_->set_options(options_);
  auto files = *log_->delete_old_segments(log_->log_end(), kNow);
  EXPECT_FALSE(files.empty());
  EXPECT_GT(log_->log_start(), Offset(0));
  EXPECT_EQ(read_offsets(log_->log_start()).front(), log_->log_start().value());
}

TEST_F(LogTest, old_segments_go_by_time_and_never_beyond_the_limit) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(append(3).has_value());
  const TimestampMs later = kNow + options_.retention_ms + 1;
  EXPECT_TRUE(log_->delete_old_segments(Offset(0), later)->empty());
  EXPECT_FALSE(log_->delete_old_segments(log_->log_end(), later)->empty());
  EXPECT_EQ(log_->log_start(), Offset(90));
  EXPECT_EQ(*append(1), Offset(90));
}

TEST_F(LogTest, finds_the_first_record_at_or_after_a_timestamp) {
  for (int i = 0; i < 20; ++i) {
    ByteBuffer batch = batch_of(2, {}, kNow + 10 * i);
    const MutableByteView view = batch;
    ASSERT_TRUE(log_->append({&view, 1}, LeaderEpoch(0), kNow).has_value());
  }
  EXPECT_EQ((*log_->offset_for_timestamp(kNow + 55))->offset, Offset(12));
  EXPECT_FALSE((*log_->offset_for_timestamp(kNow + 1000)).has_value());
  EXPECT_EQ((*log_->max_timestamp())->offset, Offset(38));
}

// kafka.md 6.1, as measured on 4.3.1: dated records are as old as they lie apart, not as their log.
TEST_F(LogTest, a_segment_rolls_when_its_records_lie_too_far_apart) {
  options_ = {.segment_bytes = 100'000, .segment_ms = 1000};
  reopen();
  auto write = [&](TimestampMs timestamp) {
    ByteBuffer batch = batch_of(1, {}, timestamp);
    const MutableByteView view = batch;
    ASSERT_TRUE(log_->append({&view, 1}, LeaderEpoch(0), kNow).has_value());
  };
  auto rolled_at = [&](int offset) {
    return disk_.exists(fmt::format("{}/{:020}.log", kDirectory, offset));
  };
  const TimestampMs long_ago = kNow - 1'000'000'000;
  for (int i = 0; i < 5; ++i) write(long_ago + 200 * i);
  for (int offset = 1; offset < 5; ++offset) EXPECT_FALSE(rolled_at(offset)) << offset;
  write(long_ago + 1001);
  EXPECT_TRUE(rolled_at(5));
}

TEST_F(LogTest, the_end_of_an_epoch_is_the_start_of_the_next) {
  ASSERT_TRUE(append(3, LeaderEpoch(1)).has_value());
  ASSERT_TRUE(append(3, LeaderEpoch(4)).has_value());
  EXPECT_EQ(log_->end_of_epoch(LeaderEpoch(4)), (EpochStart{LeaderEpoch(4), Offset(6)}));
  EXPECT_EQ(log_->end_of_epoch(LeaderEpoch(2)), (EpochStart{LeaderEpoch(1), Offset(3)}));
  EXPECT_EQ(log_->end_of_epoch(LeaderEpoch(0)), (EpochStart{LeaderEpoch(0), Offset(0)}));
  EXPECT_EQ(log_->end_of_epoch(LeaderEpoch(9)).epoch, kNoLeaderEpoch);
}

TEST_F(LogTest, truncation_forgets_what_lies_behind_it) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(append(3).has_value());
  ASSERT_TRUE(log_->truncate_to(Offset(31)).has_value());
  EXPECT_EQ(log_->log_end(), Offset(30));
  EXPECT_EQ(read_offsets(Offset(0)), numbers(30));
  EXPECT_EQ(*append(1), Offset(30));
}

record::BatchHeader produced(int32_t sequence, int16_t epoch = 0) {
  record::BatchHeader header;
  header.producer_id = ProducerId(7);
  header.producer_epoch = ProducerEpoch(epoch);
  header.base_sequence = ProducerSequence(sequence);
  header.base_offset = Offset(sequence);
  header.last_offset_delta = 1;
  return header;
}

TEST(ProducerState, accepts_the_next_sequence_and_knows_the_last_five_batches_again) {
  ProducerState state;
  for (int32_t s = 0; s < 14; s += 2) {
    EXPECT_TRUE(std::holds_alternative<Accepted>(state.check(produced(s))));
    state.update(produced(s), kNow);
  }
  for (int32_t s : {4, 6, 8, 10, 12})
    EXPECT_EQ(std::get<ProducedBatch>(state.check(produced(s))).base_offset(), Offset(s));
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(2))), SequenceError::kOutOfOrderSequence);
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(16))), SequenceError::kOutOfOrderSequence);
}

TEST(ProducerState, a_new_epoch_begins_at_zero_and_an_old_one_is_fenced) {
  ProducerState state;
  state.update(produced(0, 3), kNow);
  EXPECT_TRUE(std::holds_alternative<Accepted>(state.check(produced(0, 4))));
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(2, 4))),
            SequenceError::kOutOfOrderSequence);
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(2, 2))),
            SequenceError::kInvalidProducerEpoch);
}

TEST(ProducerState, what_was_sent_behind_a_batch_that_could_not_be_written_waits_for_it) {
  ProducerState state;
  state.refuse(produced(0));
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(2))), SequenceError::kBehindRefused);
  EXPECT_TRUE(std::holds_alternative<Accepted>(state.check(produced(0))));
  state.update(produced(0), kNow);
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(4))), SequenceError::kOutOfOrderSequence);
  state.refuse(produced(2));
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(4))), SequenceError::kBehindRefused);
  state.refuse(produced(4));
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(4))), SequenceError::kBehindRefused);
  EXPECT_TRUE(std::holds_alternative<ProducedBatch>(state.check(produced(0))));
  EXPECT_EQ(std::get<SequenceError>(state.check(produced(4, 1))),
            SequenceError::kOutOfOrderSequence);
  state.update(produced(2), kNow);
  EXPECT_TRUE(std::holds_alternative<Accepted>(state.check(produced(4))));
}

// A producer that reuses the sequence of what it thinks was not sent is not told that it was.
TEST(ProducerState, a_batch_of_a_transaction_is_known_again_only_while_that_is_open) {
  const auto in_transaction = [](int32_t sequence, int64_t offset) {
    record::BatchHeader header = produced(sequence);
    header.base_offset = Offset(offset);
    header.attributes = record::Attributes(0x10);
    return header;
  };
  ProducerState state;
  state.update(in_transaction(0, 0), kNow);
  EXPECT_TRUE(std::holds_alternative<ProducedBatch>(state.check(in_transaction(0, 0))));
  record::BatchHeader marker = in_transaction(-1, 2);
  state.end_transaction(marker, 0);
  const auto again = [&](const ProducerState& known) {
    return std::get<SequenceError>(known.check(in_transaction(0, 0)));
  };
  EXPECT_EQ(again(state), SequenceError::kOutOfOrderSequence);
  EXPECT_EQ(again(*ProducerState::parse_snapshot(state.snapshot())),
            SequenceError::kOutOfOrderSequence);
  EXPECT_TRUE(std::holds_alternative<Accepted>(state.check(in_transaction(2, 3))));
  state.update(in_transaction(2, 3), kNow);
  EXPECT_EQ(again(state), SequenceError::kOutOfOrderSequence);
  EXPECT_TRUE(std::holds_alternative<ProducedBatch>(state.check(in_transaction(2, 3))));
}

TEST(ProducerState, the_sequence_wraps_to_zero) {
  ProducerState state;
  state.update(produced(INT32_MAX - 1), kNow);
  EXPECT_TRUE(std::holds_alternative<Accepted>(state.check(produced(0))));
}

TEST(ProducerState, a_snapshot_gives_back_the_last_sequence_and_rot_in_it_is_noticed) {
  ProducerState state;
  state.update(produced(0), kNow);
  ByteBuffer bytes = state.snapshot();
  auto again = ProducerState::parse_snapshot(bytes);
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(std::holds_alternative<ProducedBatch>(again->check(produced(0))));
  EXPECT_EQ(again->snapshot(), bytes);
  bytes[20] ^= 1;
  EXPECT_EQ(ProducerState::parse_snapshot(bytes).error().code, Errc::kCorrupt);
}

TEST(Checkpoint, prints_what_it_parsed) {
  const std::string text = "0\n2\na-b 3 17\nt 0 5\n";
  EXPECT_EQ(print_offset_checkpoint(*parse_offset_checkpoint(text)), text);
  EXPECT_FALSE(parse_offset_checkpoint("0\n2\nt 0 5\n").has_value());
  EXPECT_FALSE(parse_offset_checkpoint("1\n0\n").has_value());
}

TEST(LogDirectory, refuses_another_cluster_and_another_node) {
  env::testing::MemoryDisk disk;
  const MetaProperties ours{.cluster_id = "c1", .node_id = NodeId(1), .directory_id = Uuid{{1}}};
  ASSERT_TRUE(LogDirectory::open(disk, "/data", ours).has_value());
  MetaProperties other = ours;
  other.cluster_id = "c2";
  EXPECT_EQ(LogDirectory::open(disk, "/data", other).error().code, Errc::kInvalid);
  other = ours;
  other.node_id = NodeId(2);
  EXPECT_NE(LogDirectory::open(disk, "/data", other).error().message.find("node.id=2"),
            std::string::npos);
}

TEST(LogDirectory, tells_the_epoch_of_a_process_that_lost_nothing) {
  env::testing::MemoryDisk disk;
  const MetaProperties ours{.cluster_id = "c1", .node_id = NodeId(1), .directory_id = Uuid{{1}}};
  auto open = [&] { return *LogDirectory::open(disk, "/data", ours); };
  EXPECT_EQ(open()->previous_broker_epoch(), BrokerEpoch(-1));
  ASSERT_TRUE(open()->write_clean_shutdown(BrokerEpoch(3)).has_value());
  EXPECT_EQ(open()->previous_broker_epoch(), BrokerEpoch(3));
  ASSERT_TRUE(open()->note_durable_epoch(BrokerEpoch(7)).has_value());
  ASSERT_TRUE(open()->clear_clean_shutdown().has_value());
  EXPECT_EQ(open()->previous_broker_epoch(), BrokerEpoch(7));
  EXPECT_FALSE(open()->stopped_cleanly()) << "its logs are to be recovered";
  ASSERT_TRUE(open()->write_clean_shutdown(BrokerEpoch(9)).has_value());
  EXPECT_EQ(open()->previous_broker_epoch(), BrokerEpoch(9));
}

TEST_F(LogTest, a_directory_that_cannot_be_read_is_no_empty_log) {
  append(1);
  disk_.fault = [](auto, const auto&) -> Result<> { return fail(Errc::kIo, "broken"); };
  const auto log = Log::open(disk_, kDirectory, options_, {});
  ASSERT_FALSE(log.has_value());
  EXPECT_EQ(log.error().code, Errc::kIo);
}

TEST(LogDirectory, takes_partition_names_apart_and_leaves_others_alone) {
  EXPECT_EQ(parse_partition_directory("a-b-12"), (TopicPartition{"a-b", PartitionIndex(12)}));
  for (const char* name : {"x", "-1", "a-", "a-1x", "t-0.0123-delete", "a-99999999999"})
    EXPECT_FALSE(parse_partition_directory(name).has_value()) << name;
}

TEST(TransactionIndex, gives_what_overlaps_a_range_and_prints_what_it_parsed) {
  TransactionIndex index;
  index.add({ProducerId(1), Offset(10), Offset(20), Offset(12)});
  index.add({ProducerId(2), Offset(15), Offset(30), Offset(15)});
  EXPECT_EQ(index.overlapping({Offset(0), Offset(10)}).size(), 0u);
  EXPECT_EQ(index.overlapping({Offset(0), Offset(11)}).size(), 1u);
  EXPECT_EQ(index.overlapping({Offset(21), Offset(40)})[0].producer_id, ProducerId(2));
  const ByteBuffer bytes = index.print({Offset(0), Offset(100)});
  TransactionIndex again;
  ASSERT_TRUE(again.parse(bytes).has_value());
  EXPECT_EQ(again.print({Offset(0), Offset(100)}), bytes);
  EXPECT_FALSE(again.parse(ByteView(bytes).first(33)).has_value());
}

class AbortedTransactionTest : public LogTest {
 protected:
  // Three records and the marker.
  void abort_transaction_of(ProducerId producer) {
    record::BatchOptions data{.producer_id = producer,
                              .producer_epoch = ProducerEpoch(0),
                              .base_sequence = ProducerSequence(0),
                              .transactional = true};
    ByteBuffer records = batch_of(3, data);
    const auto key = std::array<uint8_t, 4>{0, 0, 0, 0};
    record::BatchBuilder marker({.producer_id = producer,
                                 .producer_epoch = ProducerEpoch(0),
                                 .transactional = true,
                                 .control = true});
    marker.append({.timestamp = kNow,
                   .key = ByteView(key),
                   .value = as_bytes(std::string_view("\0\0\0\0\0\1", 6))});
    ByteBuffer abort = std::move(marker).build();
    for (ByteBuffer* batch : {&records, &abort}) {
      const MutableByteView view = *batch;
      ASSERT_TRUE(log_->append({&view, 1}, LeaderEpoch(0), kNow).has_value());
    }
  }
};

TEST_F(AbortedTransactionTest, is_known_again_after_a_restart) {
  abort_transaction_of(ProducerId(7));
  const TransactionIndex::Range all{Offset(0), Offset(100)};
  ASSERT_EQ(log_->aborted_transactions(all).size(), 1u);
  const AbortedTransaction expected = log_->aborted_transactions(all)[0];
  EXPECT_EQ(expected.first_offset, Offset(0));
  EXPECT_EQ(expected.last_offset, Offset(3));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(append(3).has_value());  // over segments
  ASSERT_TRUE(log_->close().has_value());
  reopen({.clean = true});
  EXPECT_EQ(log_->aborted_transactions(all), std::vector({expected}));
  reopen({.recovery_point = log_->log_end()});
  EXPECT_EQ(log_->aborted_transactions(all), std::vector({expected}));
  reopen({.recovery_point = Offset(0)});
  EXPECT_EQ(log_->aborted_transactions(all), std::vector({expected}));
}

// What a start finds beside a segment that is not the last one is believed.
TEST_F(AbortedTransactionTest, is_known_again_whatever_the_roll_behind_it_had_come_to) {
  bool failed = true;
  for (int64_t step = 0; failed; ++step) {
    abort_transaction_of(ProducerId(step));
    failed = false;
    disk_.fault = [&, left = step](std::string_view operation, const std::string&) mutable {
      failed |= operation != "list" && operation != "exists" && left-- <= 0;
      return failed && operation != "list" ? fail(Errc::kIo, "no space") : Result<>();
    };
    const size_t files = disk_.list(kDirectory)->size();
    while (append(3) && disk_.list(kDirectory)->size() == files) {
    }
    disk_.fault = nullptr;
    reopen({.recovery_point = log_->log_end()});
    EXPECT_EQ(log_->aborted_transactions({Offset(0), log_->log_end()}).size(),
              static_cast<size_t>(step + 1))
        << "failed at step " << step;
  }
}

}  // namespace
}  // namespace millrace::storage
