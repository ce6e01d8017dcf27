#include "storage/compaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/testing/memory_disk.h"
#include "storage/testing/keyed_log.h"

namespace millrace::storage {
namespace {

using testing::batches_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Keyed;
using testing::table_of;

constexpr TimestampMs kNow{1'700'000'000'000};
const std::string kDirectory = "/data/t-0";
constexpr ProducerId kProducer{7};
constexpr ProducerEpoch kEpoch{0};

class CompactionTest : public ::testing::Test {
 protected:
  CompactionTest() { reopen(); }

  void reopen(LogRecovery recovery = {}) {
    log_.reset();
    auto log = Log::open(disk_, kDirectory, options_, recovery);
    ASSERT_TRUE(log.has_value()) << log.error().message;
    log_ = std::move(*log);
  }
  void append(const std::vector<Keyed>& records, record::BatchOptions options = {}) {
    ASSERT_TRUE(
        testing::append(*log_, testing::keyed_batch(records, now_, options), now_).has_value());
  }
  // Of a transaction; sequences go on.
  void append_in_transaction(const std::vector<Keyed>& records, ProducerId id = kProducer) {
    append(records, {.producer_id = id,
                     .producer_epoch = kEpoch,
                     .base_sequence = ProducerSequence(sequences_[id]),
                     .transactional = true});
    sequences_[id] += static_cast<int32_t>(records.size());
  }
  void end_transaction(record::ControlType type, ProducerId id = kProducer) {
    ASSERT_TRUE(
        testing::append(*log_, testing::marker_batch({id, kEpoch, type}, now_), now_).has_value());
  }
  // What is appended from here on is in another segment.
  void roll() {
    options_.segment_bytes = 1;
    log_->set_options(options_);
    append({{"filler", "f"}});
    options_.segment_bytes = 100'000;
    log_->set_options(options_);
  }
  bool compact(const CleanerLimits& limits = {.map_bytes = 1 << 16}) {
    auto done = testing::compact(disk_, *log_, now_, limits);
    EXPECT_TRUE(done.has_value()) << done.error().message;
    return done.value_or(false);
  }
  std::vector<std::string> files(std::string_view suffix) {
    std::vector<std::string> found;
    for (const auto& entry : *disk_.list(kDirectory))
      if (entry.name.ends_with(suffix)) found.push_back(entry.name);
    return found;
  }

  env::testing::MemoryDisk disk_;
  LogOptions options_{.segment_bytes = 100'000,
                      .index_interval_bytes = 0,
                      .delete_old = false,
                      .compacts = true,
                      .delete_retention_ms = 1000};
  std::unique_ptr<Log> log_;
  TimestampMs now_ = kNow;
  std::map<ProducerId, int32_t> sequences_;
};

TEST_F(CompactionTest, the_newest_record_of_each_key_stays_at_its_offset_in_its_batch) {
  append({{"a", "1"}, {"b", "1"}, {"a", "2"}});
  append({{"c", "1"}});
  append({{"b", "2"}, {"c", "2"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_),
              ElementsAre("[0..2: 2 a=2]", "[4..5: 4 b=2 5 c=2]", "[6..6: 6 filler=f]"));
  EXPECT_EQ(log_->cleaned_to(), Offset(6));
  EXPECT_EQ(log_->log_start(), Offset(0));
}

TEST_F(CompactionTest, the_active_segment_is_not_touched_and_counts_next_time) {
  append({{"a", "1"}});
  append({{"a", "2"}});
  EXPECT_FALSE(compact());
  roll();
  append({{"a", "3"}});
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_),
              ElementsAre("[1..1: 1 a=2]", "[2..2: 2 filler=f]", "[3..3: 3 a=3]"));
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_),
              ElementsAre("[2..2: 2 filler=f]", "[3..3: 3 a=3]", "[4..4: 4 filler=f]"))
      << "the filler of the active segment is not known yet";
}

TEST_F(CompactionTest, nothing_behind_the_last_stable_offset_is_touched) {
  append({{"a", "1"}});
  roll();
  append({{"a", "2"}});
  roll();
  EXPECT_EQ((*log_->cleanable(Offset(2), now_))->first_uncleanable, Offset(1));
  EXPECT_EQ((*log_->cleanable(Offset(0), now_))->first_uncleanable, Offset(0));
  EXPECT_EQ((*log_->cleanable(Offset(4), now_))->first_uncleanable, Offset(3));
}

TEST_F(CompactionTest, records_younger_than_the_least_lag_are_left_alone) {
  options_.min_compaction_lag_ms = 100;
  log_->set_options(options_);
  append({{"a", "1"}});
  roll();
  now_ = kNow + 50;
  append({{"a", "2"}});
  roll();
  now_ = kNow + 99;
  EXPECT_EQ((*log_->cleanable(Offset(4), now_))->cleanable_bytes, 0U);
  now_ = kNow + 100;
  EXPECT_EQ((*log_->cleanable(Offset(4), now_))->first_uncleanable, Offset(1));
  now_ = kNow + 150;
  EXPECT_EQ((*log_->cleanable(Offset(4), now_))->first_uncleanable, Offset(3));
}

TEST_F(CompactionTest, a_log_is_due_by_its_dirty_part_or_by_its_age) {
  options_.max_compaction_lag_ms = 100;
  log_->set_options(options_);
  append({{"a", "1"}});
  append({{"b", "1"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_FALSE((*log_->cleanable(Offset(3), now_))->is_due(0));
  roll();
  const Cleanable found = **log_->cleanable(Offset(4), now_);
  EXPECT_DOUBLE_EQ(found.ratio(), 75.0 / (75 + 2 * 70));
  EXPECT_TRUE(found.is_due(0.3));
  EXPECT_FALSE(found.is_due(0.5));
  EXPECT_TRUE((*log_->cleanable(Offset(4), now_ + 101))->is_due(0.5));
}

TEST_F(CompactionTest, a_tombstone_stays_until_its_horizon_and_hides_what_is_before_it) {
  append({{"a", "1"}, {"b", "1"}});
  append({{"a", std::nullopt}, {"b", "2"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_), ElementsAre("h[2..3: 2 a=- 3 b=2]", "[4..4: 4 filler=f]"));
  now_ = now_ + 999;
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_),
              ElementsAre("h[2..3: 2 a=- 3 b=2]", "[4..4: 4 filler=f]", "[5..5: 5 filler=f]"));
  now_ = now_ + 1;
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_),
              ElementsAre("h[2..3: 3 b=2]", "[5..5: 5 filler=f]", "[6..6: 6 filler=f]"));
}

TEST_F(CompactionTest, timestamps_survive_a_delete_horizon) {
  append({{"a", std::nullopt}, {"b", "2"}});
  roll();
  ASSERT_TRUE(compact());
  auto found = *log_->offset_for_timestamp(kNow);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->offset, Offset(0));
  EXPECT_EQ(found->timestamp, kNow);
}

TEST_F(CompactionTest, records_without_a_key_go) {
  append({{"", "1"}, {"a", "1"}});
  append({{"", "2"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_), ElementsAre("[0..1: 1 a=1]", "[2..2:]", "[3..3: 3 filler=f]"));
}

TEST_F(CompactionTest, the_last_batch_of_a_round_stays_if_only_as_a_header) {
  append({{"b", "1"}});
  append({{"a", "1"}});
  roll();
  append({{"a", "2"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_), ElementsAre("[0..0: 0 b=1]", "[2..2: 2 filler=f]", "[3..3: 3 a=2]",
                                             "[4..4: 4 filler=f]"));
  append({{"b", "2"}, {"a", "3"}});
  roll();
  append({{"b", "3"}, {"a", "4"}});
  roll();
  options_.segment_bytes = 10;  // each segment for itself, so that the end of each shows
  log_->set_options(options_);
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_),
              ElementsAre("[7..7: 7 filler=f]", "[8..9: 8 b=3 9 a=4]", "[10..10: 10 filler=f]"));
  append({{"filler", "g"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_EQ(batches_of(*log_).back(), "[12..12: 12 filler=f]");
}

TEST_F(CompactionTest, the_last_batch_of_an_active_producer_keeps_its_sequence) {
  append(
      {{"a", "1"}, {"a", "2"}},
      {.producer_id = kProducer, .producer_epoch = kEpoch, .base_sequence = ProducerSequence(0)});
  append(
      {{"a", "3"}},
      {.producer_id = kProducer, .producer_epoch = kEpoch, .base_sequence = ProducerSequence(2)});
  append({{"a", "4"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_), ElementsAre("[2..2:]", "[3..3: 3 a=4]", "[4..4: 4 filler=f]"));
  reopen({.recovery_point = Offset(0)});
  const auto& producer = log_->producers().producers().at(kProducer);
  EXPECT_EQ(producer.last()->last_sequence, ProducerSequence(2));
  EXPECT_EQ(producer.last()->last_offset, Offset(2));
  log_->expire_producers(kNow + 1);
  append({{"a", "5"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_),
              ElementsAre("[4..4: 4 filler=f]", "[5..5: 5 a=5]", "[6..6: 6 filler=f]"));
}

TEST_F(CompactionTest, aborted_records_go_and_do_not_hide_older_ones) {
  append({{"a", "1"}});
  append_in_transaction({{"a", "2"}, {"b", "2"}});
  end_transaction(record::ControlType::kAbort);
  append_in_transaction({{"c", "3"}});
  end_transaction(record::ControlType::kCommit);
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_), ElementsAre("[0..0: 0 a=1]", "ct[3..3: 3]", "t[4..4: 4 c=3]",
                                             "ct[5..5: 5]", "[6..6: 6 filler=f]"));
  EXPECT_EQ(log_->aborted_transactions({Offset(0), Offset(7)}).size(), 1U)
      << "its records were met in this round";
}

TEST_F(CompactionTest, a_marker_goes_when_its_records_are_gone_and_its_horizon_is_past) {
  append_in_transaction({{"a", "1"}});
  end_transaction(record::ControlType::kAbort);
  append_in_transaction({{"b", "1"}});
  end_transaction(record::ControlType::kCommit);
  append({{"b", "2"}});
  roll();
  ASSERT_TRUE(compact());
  // Of the committed transaction the last batch of its producer stays, empty.
  EXPECT_THAT(batches_of(*log_), ElementsAre("ct[1..1: 1]", "t[2..2:]", "ct[3..3: 3]",
                                             "[4..4: 4 b=2]", "[5..5: 5 filler=f]"));
  append({{"b", "3"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_EQ(batches_of(*log_).front(), "cth[1..1: 1]") << "nothing was met: the horizon begins";
  EXPECT_THAT(log_->aborted_transactions({Offset(0), Offset(7)}), IsEmpty());
  now_ = now_ + 1000;
  append({{"b", "4"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_EQ(batches_of(*log_).front(), "t[2..2:]");
  log_->expire_producers(now_ + 1);
  for (const char* front : {"ct[3..3: 3]", "cth[3..3: 3]"}) {
    append({{"b", "5"}});
    roll();
    ASSERT_TRUE(compact());
    EXPECT_EQ(batches_of(*log_).front(), front);
  }
  now_ = now_ + 1000;
  append({{"b", "6"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_EQ(batches_of(*log_).front(), "[13..13: 13 filler=f]");
}

// KAFKA-8351, KAFKA-14055.
TEST_F(CompactionTest, a_transaction_over_segments_is_aborted_in_all_of_them) {
  append_in_transaction({{"a", "1"}});
  roll();
  append_in_transaction({{"b", "1"}});
  append({{"a", "0"}, {"b", "0"}});
  roll();
  append_in_transaction({{"b", "2"}});
  end_transaction(record::ControlType::kAbort);
  append_in_transaction({{"a", "3"}});
  end_transaction(record::ControlType::kCommit);
  roll();
  options_.segment_bytes = 10;  // groups of one segment: what is known of transactions goes on
  log_->set_options(options_);
  ASSERT_TRUE(compact());
  EXPECT_EQ(table_of(*log_),
            (std::map<std::string, std::string>{{"a", "3"}, {"b", "0"}, {"filler", "f"}}));
  EXPECT_EQ(log_->aborted_transactions({Offset(0), Offset(20)}).size(), 1U);
  reopen({.recovery_point = log_->log_end()});
  EXPECT_EQ(log_->aborted_transactions({Offset(0), Offset(20)}).size(), 1U);
}

// KAFKA-13194: a marker's key is bytes that a user's record may have as well.
TEST_F(CompactionTest, a_key_like_that_of_a_marker_does_not_hide_the_marker) {
  const auto key = record::control_key(record::ControlType::kCommit);
  append_in_transaction({{"a", "1"}});
  end_transaction(record::ControlType::kCommit);
  append({{std::string(key.begin(), key.end()), "x"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_EQ(batches_of(*log_).size(), 4U);
  EXPECT_EQ(batches_of(*log_)[1], "ct[1..1: 1]");
}

TEST_F(CompactionTest, a_map_that_is_full_ends_the_round_and_the_next_goes_on) {
  for (int i = 0; i < 20; ++i) append({{fmt::format("k{}", i % 10), fmt::format("{}", i)}});
  roll();
  const auto before = table_of(*log_);
  for (int round = 0; log_->cleaned_to().value_or(Offset(0)) < Offset(20); ++round) {
    ASSERT_LT(round, 20);
    const Offset from = log_->cleaned_to().value_or(Offset(0));
    ASSERT_TRUE(compact({.map_bytes = 4 * OffsetMap::kSlotBytes, .load_factor = 0.8}));
    EXPECT_GE(*log_->cleaned_to() - from, std::min<int64_t>(3, Offset(20) - from));
    EXPECT_EQ(table_of(*log_), before);
  }
  EXPECT_EQ(batches_of(*log_).size(), 11U);
}

TEST_F(CompactionTest, a_batch_of_more_keys_than_the_map_holds_is_cleaned_in_parts) {
  append({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"a", "2"}, {"b", "2"}, {"c", "2"}});
  roll();
  for (int round = 0; log_->cleaned_to().value_or(Offset(0)) < Offset(6); ++round) {
    ASSERT_LT(round, 6);
    ASSERT_TRUE(compact({.map_bytes = 3 * OffsetMap::kSlotBytes, .load_factor = 0.7}));
  }
  EXPECT_THAT(batches_of(*log_), ElementsAre("[0..5: 3 a=2 4 b=2 5 c=2]", "[6..6: 6 filler=f]"));
}

TEST_F(CompactionTest, a_map_too_small_for_a_key_is_refused) {
  append({{"a", "1"}});
  roll();
  EXPECT_EQ(testing::compact(disk_, *log_, now_, {.map_bytes = 40}).error().code, Errc::kInvalid);
}

TEST_F(CompactionTest, small_segments_become_one_and_no_larger_than_allowed) {
  for (int i = 0; i < 6; ++i) {
    append({{fmt::format("k{}", i), std::string(100, 'x')}});
    roll();
  }
  ASSERT_EQ(files(".log").size(), 7U);
  const uint64_t all = log_->size_in_bytes();
  options_.segment_bytes = all / 2;
  log_->set_options(options_);
  ASSERT_TRUE(compact());
  EXPECT_EQ(files(".log").size(), 3U);
  options_.segment_bytes = all;
  log_->set_options(options_);
  append({{"k1", "y"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_EQ(files(".log").size(), 2U);
  EXPECT_THAT(files(".deleted"), IsEmpty());
  EXPECT_THAT(files(".swap"), IsEmpty());
  EXPECT_EQ(files(".snapshot").size(), 1U) << "those of segments that are gone are gone";
  reopen({.recovery_point = log_->log_end()});
  EXPECT_EQ(table_of(*log_).size(), 7U);
}

TEST_F(CompactionTest, compression_and_log_append_time_are_kept) {
  append({{"a", "1"}, {"b", "1"}}, {.codec = record::Codec::kZstd});
  append({{"a", "2"}, {"c", "1"}}, {.codec = record::Codec::kLz4,
                                    .timestamp_type = record::TimestampType::kLogAppendTime,
                                    .log_append_time = kNow + 5});
  append({{"c", "2"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_),
              ElementsAre("[0..1: 1 b=1]", "[2..3: 2 a=2]", "[4..4: 4 c=2]", "[5..5: 5 filler=f]"));
  std::vector<record::BatchHeader> headers;
  ASSERT_TRUE(log_->replay([&](const record::BatchHeader& header, ByteView, uint64_t) {
                    headers.push_back(header);
                    return true;
                  })
                  .has_value());
  EXPECT_EQ(headers[0].attributes.codec(), record::Codec::kZstd);
  EXPECT_EQ(headers[1].attributes.codec(), record::Codec::kLz4);
  EXPECT_EQ(headers[1].timestamp_type(), record::TimestampType::kLogAppendTime);
  EXPECT_EQ(headers[1].max_timestamp, kNow + 5);
}

TEST_F(CompactionTest, the_largest_timestamp_is_that_of_a_record_that_is_there) {
  append({{"b", "1"}});
  now_ = kNow + 50;
  append(
      {{"a", "1"}},
      {.producer_id = kProducer, .producer_epoch = kEpoch, .base_sequence = ProducerSequence(0)});
  now_ = kNow + 10;
  append({{"a", "2"}});
  roll();
  ASSERT_TRUE(compact());
  ASSERT_EQ(batches_of(*log_)[1], "[1..1:]");
  const auto newest = *log_->max_timestamp();
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->timestamp, kNow + 10);
  EXPECT_EQ(newest->offset, Offset(2));
  EXPECT_EQ((*log_->offset_for_timestamp(kNow))->offset, Offset(0));
  EXPECT_EQ((*log_->offset_for_timestamp(kNow + 1))->offset, Offset(2));
  EXPECT_FALSE(log_->offset_for_timestamp(kNow + 11)->has_value());
}

TEST_F(CompactionTest, a_batch_that_rotted_is_not_written_anew) {
  append({{"a", "1"}});
  append({{"a", "2"}});
  roll();
  disk_.content(kDirectory + "/00000000000000000000.log")[65] ^= 1;
  auto plan = log_->plan_compaction(**log_->cleanable(Offset(3), now_), now_);
  auto cleaner = *LogCleaner::open(disk_, std::move(*plan), {.map_bytes = 1 << 16});
  auto stepped = cleaner->step();
  EXPECT_EQ(stepped.error().code, Errc::kCorrupt);
  EXPECT_EQ(cleaner->doubt(), Offset(0));
}

TEST_F(CompactionTest, a_log_that_is_damaged_is_not_cleaned) {
  append({{"a", "1"}});
  roll();
  log_->quarantine({.position = 0, .end = 70, .from = Offset(0), .below = Offset(1)});
  EXPECT_FALSE(log_->cleanable(Offset(2), now_)->has_value());
}

TEST_F(CompactionTest, what_was_cut_is_dirty_again) {
  append({{"a", "1"}});
  roll();
  append({{"a", "2"}});
  roll();
  ASSERT_TRUE(compact());
  EXPECT_EQ(log_->cleaned_to(), Offset(3));
  ASSERT_TRUE(log_->truncate_to(Offset(2)).has_value());
  EXPECT_EQ(log_->cleaned_to(), Offset(2));
  ASSERT_TRUE(log_->start_over_at(Offset(100)).has_value());
  EXPECT_EQ(log_->cleaned_to(), std::nullopt);
}

TEST_F(CompactionTest, a_checkpoint_that_cannot_be_is_not_believed) {
  append({{"a", "1"}});
  roll();
  log_->note_cleaned(Offset(77));
  EXPECT_EQ((*log_->cleanable(Offset(2), now_))->first_dirty, Offset(0));
}

class SwapTest : public CompactionTest {
 protected:
  // Up to the first group.
  void clean_first_group() {
    for (int i = 0; i < 3; ++i) {
      append({{"a", fmt::format("{}", i)}});
      roll();
    }
    auto plan = *log_->plan_compaction(**log_->cleanable(log_->log_end(), now_), now_);
    cleaner_ = *LogCleaner::open(disk_, std::move(plan), {.map_bytes = 1 << 16});
    while (*cleaner_->step() != LogCleaner::State::kGroupCleaned) {
    }
  }
  const std::vector<std::string> cleaned_ = {"[4..4: 4 a=2]", "[5..5: 5 filler=f]"};
  std::unique_ptr<LogCleaner> cleaner_;
};

TEST_F(SwapTest, a_group_whose_segments_were_cut_meanwhile_is_forgotten) {
  clean_first_group();
  ASSERT_TRUE(log_->truncate_to(Offset(3)).has_value());
  EXPECT_EQ(log_->begin_swap(cleaner_->take_group()), false);
}

TEST_F(SwapTest, a_cut_completes_what_was_begun_before_it) {
  clean_first_group();
  ASSERT_EQ(log_->begin_swap(cleaner_->take_group()), true);
  ASSERT_TRUE(log_->truncate_to(Offset(5)).has_value());
  EXPECT_FALSE(log_->adopt_swap()->has_value());
  EXPECT_EQ(log_->finish_swap(), false);
  EXPECT_THAT(batches_of(*log_), ElementsAre("[3..3: 3 filler=f]", "[4..4: 4 a=2]"));
  EXPECT_THAT(files(".swap"), IsEmpty());
}

TEST_F(SwapTest, readers_of_replaced_segments_read_on) {
  clean_first_group();
  auto slice = *log_->read({.from = Offset(0), .below = log_->log_end(), .max_bytes = 1000});
  ASSERT_EQ(testing::exchange(disk_, *log_, cleaner_->take_group()), true);
  ByteBuffer bytes(slice.length);
  ASSERT_EQ(*slice.file->read_at(bytes, slice.position), slice.length);
  EXPECT_EQ(record::BatchView::parse(bytes)->base_offset(), Offset(0));
}

TEST_F(SwapTest, what_was_adopted_is_read_before_it_has_its_name) {
  clean_first_group();
  ASSERT_EQ(log_->begin_swap(cleaner_->take_group()), true);
  ASSERT_TRUE(log_->adopt_swap()->has_value());
  EXPECT_THAT(files(".log"), ElementsAre("00000000000000000005.log"));
  EXPECT_EQ(batches_of(*log_).back(), "[5..5: 5 filler=f]");
  EXPECT_EQ(table_of(*log_).at("a"), "2");
}

// Whatever files the process before left, the next finds what they are.
TEST_F(SwapTest, a_start_throws_away_what_is_cleaned_and_completes_what_is_swapped) {
  clean_first_group();
  const auto before = batches_of(*log_);
  reopen();
  EXPECT_EQ(batches_of(*log_), before);
  EXPECT_THAT(files(".cleaned"), IsEmpty());
  ASSERT_TRUE(compact());
  const auto after = batches_of(*log_);
  EXPECT_NE(after, before);
}

TEST_F(SwapTest, a_start_completes_an_exchange_at_each_step) {
  for (int step = 0; step < 3; ++step) {
    disk_ = {};
    reopen();
    clean_first_group();
    ASSERT_EQ(log_->begin_swap(cleaner_->take_group()), true);
    if (step > 0) ASSERT_TRUE(log_->adopt_swap()->has_value());
    if (step > 1) ASSERT_EQ(log_->finish_swap(), true);
    reopen({.recovery_point = Offset(6)});
    EXPECT_EQ(table_of(*log_), (std::map<std::string, std::string>{{"a", "2"}, {"filler", "f"}}));
    EXPECT_EQ(batches_of(*log_).size(), 3U) << step;
    EXPECT_EQ(log_->log_end(), Offset(6));
    EXPECT_THAT(files(".swap"), IsEmpty());
    EXPECT_THAT(files(".deleted"), IsEmpty());
  }
}

// An empty segment stands in nobody's way.
TEST_F(CompactionTest, retention_passes_over_a_segment_of_which_nothing_is_left) {
  options_.segment_bytes = 1;
  log_->set_options(options_);
  append({{"a", "1"}});
  append({{"a", "2"}});
  append({{"a", "3"}});
  append({{"a", "4"}});
  ASSERT_TRUE(compact());
  EXPECT_THAT(batches_of(*log_), ElementsAre("[2..2: 2 a=3]", "[3..3: 3 a=4]"));
  options_.delete_old = true;
  options_.retention_ms = 1000;
  log_->set_options(options_);
  EXPECT_THAT(*log_->delete_old_segments(Offset(4), now_ + 500), IsEmpty());
  EXPECT_THAT(*log_->delete_old_segments(Offset(4), now_ + 2000), Not(IsEmpty()));
  EXPECT_EQ(log_->log_start(), Offset(4));
}

}  // namespace
}  // namespace millrace::storage
