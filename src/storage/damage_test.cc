// What a log does about rotten bytes: they are kept aside and never served, all else is, and good
// batches come in their place.
#include "storage/damage.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "storage/testing/twenty_batches.h"

namespace millrace::storage {
namespace {

using testing::kEnd, testing::kNow;

TEST(DamageFileName, says_what_was_where) {
  const NamedDamage damage{Offset(100),
                           {.position = 7, .end = 90, .from = Offset(104), .below = Offset(106)}};
  EXPECT_EQ(damage_file_name(damage), "00000000000000000100.104-106.7-90.damaged");
  auto parsed = parse_damage_file_name(damage_file_name(damage));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->segment, damage.segment);
  EXPECT_EQ(parsed->range, damage.range);
  for (const char* other : {"00000000000000000100.log", "x.104-106.7-90.damaged", ".damaged",
                            "00000000000000000100.106-106.7-90.damaged", "1.2-3.4-5.6.damaged",
                            "00000000000000000100.104-106.7-90.damaged.old"})
    EXPECT_FALSE(parse_damage_file_name(other)) << other;
}

class DamageTest : public testing::TwentyBatches {
 protected:
  struct Place {
    std::string path;
    uint64_t position = 0, size = 0;
    Offset base;
  };

  DamageTest() {
    for (const auto& path : files(".log")) {
      good_[path] = disk_.content(path);
      record::BatchIterator batches(good_[path]);
      for (uint64_t at = 0;; at = batches.position()) {
        auto batch = batches.next();
        if (!*batch) break;
        places_.push_back({path, at, batches.position() - at, (*batch)->base_offset()});
      }
    }
  }
  // After a crash that everything below `point` was durable before.
  Result<std::unique_ptr<Log>> open_after_crash(Offset point = kEnd) {
    return Log::open(disk_, kDirectory, kOptions, {.recovery_point = point, .keeps_damage = true});
  }
  std::unique_ptr<Log> open() {
    auto log = Log::open(disk_, kDirectory, kOptions,
                         {.recovery_point = kEnd, .clean = true, .keeps_damage = true});
    EXPECT_TRUE(log.has_value()) << log.error().message;
    return std::move(*log);
  }
  void flip(const Place& place, size_t at, int bit = 0) {
    disk_.content(place.path)[place.position + at] ^= static_cast<uint8_t>(1 << bit);
  }
  // Whether the batch with that offset is read, whole and right; what is not is an error.
  static bool reads(Log& log, Offset from) {
    auto slice = log.read({.from = from, .below = log.log_end(), .max_bytes = 4000});
    if (!slice) {
      EXPECT_EQ(slice.error().code, Errc::kCorrupt);
      return false;
    }
    ByteBuffer bytes(slice->length);
    EXPECT_EQ(*slice->file->read_at(bytes, slice->position), slice->length);
    record::BatchIterator batches(bytes);
    auto first = batches.next();
    EXPECT_TRUE(first && *first && (*first)->verify_crc()) << from.value();
    EXPECT_TRUE((*first)->base_offset() <= from && from <= (*first)->last_offset());
    for (auto next = batches.next(); next && *next; next = batches.next())
      EXPECT_TRUE((*next)->verify_crc());
    return true;
  }
  // Everything but what is damaged.
  static void expect_all_else(Log& log) {
    EXPECT_EQ(log.log_end(), kEnd);
    for (Offset at(0); at < kEnd; at = at + 1)
      EXPECT_EQ(reads(log, at), log.damage_of(at) == nullptr) << at.value();
  }
  // No batch behind it bears out what its epoch should be.
  bool is_last_of_segment(const Place& place) {
    return place.position + place.size == disk_.content(place.path).size();
  }
  // As node/scrubber does.
  static void scrub_all(Log& log) {
    for (Offset from(0); from < kEnd;) {
      while (const auto* known = log.damage_of(from)) from = known->below;
      auto slice = log.read({.from = from, .below = kEnd, .max_bytes = 400});
      Scrubbed looked{.next = from, .doubt = from};
      if (slice && slice->length > 0) {
        ByteBuffer bytes(slice->length);
        EXPECT_EQ(*slice->file->read_at(bytes, slice->position), slice->length);
        looked = scrub({.bytes = bytes,
                        .from = from,
                        .segment_end = log.segment_end(from),
                        .epochs = log.epochs()});
      }
      if (looked.doubt) {
        const auto damage = *log.examine(*looked.doubt);
        if (damage) log.quarantine(*damage);
        if (!damage) EXPECT_TRUE(*log.right_epoch(*looked.doubt));
        looked.next = damage ? damage->below : std::max(looked.next, from + 1);
      }
      ASSERT_GT(looked.next, from);
      from = looked.next;
    }
  }
  // As a peer that has the same log would.
  void mend(Log& log) {
    for (const DamagedRange& range : log.damage()) {
      ByteBuffer batches;
      for (const Place& place : places_)
        if (place.base >= range.from && place.base < range.below) {
          const ByteBuffer& from = good_[place.path];
          batches.insert(batches.end(), from.begin() + static_cast<ptrdiff_t>(place.position),
                         from.begin() + static_cast<ptrdiff_t>(place.position + place.size));
        }
      const Log::Mended mended{.batches = batches, .below = range.below};
      auto written = log.overwrite_damage(range, mended);
      ASSERT_TRUE(written.has_value()) << written.error().message;
      ASSERT_TRUE(log.shrink_damage(range, mended).has_value());
    }
  }
  void expect_as_it_was() {
    for (const auto& [path, content] : good_) EXPECT_EQ(disk_.content(path), content) << path;
    EXPECT_TRUE(files(".damaged").empty());
  }
  void restore() {
    for (const auto& [path, content] : good_) disk_.content(path) = content;
    for (const auto& path : files(".damaged")) EXPECT_TRUE(disk_.remove(path).has_value());
    for (const auto& path : files(".log"))
      if (!good_.contains(path)) EXPECT_TRUE(disk_.remove(path).has_value());
  }

  std::map<std::string, ByteBuffer> good_;
  std::vector<Place> places_;
};

TEST_F(DamageTest, of_a_record_is_one_batch_that_is_kept_aside_and_not_served) {
  for (const Place& place : places_) {
    SCOPED_TRACE(place.base.value());
    flip(place, 70);
    auto log = open();
    auto range = log->examine(place.base + 1);
    ASSERT_TRUE(range.has_value() && range->has_value());
    EXPECT_EQ(**range, (DamagedRange{.position = place.position,
                                     .end = place.position + place.size,
                                     .from = place.base,
                                     .below = place.base + 2}));
    log->quarantine(**range);
    expect_all_else(*log);
    ASSERT_EQ(files(".damaged").size(), 1u);
    const ByteBuffer& file = disk_.content(place.path);
    const auto begin = file.begin() + static_cast<ptrdiff_t>(place.position);
    EXPECT_EQ(disk_.content(files(".damaged")[0]),
              ByteBuffer(begin, begin + static_cast<ptrdiff_t>(place.size)));
    mend(*log);
    expect_all_else(*log);
    EXPECT_FALSE(log->is_damaged());
    expect_as_it_was();
  }
}

TEST_F(DamageTest,
       by_a_later_batch_that_was_written_there_reaches_to_where_that_one_does_not_belong) {
  const Place &first = places_[0], &second = places_[1], &later = places_[3];
  ASSERT_EQ(first.path, later.path) << "all of them lie in one segment";
  ByteBuffer& file = disk_.content(first.path);
  const auto at = [&](uint64_t position) {
    return file.begin() + static_cast<ptrdiff_t>(position);
  };
  const ByteBuffer copy(at(later.position), at(later.position + later.size));
  std::fill(at(first.position), at(second.position + second.size), uint8_t{0});
  std::ranges::copy(copy, at(first.position + 40));
  auto log = open();
  auto range = log->examine(first.base);
  ASSERT_TRUE(range.has_value() && range->has_value());
  EXPECT_EQ(**range, (DamagedRange{.position = first.position,
                                   .end = second.position + second.size,
                                   .from = first.base,
                                   .below = second.base + 2}));
  log->quarantine(**range);
  mend(*log);
  expect_as_it_was();
}

TEST_F(DamageTest, of_what_is_good_is_not_told) {
  auto log = open();
  for (Offset at(0); at < kEnd; at = at + 1) EXPECT_FALSE(log->examine(at)->has_value());
}

TEST_F(DamageTest, of_an_offset_is_found_though_no_checksum_covers_it) {
  for (const Place& place : places_)
    for (size_t bit = 0; bit < 64; ++bit) {
      SCOPED_TRACE(fmt::format("{} bit {} of byte {}", place.base, bit % 8, bit / 8));
      auto log = open();
      flip(place, bit / 8, static_cast<int>(bit % 8));
      // A log's last batch alone says, at a start, where the log ends.
      if (place.base + 2 < kEnd) log = open();
      scrub_all(*log);
      ASSERT_EQ(log->damage().size(), 1u);
      EXPECT_NE(log->damage_of(place.base), nullptr);
      mend(*log);
      EXPECT_FALSE(log->is_damaged());
      expect_as_it_was();
      restore();
    }
}

TEST_F(DamageTest, of_a_leader_epoch_is_put_right_where_it_stands) {
  for (const Place& place : places_)
    for (size_t bit = 0; bit < 32 && !is_last_of_segment(place); ++bit) {
      SCOPED_TRACE(fmt::format("{} bit {} of byte {}", place.base, bit % 8, 12 + bit / 8));
      flip(place, 12 + bit / 8, static_cast<int>(bit % 8));
      auto log = open();
      scrub_all(*log);
      EXPECT_FALSE(log->is_damaged());
      expect_as_it_was();
      restore();
    }
}

TEST_F(DamageTest, of_a_front_below_the_recovery_point_leaves_the_log_open_and_all_else_served) {
  for (const Place& place : places_)
    for (size_t bit = 0; bit < 40; ++bit) {  // length and magic
      const size_t at = bit < 32 ? 8 + bit / 8 : 16;
      SCOPED_TRACE(fmt::format("{} byte {} bit {}", place.base, at, bit % 8));
      flip(place, at, static_cast<int>(bit % 8));
      auto log = open_after_crash();
      ASSERT_TRUE(log.has_value()) << log.error().message;
      if (!(*log)->is_damaged()) {  // it lies in a segment that recovery does not read
        auto range = (*log)->examine(place.base);
        ASSERT_TRUE(range.has_value() && range->has_value());
        (*log)->quarantine(**range);
      }
      EXPECT_NE((*log)->damage_of(place.base), nullptr);
      EXPECT_EQ((*log)->damage().size(), 1u);
      EXPECT_EQ((*log)->damage()[0].from, place.base);
      EXPECT_EQ((*log)->damage()[0].below, place.base + 2);
      expect_all_else(**log);
      mend(**log);
      EXPECT_FALSE((*log)->is_damaged());
      expect_all_else(**log);
      expect_as_it_was();
      restore();
    }
}

TEST_F(DamageTest, that_recovery_finds_everywhere_costs_only_what_is_damaged) {
  for (size_t i = 0; i < places_.size(); i += 3) flip(places_[i], 16, 7);
  auto log = open_after_crash(kEnd);
  ASSERT_TRUE(log.has_value());
  for (const Place& place : places_)
    if (auto range = (*log)->examine(place.base); *range) (*log)->quarantine(**range);
  EXPECT_EQ((*log)->damage().size(), (places_.size() + 2) / 3);
  expect_all_else(**log);
  mend(**log);
  expect_as_it_was();
}

TEST_F(DamageTest, is_known_to_the_next_process_until_it_is_good_again) {
  const Place& place = places_[4];
  flip(place, 70);
  auto log = open();
  log->quarantine(**log->examine(place.base));
  ASSERT_TRUE(log->close().has_value());
  log = open();
  EXPECT_FALSE(reads(*log, place.base));
  expect_all_else(*log);
  flip(place, 70);  // restored from a copy
  log = open();
  EXPECT_FALSE(log->is_damaged());
  EXPECT_EQ(files(".damaged.old").size(), 1u) << "what was kept aside stays";
}

TEST_F(DamageTest, at_the_log_s_end_moves_no_offset_and_what_comes_later_lies_behind_it) {
  const Place& last = places_.back();
  flip(last, 16, 7);
  auto log = open_after_crash();
  ASSERT_TRUE(log.has_value()) << log.error().message;
  expect_all_else(**log);
  record::BatchBuilder builder({});
  builder.append({.timestamp = kNow, .value = as_bytes("behind")});
  ByteBuffer batch = std::move(builder).build();
  const MutableByteView view = batch;
  EXPECT_EQ((*log)->append({&view, 1}, LeaderEpoch(0), kNow), kEnd);
  EXPECT_TRUE(reads(**log, kEnd));
  mend(**log);
  for (Offset at(0); at <= kEnd; at = at + 1) EXPECT_TRUE(reads(**log, at));
}

TEST_F(DamageTest, goes_with_what_is_cut_off) {
  const Place& place = places_[7];
  flip(place, 70);
  auto log = open();
  log->quarantine(**log->examine(place.base));
  ASSERT_TRUE(log->truncate_to(place.base + 1).has_value());
  EXPECT_EQ(log->log_end(), place.base);
  EXPECT_FALSE(log->is_damaged());
  EXPECT_TRUE(files(".damaged").empty());
  EXPECT_EQ(files(".damaged.old").size(), 1u);
}

TEST_F(DamageTest, is_not_mended_by_what_does_not_fit) {
  const Place& place = places_[3];
  flip(place, 70);
  auto log = open();
  log->quarantine(**log->examine(place.base));
  const DamagedRange range = log->damage()[0];
  const ByteView file = good_[place.path];
  const ByteView good = file.subspan(place.position, place.size);
  ByteBuffer rotten(good.begin(), good.end());
  rotten[70] ^= 1;
  EXPECT_EQ(log->overwrite_damage(range, {rotten, range.below}).error().code, Errc::kCorrupt);
  EXPECT_EQ(
      log->overwrite_damage(range, {file.subspan(0, places_[0].size), range.below}).error().code,
      Errc::kCorrupt);
  EXPECT_EQ(log->overwrite_damage(range, {good, range.from + 1}).error().code, Errc::kInvalid);
  EXPECT_FALSE(reads(*log, place.base));
}

}  // namespace
}  // namespace millrace::storage
