// The metadata log on a disk in memory: what Apache Kafka 4.3.1 left behind (testdata), snapshots,
// crashes, damage.
#include "node/metadata_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "env/testing/memory_disk.h"
#include "metadata/record_version.h"
#include "node/metadata_snapshot.h"
#include "raft/control_records.h"

namespace millrace::node {
namespace {

const std::string kDirectory = "/data/__cluster_metadata-0";
const std::string kSegment = kDirectory + "/00000000000000000000.log";
// Node 1's in the logs of testdata.
const Uuid kKafkasDirectory = *Uuid::parse("06sxcXAaQEqbndGvdTe0wA");

ByteBuffer testdata(const std::string& name) {
  std::ifstream file(std::string(MILLRACE_SOURCE_DIR) + "/src/node/testdata/" + name,
                     std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// What an image says, so that a difference can be read.
std::vector<std::string> told_by(const metadata::Image& image) {
  std::vector<std::string> lines;
  for (const auto& record : image.to_records())
    lines.push_back(std::string(wire::record_name(record)) + " " +
                    wire::to_json(record, metadata::record_version(record, 30)));
  return lines;
}

class MetadataLogTest : public testing::Test {
 protected:
  void put(const std::string& path, const ByteBuffer& content) {
    auto file = disk_.open(path, env::OpenMode::kReplace);
    ASSERT_TRUE((*file)->write_at(ByteView(content), 0).has_value());
    ASSERT_TRUE((*file)->sync().has_value());
  }
  void put_kafkas(std::initializer_list<const char*> names) {
    ASSERT_TRUE(disk_.make_directories(kDirectory).has_value());
    for (const char* name : names) put(kDirectory + "/" + name, testdata(name));
  }

  MetadataLogOptions options() const {
    MetadataLogOptions options{.directory = kDirectory, .random = [] { return 7; }};
    options.raft = {.self = {NodeId(1), kKafkasDirectory},
                    .endpoints = {{"CONTROLLER", "localhost", 9093}}};
    options.snapshots = policy_;
    options.log = {.delete_old = false};
    return options;
  }

  Result<std::unique_ptr<MetadataLog>> open(const MetadataLogOptions& options) {
    auto log = MetadataLog::open(
        disk_, options, [this](raft::Envelope request) { sent_.push_back(std::move(request)); },
        now_);
    if (!log) return log;
    save(**log);
    if ((*log)->failure()) return std::unexpected(*(*log)->failure());
    return log;
  }
  Result<std::unique_ptr<MetadataLog>> open() { return open(options()); }
  std::unique_ptr<MetadataLog> open_or_fail() {
    auto log = open();
    EXPECT_TRUE(log.has_value()) << log.error().message;
    return std::move(*log);
  }

  void append(MetadataLog& log, const std::vector<wire::MetadataRecord>& records) {
    const auto appended = log.append(records, log.image().metadata_version(), now_);
    ASSERT_TRUE(appended.has_value()) << appended.error().message;
  }
  void save(MetadataLog& log) {
    const Unsaved unsaved = log.take_unsaved();
    ASSERT_TRUE(log.sync(unsaved).has_value());
    log.mark_saved(unsaved, now_);
    image_ = log.image();
  }
  void add_topic(MetadataLog& log, const std::string& name) {
    append(log, {wire::TopicRecord{.name = name, .topic_id = Uuid::of_words({3, ++topics_})}});
    save(log);
  }
  // As node 5, an observer.
  void ask_for(MetadataLog& log, Offset from, std::vector<QuorumAnswer>& answers) {
    log.on_request(
        raft::FetchRequest{.replica = {NodeId(5), Uuid::of_words({5, 5})},
                           .current_epoch = log.epoch(),
                           .from = from,
                           .last_fetched_epoch = from == Offset(0) ? LeaderEpoch(0) : log.epoch(),
                           .max_wait = milliseconds(500),
                           .max_bytes = 1 << 20,
                           .high_watermark = from},
        [&](QuorumAnswer answer) { answers.push_back(std::move(answer)); }, now_);
  }
  bool snapshot(MetadataLog& log) {
    auto job = log.begin_snapshot({std::make_shared<metadata::Image>(log.image()),
                                   log.applied_end(), log.applied_timestamp()},
                                  now_);
    if (!job) return false;
    const bool written = log.write_snapshot(*job).has_value();
    EXPECT_TRUE(log.remove(log.end_snapshot(*job, written, now_)).has_value());
    return written;
  }
  std::vector<std::string> snapshots() {
    std::vector<std::string> names;
    for (const auto& entry : *disk_.list(kDirectory))
      if (entry.name.find(".checkpoint") != std::string::npos) names.push_back(entry.name);
    return names;
  }

  env::testing::MemoryDisk disk_;
  SnapshotPolicy policy_;
  metadata::Image image_;  // of the log that was saved last
  std::vector<raft::Envelope> sent_;
  raft::Now now_{Instant{seconds(1)}, TimestampMs(1'700'000'000'000)};
  uint64_t topics_ = 0;
};

TEST_F(MetadataLogTest, a_new_one_has_the_files_of_a_quorum_of_one) {
  auto log = open_or_fail();
  EXPECT_EQ(log->epoch(), LeaderEpoch(1));
  EXPECT_EQ(log->log_end(), Offset(3));  // leader change, version, voters
  EXPECT_EQ(snapshots(), std::vector<std::string>{"00000000000000000000-0000000000.checkpoint"});
  EXPECT_EQ(as_text(disk_.content(kDirectory + "/quorum-state")),
            R"({"leaderId":1,"leaderEpoch":1,"votedId":-1,)"
            R"("votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1})");
}

TEST_F(MetadataLogTest, each_start_leads_a_new_epoch_and_finds_everything) {
  {
    auto log = open_or_fail();
    add_topic(*log, "t");
  }
  const metadata::Image before = image_;
  auto log = open_or_fail();
  EXPECT_EQ(log->epoch(), LeaderEpoch(2));
  EXPECT_TRUE(image_.same_state(before));
}

TEST_F(MetadataLogTest, replays_what_apache_kafka_wrote) {
  put_kafkas(
      {"00000000000000000000.log", "quorum-state", "00000000000000000000-0000000000.checkpoint"});
  auto log = open_or_fail();
  image_.check_invariants();
  EXPECT_EQ(log->epoch(), LeaderEpoch(3));
  EXPECT_EQ(image_.metadata_version(), 30);
  for (const char* topic : {"codecs", "txn", "compacted", "empty", "__consumer_offsets"})
    EXPECT_NE(image_.find_topic(std::string_view(topic)), nullptr) << topic;
  EXPECT_EQ(image_.find_broker(NodeId(1))->epoch, BrokerEpoch(264));
  EXPECT_TRUE(image_.find_broker(NodeId(1))->fenced);
  EXPECT_EQ(image_.controllers().at(NodeId(1)).end_points.at(0).port, 19093);
}

// MD8: the image from its snapshot and the rest is the image from the whole log.
TEST_F(MetadataLogTest, a_snapshot_of_apache_kafkas_and_the_log_behind_it_give_the_same_image) {
  put_kafkas(
      {"00000000000000000000.log", "quorum-state", "00000000000000000000-0000000000.checkpoint"});
  open_or_fail();
  const metadata::Image whole = image_;
  put_kafkas(
      {"00000000000000000000.log", "quorum-state", "00000000000000000308-0000000002.checkpoint"});
  open_or_fail();
  EXPECT_EQ(told_by(image_), told_by(whole));
  EXPECT_TRUE(image_.same_state(whole));
}

TEST_F(MetadataLogTest, a_snapshot_is_due_by_bytes_and_by_time_and_only_for_something_new) {
  policy_ = {.max_bytes_between = 1000, .max_interval = seconds(60)};
  auto log = open_or_fail();
  add_topic(*log, "a");
  EXPECT_FALSE(snapshot(*log));
  for (int i = 0; i < 20; ++i) add_topic(*log, "topic" + std::to_string(i));
  EXPECT_TRUE(snapshot(*log));
  now_.time = now_.time + seconds(61);
  EXPECT_FALSE(snapshot(*log));  // nothing new
  add_topic(*log, "b");
  EXPECT_TRUE(snapshot(*log));
}

TEST_F(MetadataLogTest, a_snapshot_says_when_the_newest_batch_that_it_contains_was_appended) {
  policy_ = {.max_bytes_between = 1};
  auto log = open_or_fail();
  now_.wall = now_.wall + 1000;
  add_topic(*log, "contained");
  const TimestampMs contained = now_.wall;
  now_.wall = now_.wall + 1000;
  append(*log, {wire::TopicRecord{.name = "not-committed", .topic_id = Uuid::of_words({4, 1})}});
  ASSERT_TRUE(snapshot(*log));
  EXPECT_EQ(last_contained_in(disk_, kDirectory + "/" + snapshots().back()), contained);
}

TEST_F(MetadataLogTest, starts_from_its_snapshot_when_the_log_is_gone) {
  policy_ = {.max_bytes_between = 1};
  auto log = open_or_fail();
  add_topic(*log, "t");
  ASSERT_TRUE(snapshot(*log));
  const metadata::Image before = image_;
  const Offset end = log->log_end();
  ASSERT_TRUE(disk_.remove(kSegment).has_value());
  log = open_or_fail();
  EXPECT_TRUE(image_.same_state(before));
  EXPECT_EQ(log->log_end(), end + 1);  // the leader change of the new epoch
  add_topic(*log, "u");
  const metadata::Image after = image_;
  open_or_fail();
  EXPECT_TRUE(image_.same_state(after));
}

TEST_F(MetadataLogTest, old_snapshots_and_the_log_before_them_go) {
  policy_ = {.max_bytes_between = 1, .retention_bytes = 600};
  auto log = open_or_fail();
  for (int i = 0; i < 5; ++i) {
    add_topic(*log, "topic" + std::to_string(i));
    ASSERT_TRUE(snapshot(*log));
  }
  EXPECT_EQ(snapshots().size(), 1U);
  EXPECT_GT(log->machine().log().start(), Offset(0));
  log->machine().check_invariants();
  const metadata::Image before = image_;
  open_or_fail();
  EXPECT_TRUE(image_.same_state(before));
}

TEST_F(MetadataLogTest, what_a_crash_left_of_a_snapshot_is_not_one) {
  policy_ = {.max_bytes_between = 1};
  auto log = open_or_fail();
  add_topic(*log, "t");
  disk_.fault = [](std::string_view operation, const std::string& path) -> Result<> {
    if (operation == "rename" && path.ends_with(".part")) return fail(Errc::kIo, "power");
    return {};
  };
  EXPECT_FALSE(snapshot(*log));
  disk_.fault = nullptr;
  EXPECT_EQ(snapshots().size(), 2U);  // the bootstrap one, and the part
  open_or_fail();
  EXPECT_EQ(snapshots().size(), 1U);
}

TEST_F(MetadataLogTest, an_unfinished_snapshot_is_refused_by_name) {
  put_kafkas({"00000000000000000000.log", "quorum-state"});
  ByteBuffer cut = testdata("00000000000000000308-0000000002.checkpoint");
  cut.resize(cut.size() - 75);  // the footer's batch
  put(kDirectory + "/00000000000000000308-0000000002.checkpoint", cut);
  const auto log = open();
  ASSERT_FALSE(log.has_value());
  EXPECT_NE(log.error().message.find("00000000000000000308-0000000002.checkpoint"),
            std::string::npos);
  EXPECT_NE(log.error().message.find("no footer"), std::string::npos) << log.error().message;
}

TEST_F(MetadataLogTest, a_record_that_cannot_be_is_an_error_with_file_and_offset) {
  ByteBuffer segment = testdata("00000000000000000000.log");
  const wire::MetadataRecord impossible =
      wire::RemoveTopicRecord{.topic_id = Uuid::of_words({4, 4})};
  record::BatchBuilder builder({.base_offset = Offset(334), .leader_epoch = LeaderEpoch(2)});
  const ByteBuffer value = metadata::encode_at(impossible, 30);
  builder.append({.timestamp = TimestampMs(5), .value = ByteView(value)});
  const ByteBuffer batch = std::move(builder).build();
  segment.insert(segment.end(), batch.begin(), batch.end());
  put_kafkas({"quorum-state", "00000000000000000000-0000000000.checkpoint"});
  put(kSegment, segment);
  const auto log = open();
  ASSERT_FALSE(log.has_value());
  EXPECT_NE(log.error().message.find(kSegment), std::string::npos) << log.error().message;
  EXPECT_NE(log.error().message.find("offset 334"), std::string::npos) << log.error().message;
}

TEST_F(MetadataLogTest, an_append_that_fails_leaves_no_trace_and_the_next_one_works) {
  auto log = open_or_fail();
  save(*log);
  const Offset end = log->log_end();
  disk_.fault = [](std::string_view operation, const std::string& path) -> Result<> {
    if (operation == "write" && path == kSegment) return fail(Errc::kNoSpace, "full");
    return {};
  };
  const metadata::Image before = image_;
  EXPECT_FALSE(log->append({wire::NoOpRecord{}}, 30, now_).has_value());
  disk_.fault = nullptr;
  EXPECT_EQ(log->log_end(), end);
  EXPECT_EQ(log->machine().log().end(), end);
  EXPECT_TRUE(image_.same_state(before));
  add_topic(*log, "t");
  EXPECT_EQ(log->machine().high_watermark(), log->log_end());
}

TEST_F(MetadataLogTest, an_epoch_that_finds_no_room_is_written_later_and_led_then) {
  disk_.fault = [](std::string_view operation, const std::string& path) -> Result<> {
    if (operation == "write" && path.find("quorum-state") != std::string::npos)
      return fail(Errc::kNoSpace, "full");
    return {};
  };
  auto log = open_or_fail();
  EXPECT_FALSE(log->failure());
  EXPECT_FALSE(log->machine().is_established());
  EXPECT_EQ(log->log_end(), Offset(0));
  disk_.fault = nullptr;
  for (int i = 0; i < 20 && !log->machine().is_established(); ++i) {
    now_.time = std::max(now_.time + milliseconds(1), log->next_deadline());
    log->on_tick(now_);
    save(*log);
  }
  EXPECT_TRUE(log->machine().is_established());
  EXPECT_EQ(log->applied_end(), log->log_end());
}

TEST_F(MetadataLogTest, a_voter_of_another_directory_does_not_lead) {
  put_kafkas(
      {"00000000000000000000.log", "quorum-state", "00000000000000000000-0000000000.checkpoint"});
  auto other = options();
  other.raft.self.directory_id = Uuid::of_words({5, 5});
  const auto log = open(other);
  ASSERT_TRUE(log.has_value()) << log.error().message;
  EXPECT_FALSE((*log)->machine().is_leader());
  EXPECT_EQ((*log)->machine().high_watermark(), std::nullopt);
  EXPECT_TRUE(image_.topics().empty());
}

// Its end counts for the majority as soon as the leader hears of it.
TEST_F(MetadataLogTest, what_a_killed_process_left_unsynced_is_durable_once_it_is_open) {
  {
    auto log = open_or_fail();
    append(*log, {wire::TopicRecord{.name = "t", .topic_id = Uuid::of_words({3, 1})}});
  }
  auto follower = options();
  follower.raft.self.directory_id = Uuid::of_words({5, 5});
  Offset end;
  {
    const auto log = MetadataLog::open(disk_, follower, [](auto) {}, now_);
    ASSERT_TRUE(log.has_value()) << log.error().message;
    end = (*log)->log_end();
  }
  disk_.crash();
  const auto log = MetadataLog::open(disk_, follower, [](auto) {}, now_);
  ASSERT_TRUE(log.has_value()) << log.error().message;
  EXPECT_EQ((*log)->log_end(), end);
}

TEST_F(MetadataLogTest, static_voters_make_a_quorum_without_kraft_version) {
  auto fixed = options();
  fixed.static_voters.voters[NodeId(1)] = {};
  auto log = open(fixed);
  ASSERT_TRUE(log.has_value()) << log.error().message;
  EXPECT_TRUE(snapshots().empty());
  EXPECT_EQ((*log)->log_end(), Offset(1));
  EXPECT_NE(as_text(disk_.content(kDirectory + "/quorum-state")).find("\"data_version\":0"),
            std::string_view::npos);
}

TEST_F(MetadataLogTest, a_fetch_is_answered_with_a_range_of_the_log_and_parked_at_its_end) {
  auto log = open_or_fail();
  save(*log);
  std::vector<QuorumAnswer> answers;
  ask_for(*log, Offset(0), answers);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_GT(answers[0].range.length, 0U);
  EXPECT_EQ(std::get<raft::FetchResponse>(*answers[0].message).high_watermark, Offset(3));
  ask_for(*log, Offset(3), answers);
  EXPECT_EQ(answers.size(), 1U);
  add_topic(*log, "t");
  EXPECT_EQ(answers.size(), 2U);
  ask_for(*log, Offset(4), answers);
  now_.time = log->next_deadline();
  log->on_tick(now_);
  EXPECT_EQ(answers.size(), 3U);
  EXPECT_EQ(log->machine().progress().begin()->second.end, Offset(4));
}

TEST_F(MetadataLogTest, who_asks_is_told_that_there_is_no_answer_when_it_cannot_be_written) {
  auto log = open_or_fail();
  save(*log);
  disk_.fault = [](std::string_view operation, const std::string&) {
    return operation == "write" ? Result<>(fail(Errc::kIo, "no space left")) : Result<>();
  };
  std::vector<QuorumAnswer> answers;
  log->on_request(
      raft::BeginQuorumEpochRequest{.leader = NodeId(2),
                                    .epoch = LeaderEpoch(log->epoch().value() + 1),
                                    .voter = {NodeId(1), kKafkasDirectory}},
      [&](QuorumAnswer answer) { answers.push_back(std::move(answer)); }, now_);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_FALSE(answers[0].message);
}

TEST_F(MetadataLogTest, who_waits_is_told_that_there_is_no_answer) {
  auto log = open_or_fail();
  save(*log);
  std::vector<QuorumAnswer> answers;
  ask_for(*log, log->log_end(), answers);
  EXPECT_TRUE(answers.empty());
  log->stop(Error{Errc::kIo, "a sync failed"});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_FALSE(answers[0].message);
  ask_for(*log, log->log_end(), answers);
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_FALSE(answers[1].message);
}

TEST(BootstrapCheckpoint, is_read_as_apache_kafka_wrote_it_and_written_so) {
  env::testing::MemoryDisk disk;
  const ByteBuffer kafkas = testdata("bootstrap.checkpoint");
  ASSERT_TRUE(write_snapshot_file(disk, "/data/bootstrap.checkpoint", kafkas).has_value());
  const auto records = read_bootstrap_checkpoint(disk, "/data/bootstrap.checkpoint");
  ASSERT_TRUE(records.has_value()) << records.error().message;
  ASSERT_EQ(records->size(), 6U);
  EXPECT_EQ(std::get<wire::FeatureLevelRecord>(records->at(0)).feature_level, 30);
  EXPECT_EQ(bootstrap_checkpoint(*records, TimestampMs(0)).size(), kafkas.size());
}

}  // namespace
}  // namespace millrace::node
