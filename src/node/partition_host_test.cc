// Several log directories: where new logs go, what a directory that fails takes with it, and moves
// from one to another, with the process dying at every step.
#include "node/partition_host.h"

#include <gtest/gtest.h>

#include "env/testing/manual_host.h"
#include "node/log_moves.h"
#include "record/builder.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

constexpr NodeId kSelf{1};
const Uuid kTopicId = Uuid::of_words({7, 7});
const std::string kPaths[] = {"/a", "/b", "/c"};

Uuid directory_id(size_t i) { return Uuid::of_words({100, i}); }

// A broker's directories and their partitions, for as long as a process lives.
struct Life {
  explicit Life(env::testing::MemoryDisk& memory, std::vector<std::string> failed = {})
      : host(memory) {
    std::vector<std::unique_ptr<Volume>> volumes;
    for (size_t i = 0; i < std::size(kPaths); ++i) {
      if (std::ranges::find(failed, kPaths[i]) != failed.end()) continue;
      auto directory = storage::LogDirectory::open(
          memory, kPaths[i],
          {.cluster_id = "c", .node_id = kSelf, .directory_id = directory_id(i)});
      EXPECT_TRUE(directory.has_value()) << directory.error().message;
      volumes.push_back(std::make_unique<Volume>(host, std::move(*directory)));
    }
    partitions = std::make_unique<PartitionHost>(std::move(volumes), Durability::kFsync);
    partitions->set_other_recovery_points(
        [](const Volume&) -> storage::OffsetCheckpoint { return {}; });
    partitions->set_failed_directories(std::move(failed));
    auto told = std::make_shared<metadata::Image>();
    EXPECT_TRUE(told->apply(wire::TopicRecord{.name = "t", .topic_id = kTopicId}, Offset(1)));
    EXPECT_TRUE(told->apply(
        wire::PartitionRecord{
            .partition_id = 0, .topic_id = kTopicId, .replicas = {1}, .isr = {1}, .leader = 1},
        Offset(2)));
    moves = std::make_shared<LogMoves>(LogMoves::Parts{.host = &host,
                                                       .partitions = partitions.get(),
                                                       .self = kSelf,
                                                       .image = [told] { return told; },
                                                       .announce = [](const Uuid&) {}});
  }
  ~Life() { moves->close(); }

  Result<HostedPartition> open(int32_t partition, std::optional<Uuid> assigned = {}) {
    auto settings = std::make_shared<TopicSettings>();
    settings->log.segment_bytes = 300;
    auto opened = partitions->open({.name = {"t", PartitionIndex(partition)},
                                    .topic_id = kTopicId,
                                    .settings = settings,
                                    .assigned = assigned});
    if (!opened) return opened;
    with_partition(*opened->partition, [&](PartitionState& state) {
      state.lead(
          {.self = kSelf},
          {.replicas = {kSelf}, .isr = {kSelf}, .leader = kSelf, .leader_epoch = LeaderEpoch(1)},
          {});
      if (state.future()) moves->resume(*opened);
    });
    return opened;
  }
  std::string path_of(int32_t partition, std::optional<Uuid> assigned = {}) {
    auto opened = open(partition, assigned);
    return opened ? opened->volume()->directory().path() : opened.error().message;
  }
  // True: it is acknowledged.
  bool write(const HostedPartition& hosted, int64_t at) {
    record::BatchBuilder builder({});
    const std::string value = "value " + std::to_string(at);
    builder.append({.timestamp = TimestampMs(at), .value = as_bytes(value)});
    ByteBuffer batch = std::move(builder).build();
    const MutableByteView view = batch;
    const bool appended = with_partition(*hosted.partition, [&](PartitionState& state) {
      return !state.is_offline() && state.append({&view, 1}, TimestampMs(at)).has_value();
    });
    if (!appended) return false;
    partitions->appended(hosted);
    host.shard(0).run();
    return with_partition(*hosted.partition, [&](PartitionState& state) {
      return !state.is_offline() && state.high_watermark() > Offset(at);
    });
  }
  void run() { host.shard(0).advance(seconds(20)); }

  env::testing::ManualHost host;
  std::unique_ptr<PartitionHost> partitions;
  std::shared_ptr<LogMoves> moves;
};

const TopicPartition kFirst{"t", PartitionIndex(0)};

// The values that the partition's log has, in order.
std::vector<std::string> values_of(const HostedPartition& hosted) {
  std::vector<std::string> values;
  with_partition(*hosted.partition, [&](PartitionState& state) {
    record::ReadScratch scratch;
    auto replayed = state.log().replay([&](const auto&, ByteView bytes, uint64_t) {
      auto batch = *record::BatchView::parse(bytes);
      auto reader = record::RecordReader::open(batch, scratch, 1 << 20);
      record::RecordView record;
      while (reader->next(record).value_or(false)) values.emplace_back(as_text(*record.value));
      return true;
    });
    EXPECT_TRUE(replayed.has_value());
  });
  return values;
}

TEST(PartitionHost, a_new_log_goes_where_the_fewest_are) {
  env::testing::MemoryDisk disk;
  Life life(disk);
  EXPECT_EQ(life.path_of(0), "/a");
  EXPECT_EQ(life.path_of(1), "/b");
  EXPECT_EQ(life.path_of(2, directory_id(1)), "/b") << "as the metadata say";
  EXPECT_EQ(life.path_of(3), "/c");
  EXPECT_EQ(life.path_of(4), "/a");
  EXPECT_EQ(life.path_of(5), "/c");
  EXPECT_EQ(life.path_of(6, directory_id(77)), "/a") << "of a disk that was replaced";
}

TEST(PartitionHost, a_directory_that_fails_takes_its_own_partitions_only) {
  env::testing::MemoryDisk disk;
  Life life(disk);
  std::vector<std::string> failed;
  life.partitions->set_on_failure(
      [&](Volume& volume) { failed.push_back(volume.directory().path()); });
  std::vector<HostedPartition> hosted;
  for (int i = 0; i < 3; ++i) hosted.push_back(*life.open(i));
  for (const auto& each : hosted) EXPECT_TRUE(life.write(each, 0));
  disk.fault = [](std::string_view operation, const std::string& path) -> Result<> {
    if (operation == "write" && path.starts_with("/b/")) return fail(Errc::kIo, "broken");
    return {};
  };
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(life.write(hosted[i], 1), i != 1);
  EXPECT_EQ(failed, std::vector<std::string>{"/b"});
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(life.write(hosted[i], 2), i != 1);
  EXPECT_EQ(life.partitions->offline_directories(), std::vector<Uuid>{directory_id(1)});
  EXPECT_NE(life.path_of(7), "/b");
}

TEST(PartitionHost, a_replica_in_a_directory_that_is_offline_is_not_made_anew_elsewhere) {
  env::testing::MemoryDisk disk;
  {
    Life life(disk);
    EXPECT_TRUE(life.write(*life.open(0, directory_id(2)), 0));
  }
  Life life(disk, {"/c"});
  EXPECT_FALSE(life.open(0, directory_id(2)).has_value());
  EXPECT_TRUE(life.partitions->is_refused(kFirst));
  EXPECT_TRUE(life.open(1, directory_id(0)).has_value());
  EXPECT_EQ(life.moves->move(kFirst, "/a"), ErrorCode::kKafkaStorageError);
}

TEST(PartitionHost, a_log_is_not_taken_for_the_one_that_had_its_name_before) {
  env::testing::MemoryDisk disk;
  Life life(disk);
  const auto first = life.open(0);
  for (int64_t i = 0; i < 10; ++i) EXPECT_TRUE(life.write(*first, i));
  with_partition(*first->partition,
                 [](PartitionState& state) { state.log().advance_log_start(Offset(5)); });
  life.partitions->write_checkpoints();
  life.partitions->remove(kFirst, Uuid::of_words({1, 2}));
  const auto second = life.open(0);
  life.partitions->forget_removed_later();
  EXPECT_TRUE(life.write(*second, 0));

  Life next(disk);
  with_partition(*next.open(0)->partition, [](PartitionState& state) {
    EXPECT_EQ(state.log().log_start(), Offset(0));
    EXPECT_EQ(state.log().log_end(), Offset(1));
    EXPECT_EQ(state.log().recovery_point(), Offset(0));
  });
}

TEST(PartitionHost, what_the_checkpoints_say_of_a_log_that_was_removed_is_forgotten) {
  env::testing::MemoryDisk disk;
  {
    Life life(disk);
    const auto first = life.open(0);
    for (int64_t i = 0; i < 10; ++i) EXPECT_TRUE(life.write(*first, i));
    with_partition(*first->partition,
                   [](PartitionState& state) { state.log().advance_log_start(Offset(5)); });
    life.partitions->write_checkpoints();
  }
  Life life(disk);
  const auto first = life.open(0);
  with_partition(*first->partition,
                 [](PartitionState& state) { EXPECT_EQ(state.log().log_start(), Offset(5)); });
  life.partitions->remove(kFirst, Uuid::of_words({1, 2}));
  with_partition(*life.open(0)->partition, [](PartitionState& state) {
    EXPECT_EQ(state.log().log_start(), Offset(0));
    EXPECT_EQ(state.log().log_end(), Offset(0));
  });
}

TEST(LogMoves, answers_as_kafka_does) {
  env::testing::MemoryDisk disk;
  Life life(disk);
  EXPECT_EQ(life.moves->move(kFirst, "/d"), ErrorCode::kLogDirNotFound);
  EXPECT_EQ(life.moves->move({"u", PartitionIndex(0)}, "/b"), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_EQ(life.moves->move({std::string(220, 'x'), PartitionIndex(0)}, "/b"),
            ErrorCode::kInvalidTopicException);
  EXPECT_EQ(life.moves->move(kFirst, "/b"), ErrorCode::kReplicaNotAvailable);
  EXPECT_EQ(life.path_of(0), "/b") << "what was asked for is remembered";
  EXPECT_EQ(life.moves->move(kFirst, "/b"), ErrorCode::kNone);
}

TEST(LogMoves, a_log_is_copied_and_written_to_meanwhile_and_lies_in_the_other_directory_then) {
  env::testing::MemoryDisk disk;
  Life life(disk);
  const HostedPartition hosted = *life.open(0);
  std::vector<std::string> written;
  const auto write = [&](int64_t at) {
    ASSERT_TRUE(life.write(hosted, at));
    written.push_back("value " + std::to_string(at));
  };
  for (int64_t i = 0; i < 10; ++i) write(i);
  ASSERT_EQ(life.moves->move(kFirst, "/c"), ErrorCode::kNone);
  for (int64_t i = 10; i < 20; ++i) write(i);
  EXPECT_EQ(hosted.volume()->directory().path(), "/a");
  life.run();
  EXPECT_EQ(hosted.volume()->directory().path(), "/c");
  for (int64_t i = 20; i < 30; ++i) write(i);
  EXPECT_EQ(values_of(hosted), written);
  EXPECT_TRUE(disk.list("/a/t-0")->empty());
  for (const auto& entry : *disk.list("/a")) EXPECT_FALSE(entry.name.starts_with("t-0"));
  Life next(disk);
  const HostedPartition again = *next.open(0);
  EXPECT_EQ(again.volume()->directory().path(), "/c");
  EXPECT_EQ(values_of(again), written);
}

TEST(LogMoves, a_move_that_was_accepted_is_made_though_the_process_dies_before_it_began) {
  env::testing::MemoryDisk disk;
  {
    Life life(disk);
    ASSERT_TRUE(life.write(*life.open(0), 0));
    ASSERT_EQ(life.moves->move(kFirst, "/c"), ErrorCode::kNone);
  }
  disk.crash();
  Life next(disk);
  const HostedPartition hosted = *next.open(0, directory_id(0));
  next.run();
  EXPECT_EQ(hosted.volume()->directory().path(), "/c");
}

TEST(LogMoves, a_move_that_is_taken_back_leaves_nothing) {
  env::testing::MemoryDisk disk;
  Life life(disk);
  const HostedPartition hosted = *life.open(0);
  for (int64_t i = 0; i < 10; ++i) ASSERT_TRUE(life.write(hosted, i));
  ASSERT_EQ(life.moves->move(kFirst, "/c"), ErrorCode::kNone);
  life.host.shard(0).run();
  ASSERT_EQ(life.moves->move(kFirst, "/a"), ErrorCode::kNone);
  life.run();
  EXPECT_EQ(hosted.volume()->directory().path(), "/a");
  for (const auto& entry : *disk.list("/c")) EXPECT_FALSE(entry.name.starts_with("t-0"));
  EXPECT_EQ(values_of(hosted).size(), 10u);
}

// Whatever the disk has not done when the process dies is never done.
TEST(LogMoves, a_process_that_dies_at_any_step_leaves_one_whole_log_and_the_next_finishes) {
  bool finished = false;
  for (int steps = 0; !finished; ++steps) {
    ASSERT_LT(steps, 500);
    SCOPED_TRACE(steps);
    env::testing::MemoryDisk disk;
    int left = steps;
    {
      Life life(disk);
      const HostedPartition hosted = *life.open(0);
      for (int64_t i = 0; i < 8; ++i) ASSERT_TRUE(life.write(hosted, i));
      disk.fault = [&](std::string_view operation, const std::string&) -> Result<> {
        if (operation == "read" || left-- > 0) return {};
        return fail(Errc::kIo, "dead");
      };
      (void)life.moves->move(kFirst, "/c");
      life.host.shard(0).advance(seconds(5));
      finished = left > 0;
    }
    disk.fault = nullptr;
    disk.crash();
    Life next(disk);
    auto hosted = next.open(0, directory_id(0));
    ASSERT_TRUE(hosted.has_value()) << hosted.error().message;
    EXPECT_EQ(values_of(*hosted).size(), 8u);
    next.run();
    EXPECT_EQ(values_of(*hosted).size(), 8u);
    size_t logs = 0;
    for (const auto& path : kPaths)
      for (const auto& entry : *disk.list(path)) logs += entry.name.starts_with("t-0");
    EXPECT_EQ(logs, 1u);
    EXPECT_TRUE(next.write(*hosted, 8));
  }
}

}  // namespace
}  // namespace millrace::node
