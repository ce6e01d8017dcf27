// CP5: the process dies, or the power goes, at every single change that a compaction makes of the
// disk; the next process finds the records of before or of after it, and can compact again.
#include <gtest/gtest.h>

#include <set>

#include "sim/disk.h"
#include "storage/testing/keyed_log.h"

namespace millrace::sim {
namespace {

using storage::Log;
using storage::testing::Keyed;
using Table = std::map<std::string, std::string>;

constexpr TimestampMs kNow{1'700'000'000'000};
const std::string kDirectory = "/data/t-0";
constexpr ProducerId kProducer{7};
constexpr storage::LogOptions kOptions{.segment_bytes = 300,
                                       .index_interval_bytes = 0,
                                       .delete_old = false,
                                       .compacts = true,
                                       .delete_retention_ms = 0};

std::string offset_of(const std::string& batch) { return batch.substr(0, batch.find(':')); }

class Machine {
 public:
  explicit Machine(uint64_t seed) : world_(seed) {}

  // Records with keys, tombstones, an aborted transaction and a committed one; durable.
  void write() {
    EXPECT_TRUE(env::make_durable_directories(disk_, "/data").has_value());
    open({});
    for (int i = 0; i < 12; ++i) {
      append(storage::testing::keyed_batch(
          {{fmt::format("k{}", i % 5), fmt::format("v{}", i)}, {fmt::format("u{}", i), "once"}},
          kNow));
      if (i % 4 == 3)
        append(storage::testing::keyed_batch({{fmt::format("k{}", i % 5), std::nullopt}}, kNow));
      if (i % 3 == 0) transaction(i % 2 == 0);
    }
    EXPECT_TRUE(log_->close().has_value());
    point_ = log_->log_end();
  }
  void open(const storage::LogRecovery& recovery) {
    log_.reset();
    auto opened = Log::open(disk_, kDirectory, kOptions, recovery);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    log_ = std::move(*opened);
  }
  // What a crash leaves is opened; what is durable is not scanned again.
  void reopen() { open({.recovery_point = point_}); }
  void compact() {
    auto done =
        storage::testing::compact(disk_, *log_, kNow + 1, {.map_bytes = 1 << 12, .io_bytes = 512});
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  Log& log() { return *log_; }
  Medium& medium() { return medium_; }

 private:
  void append(ByteBuffer batch) {
    EXPECT_TRUE(storage::testing::append(*log_, std::move(batch), kNow).has_value());
  }
  void transaction(bool commits) {
    append(storage::testing::keyed_batch({{"k1", commits ? "committed" : "aborted"}}, kNow,
                                         {.producer_id = kProducer,
                                          .producer_epoch = ProducerEpoch(0),
                                          .base_sequence = ProducerSequence(sequence_++),
                                          .transactional = true}));
    append(storage::testing::marker_batch(
        {kProducer, ProducerEpoch(0),
         commits ? record::ControlType::kCommit : record::ControlType::kAbort},
        kNow));
  }

  World world_;
  Medium medium_{world_};
  Disk disk_{medium_};
  std::unique_ptr<Log> log_;
  Offset point_;
  int32_t sequence_ = 0;
};

// As a reader of committed records sees the log.
Table committed_table(Log& log) {
  Table table;
  std::map<int64_t, std::vector<int64_t>> aborted;  // by producer: where its transactions begin
  for (const auto& each : log.aborted_transactions({Offset(0), log.log_end()}))
    aborted[each.producer_id.value()].push_back(each.first_offset.value());
  std::set<int64_t> aborting;
  record::ReadScratch scratch;
  (void)log.replay([&](const record::BatchHeader& header, ByteView bytes, uint64_t) {
    const int64_t producer = header.producer_id.value();
    for (int64_t first : aborted[producer])
      if (first >= header.base_offset.value() && first <= header.last_offset().value())
        aborting.insert(producer);
    if (header.attributes.control()) return aborting.erase(producer), true;
    if (header.attributes.transactional() && aborting.contains(producer)) return true;
    auto batch = *record::BatchView::parse(bytes);
    auto reader = record::RecordReader::open(batch, scratch, 1 << 20);
    record::RecordView record;
    while (*reader->next(record)) {
      const std::string key(as_text(*record.key));
      table.erase(key);
      if (record.value) table[key] = as_text(*record.value);
    }
    return true;
  });
  return table;
}

struct Expected {
  std::vector<std::string> before, after;
  Table table;
};

Expected expected() {
  Machine machine(1);
  machine.write();
  Expected result{.before = storage::testing::batches_of(machine.log()),
                  .after = {},
                  .table = committed_table(machine.log())};
  machine.compact();
  result.after = storage::testing::batches_of(machine.log());
  EXPECT_LT(result.after.size(), result.before.size());
  EXPECT_EQ(committed_table(machine.log()), result.table);
  return result;
}

// Each batch is one of before or one of after; of those of after none is missing.
void expect_between(const std::vector<std::string>& found, const Expected& expected) {
  const std::set<std::string> before(expected.before.begin(), expected.before.end());
  const std::set<std::string> after(expected.after.begin(), expected.after.end());
  std::set<std::string> offsets;
  for (const std::string& batch : found) {
    EXPECT_TRUE(before.contains(batch) || after.contains(batch)) << batch;
    offsets.insert(offset_of(batch).substr(batch.find('[')));
  }
  for (const std::string& batch : expected.after)
    EXPECT_TRUE(offsets.contains(offset_of(batch).substr(batch.find('[')))) << batch << " is lost";
}

// After a crash at the n-th change; false: there are fewer.
bool crash_at(uint64_t n, uint64_t seed, bool power_goes, const Expected& expected) {
  Machine machine(seed);
  machine.write();
  bool dead = false;
  machine.medium().die_at(n, [&] { dead = true; });
  machine.compact();
  if (!dead) return false;
  machine.medium().process_ended();
  if (power_goes) machine.medium().lose_power();
  machine.reopen();
  if (testing::Test::HasFatalFailure()) return true;
  expect_between(storage::testing::batches_of(machine.log()), expected);
  EXPECT_EQ(committed_table(machine.log()), expected.table) << "change " << n << ", seed " << seed;
  for (const std::string& path : machine.medium().files_below(kDirectory))
    EXPECT_FALSE(path.ends_with(".cleaned") || path.ends_with(".swap")) << path;
  machine.compact();
  EXPECT_EQ(committed_table(machine.log()), expected.table) << "change " << n << ", seed " << seed;
  EXPECT_LE(storage::testing::batches_of(machine.log()).size(), expected.after.size());
  return true;
}

TEST(CompactionCrash, a_process_that_dies_at_any_change_leaves_what_was_or_what_is_to_be) {
  const Expected records = expected();
  uint64_t n = 1;
  while (crash_at(n, 1, false, records)) ++n;
  EXPECT_GT(n, 40U);
}

TEST(CompactionCrash, power_that_goes_at_any_change_leaves_what_was_or_what_is_to_be) {
  const Expected records = expected();
  uint64_t crashes = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed)
    for (uint64_t n = 1; crash_at(n, seed, true, records); ++n) ++crashes;
  EXPECT_GT(crashes, 500U);
}

}  // namespace
}  // namespace millrace::sim
