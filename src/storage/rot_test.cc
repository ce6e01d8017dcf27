// Bits that rot in the files of a log: what they damage is told, and nothing else is lost.
#include <gtest/gtest.h>

#include <functional>

#include "storage/log_directory.h"
#include "storage/testing/twenty_batches.h"

namespace millrace::storage {
namespace {

using testing::kBatches, testing::kNow;

class RotTest : public testing::TwentyBatches {
 protected:
  std::unique_ptr<Log> open() {
    auto log = Log::open(disk_, kDirectory, kOptions, {.clean = true});
    EXPECT_TRUE(log.has_value()) << log.error().message;
    return std::move(*log);
  }
  // Calls `check` with each bit of the files flipped, one at a time.
  void with_each_bit(const std::vector<std::string>& paths, const std::function<void()>& check) {
    for (const auto& path : paths)
      for (size_t at = 0; at < disk_.content(path).size(); ++at)
        for (int bit = 0; bit < 8; ++bit) {
          SCOPED_TRACE(path + " at " + std::to_string(at));
          disk_.content(path)[at] ^= static_cast<uint8_t>(1 << bit);
          check();
          disk_.content(path)[at] ^= static_cast<uint8_t>(1 << bit);
        }
  }
  // What a reader at `from` gets: the batch with that offset, a batch that is visibly wrong, or an
  // error. Returns whether it is the batch.
  bool read_at(Log& log, Offset from) {
    auto slice = log.read({.from = from, .below = log.log_end(), .max_bytes = 1});
    if (!slice) return false;
    ByteBuffer bytes(slice->length);
    EXPECT_EQ(*slice->file->read_at(bytes, slice->position), slice->length);
    auto batch = record::BatchView::parse(bytes);
    if (!batch || !batch->verify_crc()) return false;
    EXPECT_LE(batch->base_offset(), from);
    EXPECT_GE(batch->last_offset(), from);
    return true;
  }
};

TEST_F(RotTest, in_an_index_hides_no_record) {
  with_each_bit(files(".index"), [&] {
    auto log = open();
    for (int64_t at = 0; at < 2 * kBatches; ++at) EXPECT_TRUE(read_at(*log, Offset(at))) << at;
  });
}

TEST_F(RotTest, in_a_time_index_hides_no_record) {
  with_each_bit(files(".timeindex"), [&] {
    auto log = open();
    for (int i = 1; i < kBatches; ++i) {
      auto found = log->offset_for_timestamp(kNow + (10 * i - 5));
      ASSERT_TRUE(found.has_value() && found->has_value()) << i;
      EXPECT_EQ((*found)->offset, Offset(2 * i)) << i;
    }
  });
}

TEST_F(RotTest, of_a_length_is_told_and_never_passes_over_records) {
  for (const auto& path : files(".log")) {
    std::vector<uint64_t> positions;
    record::BatchIterator batches(disk_.content(path));
    do positions.push_back(batches.position());
    while (*batches.next());
    positions.pop_back();
    for (uint64_t batch : positions)
      for (size_t bit = 0; bit < 32; ++bit) {
        SCOPED_TRACE(path + " at " + std::to_string(batch) + " bit " + std::to_string(bit));
        uint8_t& byte = disk_.content(path)[batch + 8 + bit / 8];
        const uint8_t before = std::exchange(byte, byte ^ (1 << bit % 8));
        auto log = Log::open(disk_, kDirectory, kOptions, {.clean = true});
        if (log) {
          int right = 0;
          for (int64_t at = 0; at < 2 * kBatches; ++at) right += read_at(**log, Offset(at));
          EXPECT_LT(right, 2 * kBatches);
          EXPECT_FALSE((*log)->replay([](auto&&...) { return true; }).has_value());
        }
        byte = before;
      }
  }
}

TEST_F(RotTest, of_a_record_is_told_by_a_replay_that_names_it) {
  const std::string path = files(".log")[1];
  disk_.content(path)[100] ^= 1;
  auto replayed = open()->replay([](auto&&...) { return true; });
  ASSERT_FALSE(replayed.has_value());
  EXPECT_EQ(replayed.error().code, Errc::kCorrupt);
  EXPECT_TRUE(replayed.error().message.starts_with(path + " at 0")) << replayed.error().message;
}

TEST_F(RotTest, behind_the_recovery_point_is_cut_and_the_log_goes_on_there) {
  const auto logs = files(".log");
  ASSERT_GT(logs.size(), 2u);
  const Offset second(std::stoll(logs[1].substr(logs[1].size() - 24, 20)));
  disk_.content(logs[1])[100] ^= 1;  // its first batch
  auto log = Log::open(disk_, kDirectory, kOptions, {});
  ASSERT_TRUE(log.has_value()) << log.error().message;
  EXPECT_EQ((*log)->log_end(), second);
  EXPECT_FALSE(disk_.exists(logs[2]));
}

TEST_F(RotTest, a_replay_that_was_stopped_sees_no_later_segment) {
  int seen = 0;
  ASSERT_TRUE(open()->replay([&](auto&&...) { return ++seen < 3; }).has_value());
  EXPECT_EQ(seen, 3);
}

class RottenCheckpointTest : public ::testing::Test {
 protected:
  std::unique_ptr<LogDirectory> open() {
    auto directory =
        LogDirectory::open(disk_, "/data", {.cluster_id = "cluster", .node_id = NodeId(1)});
    EXPECT_TRUE(directory.has_value());
    return std::move(*directory);
  }
  // What is read of the file with each of its bits flipped in turn.
  void expect_of_every_rotten(const std::string& path, const std::function<void()>& expect) {
    const ByteBuffer good = disk_.content(path);
    for (size_t at = 0; at < 8 * good.size(); ++at) {
      ByteBuffer rotten = good;
      rotten[at / 8] ^= static_cast<uint8_t>(1 << at % 8);
      disk_.content(path) = rotten;
      SCOPED_TRACE(std::string(as_text(rotten)));
      expect();
    }
    disk_.content(path) = good;
  }
  void write(const std::string& path, std::string_view text) {
    disk_.content(path).assign(text.begin(), text.end());
  }

  env::testing::MemoryDisk disk_;
  const TopicPartition partition_{"t", PartitionIndex(0)};
};

TEST_F(RottenCheckpointTest, of_recovery_points_never_gives_one_that_is_too_high) {
  const std::string path = "/data/recovery-point-offset-checkpoint";
  const std::string copy = "/data/.millrace-recovery-points";
  auto point = [&] { return open()->checkpointed_recovery_point(partition_); };
  ASSERT_TRUE(open()->write_recovery_points({{partition_, Offset(10)}}).has_value());
  EXPECT_EQ(as_text(disk_.content(path)), "0\n1\nt 0 10\n") << "as Kafka writes it";
  EXPECT_EQ(point(), Offset(10));
  for (const auto& each : {path, copy})
    expect_of_every_rotten(each, [&] { EXPECT_LE(point(), Offset(10)); });
  write(path, "0\n1\nt 0 9\n");  // Kafka had the directory meanwhile, and cut the log
  EXPECT_EQ(point(), Offset(9));
  ASSERT_TRUE(disk_.remove(copy).has_value());
  EXPECT_EQ(point(), Offset(9));
}

TEST_F(RottenCheckpointTest, of_log_starts_is_taken_for_empty) {
  const std::string path = "/data/log-start-offset-checkpoint";
  auto start = [&] { return (*open()->open_log(partition_, {}))->log_start(); };
  ASSERT_TRUE(open()->write_log_starts({{partition_, Offset(10)}}).has_value());
  EXPECT_EQ(start(), Offset(10));
  expect_of_every_rotten(path, [&] {
    const Offset read = start();
    EXPECT_TRUE(read == Offset(0) || read == Offset(10)) << read.value();
  });
  write(path, "0\n1\nt 0 12\n");  // as Kafka writes it
  EXPECT_EQ(start(), Offset(12));
}

}  // namespace
}  // namespace millrace::storage
