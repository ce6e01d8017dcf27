// Share coordinators that come and go with the leadership of their partition, and the log that
// they are loaded from and cut.
#include "node/partition_share_states.h"

#include <gtest/gtest.h>

#include "env/testing/manual_host.h"
#include "node/share_state_persister.h"
#include "share/coordinator_key.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

constexpr NodeId kSelf{1}, kOther{2};
const Uuid kStatesId = Uuid::of_words({7, 7}), kTopicId = Uuid::of_words({7, 1});
const TopicPartition kStates{"__share_group_state", PartitionIndex(0)};

class ShareStateHostTest : public ::testing::Test {
 protected:
  ShareStateHostTest() {
    auto directory = storage::LogDirectory::open(
        host_.disk(), "/data",
        {.cluster_id = "c", .node_id = kSelf, .directory_id = Uuid::of_words({3, 3})});
    std::vector<std::unique_ptr<Volume>> volumes;
    volumes.push_back(std::make_unique<Volume>(host_, std::move(*directory)));
    partitions_ = std::make_unique<PartitionHost>(std::move(volumes), Durability::kFsync);
    partitions_->set_other_recovery_points(
        [](const Volume&) { return storage::OffsetCheckpoint(); });
    states_ = std::make_unique<ShareStateHost>(
        ShareStateHost::Parts{
            .host = &host_,
            .partitions = partitions_.get(),
            .image = [this] { return std::make_shared<metadata::Image>(image_); }},
        ShareStateHost::Options{.machine = {.updates_per_snapshot = 1}});
    create(image_, "t", kTopicId);
  }

  static void create(metadata::Image& image, const std::string& name, const Uuid& id) {
    apply(image, wire::TopicRecord{.name = name, .topic_id = id});
    apply(image, wire::PartitionRecord{.partition_id = 0,
                                       .topic_id = id,
                                       .replicas = {1, 2},
                                       .isr = {1, 2},
                                       .leader = 1,
                                       .leader_epoch = 0,
                                       .partition_epoch = 0});
  }
  static void apply(metadata::Image& image, const wire::MetadataRecord& record) {
    ASSERT_TRUE(image.apply(record, image.last_offset() + 1).has_value());
  }

  // The metadata says that this node has a replica, and who leads since `epoch`.
  void lead(NodeId leader, int32_t epoch, std::vector<NodeId> isr = {kSelf}) {
    metadata::Image after = image_;
    if (after.find_topic(kStatesId) == nullptr) create(after, kStates.topic, kStatesId);
    apply(after, wire::PartitionChangeRecord{
                     .partition_id = 0, .topic_id = kStatesId, .leader = leader.value()});
    auto opened = partitions_->open({.name = kStates,
                                     .topic_id = kStatesId,
                                     .settings = std::make_shared<const TopicSettings>(),
                                     .assigned = std::nullopt});
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    with_partition(*opened->partition, [&](PartitionState& state) {
      const metadata::PartitionState assigned{.replicas = {kSelf, kOther},
                                              .isr = std::move(isr),
                                              .leader = leader,
                                              .leader_epoch = LeaderEpoch(epoch)};
      if (leader != kSelf) return state.follow({leader, LeaderEpoch(epoch)});
      state.lead({.self = kSelf, .min_insync_replicas = 1}, assigned, shard().now());
    });
    follow(after);
  }
  void follow(const metadata::Image& after) {
    const metadata::Image before = std::exchange(image_, after);
    states_->follow(before, image_);
    shard().run();
  }

  // Nothing: it waits.
  std::optional<ErrorCode> ask(const share::Question& question) {
    auto code = std::make_shared<std::optional<ErrorCode>>();
    states_->run({.key = kKey,
                  .question = question,
                  .shard = &shard(),
                  .done = [code](ErrorCode error, const share::Answer& answer) {
                    *code = error == ErrorCode::kNone ? answer.error : error;
                  }});
    shard().run();
    return *code;
  }
  std::optional<ErrorCode> write(int64_t offset) {
    return ask(share::WriteState{
        {.state_epoch = -1,
         .batches = {{Offset(offset), Offset(offset), share::DeliveryState::kAcknowledged, 1}}}});
  }
  std::string kept() {
    std::string text;
    EXPECT_EQ(states_->read(share::coordinator_key(kKey),
                            [&](const share::ShareCoordinator& coordinator) {
                              coordinator.check_invariants();
                              text = coordinator.describe_replicated();
                            }),
              ErrorCode::kNone);
    return text;
  }
  Offset log_start() {
    return with_partition(*partitions_->find(kStates).partition,
                          [](PartitionState& state) { return state.log().log_start(); });
  }
  env::testing::ManualShard& shard() { return host_.shard(0); }

  const share::SharePartitionKey kKey{"g", kTopicId, PartitionIndex(0)};
  env::testing::ManualHost host_;
  metadata::Image image_;
  std::unique_ptr<ShareStateHost> states_;
  std::unique_ptr<PartitionHost> partitions_;
};

TEST_F(ShareStateHostTest, what_is_not_led_here_has_no_coordinator_here) {
  EXPECT_EQ(ask(share::ReadStateSummary{}), ErrorCode::kNotCoordinator);
  lead(kOther, 0);
  EXPECT_EQ(ask(share::ReadStateSummary{}), ErrorCode::kNotCoordinator);
}

// Offsets of the records too, from which the log is cut.
TEST_F(ShareStateHostTest, who_leads_again_knows_what_the_log_says) {
  lead(kSelf, 0);
  EXPECT_EQ(ask(share::InitializeState{}), ErrorCode::kNone);
  for (int64_t offset = 0; offset < 5; ++offset) EXPECT_EQ(write(offset), ErrorCode::kNone);
  const std::string before = kept();
  lead(kOther, 1);
  lead(kSelf, 2);
  EXPECT_EQ(kept(), before);
}

TEST_F(ShareStateHostTest, nobody_is_answered_before_all_replicas_in_sync_have_it) {
  lead(kSelf, 0, {kSelf, kOther});
  EXPECT_EQ(ask(share::InitializeState{}), std::nullopt);
  EXPECT_EQ(ask(share::ReadState{}), std::nullopt) << "a read tells of what may be lost";
}

TEST_F(ShareStateHostTest, the_log_is_cut_when_what_counts_is_committed) {
  lead(kSelf, 0);
  ask(share::InitializeState{});
  for (int64_t offset = 0; offset < 5; ++offset) write(offset);  // snapshots at 2 and 4
  shard().advance(seconds(299));
  EXPECT_EQ(log_start(), Offset(0));
  shard().advance(seconds(2));
  EXPECT_EQ(log_start(), Offset(4));
  const std::string before = kept();
  lead(kSelf, 1);
  EXPECT_EQ(kept(), before) << "all of it is behind the start";
}

TEST_F(ShareStateHostTest, the_log_is_not_cut_while_a_replica_in_sync_may_lack_what_counts) {
  lead(kSelf, 0);
  ask(share::InitializeState{});
  lead(kSelf, 1, {kSelf, kOther});
  for (int64_t offset = 0; offset < 5; ++offset) EXPECT_EQ(write(offset), std::nullopt);
  shard().advance(seconds(301));
  EXPECT_EQ(log_start(), Offset(0));
}

TEST_F(ShareStateHostTest, what_is_kept_goes_with_its_topic) {
  lead(kSelf, 0);
  ask(share::InitializeState{});
  metadata::Image gone = image_;
  apply(gone, wire::RemoveTopicRecord{.topic_id = kTopicId});
  follow(gone);
  EXPECT_EQ(kept(), "");
  EXPECT_EQ(ask(share::ReadStateSummary{}), ErrorCode::kUnknownTopicOrPartition);
}

// --- The persister, without the other brokers.

class ShareStatePersisterTest : public ShareStateHostTest {
 protected:
  BrokerLinks links_{{.host = &host_,
                      .client_id = "broker-1-share-states",
                      .listener = "PLAINTEXT",
                      .request_timeout = seconds(1),
                      .image = [this] { return std::make_shared<metadata::Image>(image_); }}};
  int creations_ = 0;
  ShareStatePersister persister_{
      {.host = &host_,
       .self = kSelf,
       .states = states_.get(),
       .links = &links_,
       .image = [this] { return std::make_shared<metadata::Image>(image_); },
       .create_topic = [this] { ++creations_; }}};
};

TEST_F(ShareStatePersisterTest, the_topic_is_asked_for_until_it_is_there) {
  std::optional<ErrorCode> code;
  persister_.initialize({.key = kKey}, shard(), [&](ErrorCode error) { code = error; });
  shard().run();
  shard().advance(milliseconds(60));
  EXPECT_EQ(creations_, 2);
  EXPECT_FALSE(code);
  lead(kSelf, 0);
  shard().advance(seconds(1));
  EXPECT_EQ(code, ErrorCode::kNone);
}

TEST_F(ShareStatePersisterTest, a_coordinator_that_nobody_reaches_is_not_available) {
  lead(kOther, 0);
  std::optional<ErrorCode> code;
  persister_.remove(kKey, shard(), [&](ErrorCode error) { code = error; });
  shard().run();
  shard().advance(seconds(10));
  EXPECT_FALSE(code);
  shard().advance(seconds(10));
  EXPECT_EQ(code, ErrorCode::kCoordinatorNotAvailable);
}

TEST_F(ShareStatePersisterTest, what_the_coordinator_refuses_is_told_at_once) {
  lead(kSelf, 0);
  std::optional<ErrorCode> code;
  persister_.write({.key = kKey, .state = {}}, shard(), [&](ErrorCode error) { code = error; });
  shard().run();
  EXPECT_EQ(code, ErrorCode::kInvalidRequest);
}

}  // namespace
}  // namespace millrace::node
