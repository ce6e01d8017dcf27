#include "node/compactor.h"

#include <gtest/gtest.h>

#include "env/testing/manual_host.h"
#include "storage/testing/keyed_log.h"

namespace millrace::node {
namespace {

using Table = std::map<std::string, std::string>;

constexpr NodeId kSelf{1};
constexpr Duration kBackoff = seconds(15);

class CompactorTest : public ::testing::Test {
 protected:
  CompactorTest() { start(); }
  ~CompactorTest() override { compactor_->close(); }

  void start(config::Values changes = {}) {
    if (compactor_) compactor_->close();
    compactor_.reset();
    partitions_.reset();
    auto directory = storage::LogDirectory::open(
        host_.disk(), "/data",
        {.cluster_id = "c", .node_id = kSelf, .directory_id = Uuid::of_words({1, 2})});
    ASSERT_TRUE(directory.has_value()) << directory.error().message;
    std::vector<std::unique_ptr<Volume>> volumes;
    volumes.push_back(std::make_unique<Volume>(host_, std::move(*directory)));
    partitions_ = std::make_unique<PartitionHost>(std::move(volumes), Durability::kFsync);
    partitions_->set_other_recovery_points(
        [](const Volume&) -> storage::OffsetCheckpoint { return {}; });
    compactor_ = std::make_shared<Compactor>(
        Compactor::Parts{.host = &host_,
                         .partitions = partitions_.get(),
                         .doubt = [this](const auto& hosted, Offset) {
                           doubted_.push_back(hosted.partition->name().topic);
                         }});
    take_settings(std::move(changes));
    compactor_->start();
  }
  void take_settings(config::Values changes) {
    changes.merge(config::NodeProperties::embedded_default());
    compactor_->take_settings(*config::NodeProperties::of(std::move(changes)));
  }
  HostedPartition open(const std::string& topic, bool compacts = true) {
    auto settings = std::make_shared<TopicSettings>();
    settings->log = {.segment_bytes = 200, .delete_old = !compacts, .compacts = compacts};
    auto hosted =
        *partitions_->open({.name = {topic, PartitionIndex(0)},
                            .topic_id = Uuid::of_words({7, std::hash<std::string>()(topic)}),
                            .settings = settings});
    with_partition(*hosted.partition, [&](PartitionState& state) {
      state.lead(
          {.self = kSelf},
          {.replicas = {kSelf}, .isr = {kSelf}, .leader = kSelf, .leader_epoch = LeaderEpoch(1)},
          {});
    });
    return hosted;
  }
  // `count` records of five keys; acknowledged.
  void write(const HostedPartition& hosted, int count) {
    with_partition(*hosted.partition, [&](PartitionState& state) {
      for (int i = 0; i < count; ++i) {
        ByteBuffer batch = storage::testing::keyed_batch(
            {{fmt::format("k{}", i % 5), fmt::format("v{}", i)}}, now());
        const MutableByteView view = batch;
        EXPECT_TRUE(state.append({&view, 1}, now()).has_value());
      }
    });
    partitions_->appended(hosted);
    host_.shard(0).run();
  }
  TimestampMs now() { return host_.shard(0).wall(); }
  static size_t batches(const HostedPartition& hosted) {
    return with_partition(*hosted.partition, [](PartitionState& state) {
      return storage::testing::batches_of(state.log()).size();
    });
  }
  static Table table(const HostedPartition& hosted) {
    return with_partition(*hosted.partition, [](PartitionState& state) {
      return storage::testing::table_of(state.log());
    });
  }
  uint64_t compactions() const { return compactor_->statistics().compactions; }
  using Uncleanable = std::map<std::string, uint64_t>;
  Uncleanable uncleanable() const { return compactor_->statistics().uncleanable; }

  env::testing::ManualHost host_;
  std::unique_ptr<PartitionHost> partitions_;
  std::shared_ptr<Compactor> compactor_;
  std::vector<std::string> doubted_;
};

TEST_F(CompactorTest, a_dirty_log_is_compacted_and_the_checkpoint_says_how_far) {
  const auto hosted = open("t");
  write(hosted, 50);
  const Table before = table(hosted);
  host_.shard(0).advance(kBackoff);
  EXPECT_EQ(compactions(), 1U);
  EXPECT_LT(batches(hosted), 12U);
  EXPECT_EQ(table(hosted), before);
  const auto text = as_text(host_.disk().content("/data/cleaner-offset-checkpoint"));
  const auto cleaned = with_partition(
      *hosted.partition, [](PartitionState& state) { return *state.log().cleaned_to(); });
  EXPECT_NE(text.find(fmt::format("\nt 0 {}\n", cleaned)), std::string_view::npos) << text;
  host_.shard(0).advance(4 * kBackoff);
  EXPECT_EQ(compactions(), 1U) << "nothing is dirty any more";
}

TEST_F(CompactorTest, its_statistics_are_of_the_last_compaction) {
  const auto hosted = open("t");
  write(hosted, 50);
  host_.shard(0).advance(kBackoff / 2);
  EXPECT_EQ(compactor_->statistics().last.kept, 0);
  host_.shard(0).advance(kBackoff / 2);
  const Compactor::Statistics statistics = compactor_->statistics();
  EXPECT_GT(statistics.bytes_written, 0U);
  EXPECT_DOUBLE_EQ(statistics.last.kept, static_cast<double>(statistics.bytes_written) /
                                             static_cast<double>(statistics.bytes_read));
  EXPECT_LT(statistics.last.kept, 1);
  // Five keys of 24 bytes.
  EXPECT_NEAR(statistics.last.map_used * (128 << 20), 5 * 24, 1);
  EXPECT_EQ(uncleanable(), Uncleanable());
  host_.shard(0).advance(4 * kBackoff);
  EXPECT_EQ(compactor_->statistics().dirtiest, 0);
  EXPECT_LE(host_.shard(0).clock().now() - compactor_->statistics().looked, kBackoff);
}

TEST_F(CompactorTest, the_next_process_goes_on_where_this_one_stopped) {
  const auto hosted = open("t");
  write(hosted, 50);
  host_.shard(0).advance(kBackoff);
  const Table before = table(hosted);
  ASSERT_TRUE(partitions_->close(BrokerEpoch(1)).has_value());
  start();
  const auto again = open("t");
  EXPECT_EQ(table(again), before);
  host_.shard(0).advance(2 * kBackoff);
  EXPECT_EQ(compactions(), 0U);
}

TEST_F(CompactorTest, logs_that_are_only_deleted_from_are_left_alone) {
  const auto hosted = open("t", false);
  write(hosted, 50);
  host_.shard(0).advance(4 * kBackoff);
  EXPECT_EQ(compactions(), 0U);
  EXPECT_EQ(batches(hosted), 50U);
}

TEST_F(CompactorTest, the_dirtiest_log_comes_first_and_the_others_after_it) {
  const auto one = open("one"), two = open("two");
  write(one, 50);
  host_.shard(0).advance(kBackoff);
  write(one, 30);
  write(two, 30);
  host_.delay_disks(milliseconds(1));
  host_.shard(0).advance(kBackoff + seconds(1));
  EXPECT_EQ(compactions(), 3U);
  EXPECT_LT(batches(one), 12U);
  EXPECT_LT(batches(two), 12U);
}

TEST_F(CompactorTest, a_rate_spreads_the_work) {
  start({{"log.cleaner.io.max.bytes.per.second", "1000"}, {"log.cleaner.io.buffer.size", "1024"}});
  const auto hosted = open("t");
  write(hosted, 100);  // some 7 kB, which are read twice
  host_.shard(0).advance(kBackoff + seconds(5));
  EXPECT_EQ(compactions(), 0U);
  host_.shard(0).advance(seconds(15));
  EXPECT_EQ(compactions(), 1U);
}

TEST_F(CompactorTest, a_batch_that_rotted_is_told_and_other_logs_are_compacted) {
  const auto rotten = open("rotten"), sound = open("sound");
  write(rotten, 50);
  write(sound, 40);
  host_.disk().content("/data/rotten-0/00000000000000000000.log")[70] ^= 1;
  host_.shard(0).advance(3 * kBackoff);
  EXPECT_EQ(doubted_, std::vector<std::string>{"rotten"});
  EXPECT_EQ(uncleanable(), (Uncleanable{{"/data", 1}}));
  EXPECT_EQ(compactions(), 1U);
  EXPECT_FALSE(partitions_->volumes()[0]->is_offline());
}

TEST_F(CompactorTest, a_full_disk_leaves_the_log_as_it_is) {
  const auto hosted = open("t");
  write(hosted, 50);
  host_.disk().fault = [](std::string_view operation, const std::string& path) -> Result<> {
    if (operation == "write" && path.ends_with(".cleaned")) return fail(Errc::kNoSpace, "full");
    return {};
  };
  host_.shard(0).advance(2 * kBackoff);
  EXPECT_EQ(batches(hosted), 50U);
  EXPECT_FALSE(host_.disk().exists("/data/t-0/00000000000000000000.log.cleaned"));
  EXPECT_EQ(uncleanable(), (Uncleanable{{"/data", 1}}));
  host_.disk().fault = nullptr;
  host_.shard(0).advance(seconds(90));
  EXPECT_EQ(uncleanable(), Uncleanable());
  EXPECT_EQ(compactions(), 1U);
}

TEST_F(CompactorTest, a_log_that_is_cut_meanwhile_is_looked_at_again) {
  start({{"log.cleaner.io.max.bytes.per.second", "1000"}, {"log.cleaner.io.buffer.size", "1024"}});
  const auto hosted = open("t");
  write(hosted, 100);
  host_.shard(0).advance(kBackoff + seconds(2));
  with_partition(*hosted.partition, [](PartitionState& state) {
    state.follow({NodeId(2), LeaderEpoch(2)});
    EXPECT_TRUE(state.cut(Offset(4)).has_value());
  });
  host_.shard(0).advance(2 * kBackoff);
  EXPECT_EQ(compactions(), 1U) << "of what is left";
  EXPECT_EQ(batches(hosted), 4U);
}

TEST_F(CompactorTest, a_topic_that_is_deleted_meanwhile_takes_nothing_with_it) {
  start({{"log.cleaner.io.max.bytes.per.second", "1000"}, {"log.cleaner.io.buffer.size", "1024"}});
  write(open("t"), 100);
  host_.shard(0).advance(kBackoff + seconds(2));
  partitions_->remove({"t", PartitionIndex(0)}, Uuid::of_words({5, 5}));
  host_.shard(0).advance(4 * kBackoff);
  EXPECT_EQ(compactions(), 0U);
  EXPECT_FALSE(partitions_->volumes()[0]->is_offline());
}

TEST_F(CompactorTest, several_threads_compact_several_logs_and_too_many_go) {
  start({{"log.cleaner.threads", "3"}});
  std::vector<HostedPartition> all;
  for (const char* topic : {"a", "b", "c", "d"}) {
    all.push_back(open(topic));
    write(all.back(), 50);
  }
  host_.delay_disks(milliseconds(1));
  host_.shard(0).advance(kBackoff + seconds(5));
  EXPECT_EQ(compactions(), 4U);
  take_settings({{"log.cleaner.threads", "1"}});
  host_.shard(0).advance(2 * kBackoff);
  write(all[2], 50);
  host_.shard(0).advance(kBackoff);
  EXPECT_EQ(compactions(), 5U);
}

}  // namespace
}  // namespace millrace::node
