// Coordinators that come and go with the leadership of their partition.
#include "node/partition_groups.h"

#include <gtest/gtest.h>

#include "env/testing/manual_host.h"
#include "node/testing/share_states.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

constexpr NodeId kSelf{1}, kOther{2};
const Uuid kOffsetsId = Uuid::of_words({7, 7});

class Topics final : public group::Topics {
 public:
  std::optional<Uuid> id_of(std::string_view) const override { return Uuid::of_words({1, 1}); }
  std::optional<std::string> name_of(const Uuid&) const override { return "t"; }
  bool has_partition(std::string_view, PartitionIndex) const override { return true; }
  int32_t partition_count(std::string_view) const override { return 1; }
  std::vector<std::string> racks_of(std::string_view, PartitionIndex) const override { return {}; }
  void for_each_name(const std::function<void(const std::string&)>&) const override {}
  int64_t version() const override { return 1; }
  int64_t max_batch_bytes() const override { return 1 << 20; }
  group::GroupTimes times_of(std::string_view) const override { return {}; }
  group::GroupTimes share_times_of(std::string_view) const override { return {}; }
  group::StreamsSettings streams_settings_of(std::string_view) const override { return {}; }
};

class GroupHostTest : public ::testing::Test {
 protected:
  GroupHostTest() {
    auto directory = storage::LogDirectory::open(
        host_.disk(), "/data",
        {.cluster_id = "c", .node_id = kSelf, .directory_id = Uuid::of_words({3, 3})});
    std::vector<std::unique_ptr<Volume>> volumes;
    volumes.push_back(std::make_unique<Volume>(host_, std::move(*directory)));
    partitions_ = std::make_unique<PartitionHost>(std::move(volumes), Durability::kFsync);
    published_.store(std::make_shared<metadata::Image>());
    groups_ = std::make_unique<GroupHost>(host_, *partitions_, GroupHost::Options{},
                                          GroupHost::Knowledge{&published_, &settings_});
  }

  // The metadata says that this node has a replica, and who leads since `epoch`.
  void lead(NodeId leader, int32_t epoch, std::vector<NodeId> isr = {kSelf}) {
    metadata::Image after = image_;
    if (after.find_topic(kOffsetsId) == nullptr) {
      apply(after, wire::TopicRecord{.name = "__consumer_offsets", .topic_id = kOffsetsId});
      apply(after, wire::PartitionRecord{.partition_id = 0,
                                         .topic_id = kOffsetsId,
                                         .replicas = {1, 2},
                                         .isr = {1, 2},
                                         .leader = leader.value(),
                                         .leader_epoch = epoch,
                                         .partition_epoch = epoch});
    } else {
      apply(after, wire::PartitionChangeRecord{
                       .partition_id = 0, .topic_id = kOffsetsId, .leader = leader.value()});
    }
    auto opened = partitions_->open({.name = {"__consumer_offsets", PartitionIndex(0)},
                                     .topic_id = kOffsetsId,
                                     .settings = std::make_shared<const TopicSettings>(),
                                     .assigned = std::nullopt});
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    with_partition(*opened->partition, [&](PartitionState& state) {
      const metadata::PartitionState assigned{.replicas = {kSelf, kOther},
                                              .isr = std::move(isr),
                                              .leader = leader,
                                              .leader_epoch = LeaderEpoch(epoch)};
      if (leader != kSelf) return state.follow({leader, LeaderEpoch(epoch)});
      state.lead({.self = kSelf, .min_insync_replicas = min_isr_}, assigned, shard().now());
    });
    groups_->follow(image_, after);
    image_ = after;
  }
  static void apply(metadata::Image& image, const wire::MetadataRecord& record) {
    ASSERT_TRUE(image.apply(record, image.last_offset() + 1).has_value());
  }

  struct Answer {
    std::optional<ErrorCode> code;  // nothing: it waits
    group::Response response;
  };
  std::shared_ptr<Answer> run(GroupHost::StepFunction step) {
    auto answer = std::make_shared<Answer>();
    groups_->run({.group_id = "g",
                  .api_version = 8,
                  .client_id = "c",
                  .client_host = "/127.0.0.1",
                  .step = std::move(step),
                  .shard = &shard(),
                  .done = [answer](ErrorCode code, group::Response response) {
                    answer->code = code;
                    answer->response = std::move(response);
                  }});
    return answer;
  }
  std::shared_ptr<Answer> commit(int64_t offset) {
    return run([offset](group::Coordinator& c, const group::RequestContext& context) {
      wire::OffsetCommitRequest request;
      request.group_id = "g";
      request.generation_id_or_member_epoch = -1;
      request.topics = {{.name = "t", .partitions = {{.committed_offset = offset}}}};
      return c.decide_offset_commit(request, Topics(), context);
    });
  }
  std::shared_ptr<Answer> join() {
    return run([](group::Coordinator& c, const group::RequestContext& context) {
      wire::JoinGroupRequest request;
      request.group_id = "g";
      request.session_timeout_ms = 10'000;
      request.rebalance_timeout_ms = 10'000;
      request.protocol_type = "consumer";
      request.group_instance_id = "i";  // joins at once
      request.protocols = {{.name = "range"}};
      return c.decide_join_group(request, context);
    });
  }
  std::optional<int64_t> committed() {
    std::optional<int64_t> offset;
    const ErrorCode code = groups_->read("g", [&](const group::Coordinator& c) {
      if (auto found = c.committed("g", {"t", PartitionIndex(0)})) offset = found->offset.value();
    });
    EXPECT_EQ(code, ErrorCode::kNone);
    return offset;
  }
  ErrorCode read() {
    return groups_->read("g", [](const group::Coordinator&) {});
  }
  env::testing::ManualShard& shard() { return host_.shard(0); }

  env::testing::ManualHost host_;
  int32_t min_isr_ = 1;
  metadata::Image image_;
  Published<metadata::Image> published_;
  Published<config::NodeProperties> settings_;  // none
  std::unique_ptr<GroupHost> groups_;
  std::unique_ptr<PartitionHost> partitions_;
};

TEST_F(GroupHostTest, what_is_not_led_here_has_no_coordinator_here) {
  EXPECT_EQ(read(), ErrorCode::kNotCoordinator);
  lead(kOther, 0);
  EXPECT_EQ(read(), ErrorCode::kNotCoordinator);
  const auto answer = commit(1);
  shard().run();
  EXPECT_EQ(answer->code, ErrorCode::kNotCoordinator);
}

TEST_F(GroupHostTest, groups_are_dealt_out_by_what_the_topic_had_when_it_was_made) {
  lead(kSelf, 0);
  EXPECT_EQ(groups_->partition_count(), 1);
  metadata::Image more = image_;
  apply(more, wire::PartitionRecord{.partition_id = 1,
                                    .topic_id = kOffsetsId,
                                    .replicas = {2},
                                    .isr = {2},
                                    .leader = 2,
                                    .leader_epoch = 0,
                                    .partition_epoch = 0});
  groups_->follow(image_, more);
  EXPECT_EQ(groups_->partition_count(), 1);
  metadata::Image gone = more;
  apply(gone, wire::RemoveTopicRecord{.topic_id = kOffsetsId});
  groups_->follow(more, gone);
  EXPECT_EQ(groups_->partition_count(), 0);
}

// kafka.md 2.6: in-flight joins are answered NOT_COORDINATOR.
TEST_F(GroupHostTest, who_waits_when_another_takes_over_is_sent_away_at_once) {
  lead(kSelf, 0);
  const auto answer = join();
  shard().run();
  EXPECT_FALSE(answer->code.has_value());
  lead(kOther, 1);
  shard().run();
  EXPECT_EQ(answer->code, ErrorCode::kNotCoordinator);
  EXPECT_EQ(read(), ErrorCode::kNotCoordinator);
}

// KAFKA-15468: a partition changes, but not its leader.
TEST_F(GroupHostTest, who_waits_goes_on_waiting_when_only_the_isr_changes) {
  lead(kSelf, 0);
  const auto answer = join();
  shard().run();
  lead(kSelf, 0, {kSelf, kOther});
  shard().run();
  EXPECT_FALSE(answer->code.has_value());
  EXPECT_EQ(read(), ErrorCode::kNone);
}

TEST_F(GroupHostTest, who_waits_when_the_topic_is_deleted_is_sent_away) {
  lead(kSelf, 0);
  const auto answer = join();
  shard().run();
  partitions_->remove({"__consumer_offsets", PartitionIndex(0)}, Uuid::of_words({9, 9}));
  metadata::Image gone = image_;
  apply(gone, wire::RemoveTopicRecord{.topic_id = kOffsetsId});
  groups_->follow(image_, gone);
  shard().run();
  EXPECT_EQ(answer->code, ErrorCode::kNotCoordinator);
  EXPECT_EQ(read(), ErrorCode::kNotCoordinator);
}

TEST_F(GroupHostTest, a_partition_that_goes_offline_while_it_is_loaded_has_no_coordinator) {
  lead(kSelf, 0);
  commit(1);
  shard().run();
  host_.delay_disks(seconds(1));
  lead(kSelf, 1);
  EXPECT_EQ(read(), ErrorCode::kCoordinatorLoadInProgress);
  const HostedPartition hosted =
      partitions_->find(TopicPartition{"__consumer_offsets", PartitionIndex(0)});
  with_partition(*hosted.partition,
                 [](PartitionState& state) { state.go_offline(ErrorCode::kKafkaStorageError); });
  shard().advance(seconds(5));
  EXPECT_EQ(read(), ErrorCode::kNotCoordinator);
}

TEST_F(GroupHostTest, what_was_committed_is_there_when_the_leadership_comes_back) {
  lead(kSelf, 0);
  const auto answer = commit(42);
  shard().run();
  EXPECT_EQ(answer->code, ErrorCode::kNone);
  lead(kOther, 1);
  lead(kSelf, 2);
  EXPECT_EQ(read(), ErrorCode::kCoordinatorLoadInProgress);
  shard().run();
  EXPECT_EQ(committed(), 42);
}

TEST_F(GroupHostTest, while_a_big_log_is_read_others_are_told_to_wait) {
  lead(kSelf, 0);
  commit(1);
  shard().run();
  host_.delay_disks(seconds(1));
  lead(kSelf, 1);
  const auto answer = commit(2);
  shard().run();
  EXPECT_EQ(answer->code, ErrorCode::kCoordinatorLoadInProgress);
  shard().advance(seconds(2));
  EXPECT_EQ(committed(), 1);
}

TEST_F(GroupHostTest, a_load_for_a_leadership_that_is_over_comes_to_nothing) {
  lead(kSelf, 0);
  commit(1);
  shard().run();
  host_.delay_disks(seconds(1));
  lead(kSelf, 1);
  lead(kOther, 2);
  shard().advance(seconds(5));
  EXPECT_EQ(read(), ErrorCode::kNotCoordinator);
}

TEST_F(GroupHostTest, offsets_of_a_topic_deleted_while_its_coordinator_loads_are_gone) {
  apply(image_, wire::TopicRecord{.name = "t", .topic_id = Uuid::of_words({1, 1})});
  lead(kSelf, 0);
  commit(1);
  shard().run();
  host_.delay_disks(seconds(1));
  lead(kSelf, 1);
  metadata::Image after = image_;
  apply(after, wire::RemoveTopicRecord{.topic_id = Uuid::of_words({1, 1})});
  groups_->follow(image_, after);
  shard().advance(seconds(5));
  EXPECT_EQ(committed(), std::nullopt);
}

// offsets.commit.timeout.ms; Kafka turns REQUEST_TIMED_OUT into COORDINATOR_NOT_AVAILABLE.
TEST_F(GroupHostTest, a_commit_that_is_not_covered_in_time_is_given_up_but_not_undone) {
  lead(kSelf, 0);
  host_.delay_disks(seconds(20));
  const auto answer = commit(7);
  shard().run();
  shard().advance(milliseconds(4999));
  EXPECT_FALSE(answer->code.has_value());
  shard().advance(milliseconds(1));
  EXPECT_EQ(answer->code, ErrorCode::kCoordinatorNotAvailable);
  shard().advance(seconds(30));
  EXPECT_EQ(answer->code, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(committed(), 7);
}

// Kafka turns NOT_ENOUGH_REPLICAS into COORDINATOR_NOT_AVAILABLE, and writes nothing.
TEST_F(GroupHostTest, with_too_few_replicas_in_sync_nothing_is_begun) {
  min_isr_ = 2;
  lead(kSelf, 0);
  const auto answer = commit(7);
  shard().run();
  EXPECT_EQ(answer->code, ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(committed(), std::nullopt);
}

TEST_F(GroupHostTest, all_groups_are_listed_only_when_all_are_loaded) {
  lead(kSelf, 0);
  commit(1);
  shard().run();
  std::optional<ErrorCode> code;
  const auto list = [&] {
    code.reset();
    groups_->read_all([](const group::Coordinator&) {}, shard(), [&](ErrorCode c) { code = c; });
    shard().run();
  };
  list();
  EXPECT_EQ(code, ErrorCode::kNone);
  host_.delay_disks(seconds(1));
  lead(kSelf, 1);
  list();
  EXPECT_EQ(code, ErrorCode::kCoordinatorLoadInProgress);
  lead(kOther, 2);
  list();
  EXPECT_EQ(code, ErrorCode::kNone) << "what others coordinate they list";
}

group::Decision share_heartbeat(group::Coordinator& coordinator,
                                const group::RequestContext& asked) {
  static const Topics topics;
  group::RequestContext context = asked;
  context.topics = &topics;
  wire::ShareGroupHeartbeatRequest request;
  request.group_id = "g";
  request.member_id = "m";
  request.subscribed_topic_names = {"t"};
  return coordinator.decide_share_heartbeat(request, context);
}

TEST_F(GroupHostTest, what_a_share_group_wants_initialised_is_brought_to_its_coordinators) {
  testing::ShareStates states;
  groups_->use(states);
  lead(kSelf, 0);
  const auto answer = run(share_heartbeat);
  EXPECT_TRUE(states.states.empty());  // not before it is committed
  shard().run();
  EXPECT_EQ(answer->code, ErrorCode::kNone);
  const share::SharePartitionKey key{.group = "g", .topic = Uuid::of_words({1, 1})};
  ASSERT_TRUE(states.states.contains(key));
  EXPECT_EQ(states.states.at(key).state_epoch, 2);
  groups_->read("g", [](const group::Coordinator& coordinator) {
    EXPECT_EQ(coordinator.initialized_share_partitions("g").size(), 1u);
  });
}

TEST_F(GroupHostTest, without_a_way_to_share_coordinators_nothing_is_initialised) {
  lead(kSelf, 0);
  const auto answer = run(share_heartbeat);
  shard().run();
  EXPECT_EQ(answer->code, ErrorCode::kNone);
  groups_->read("g", [](const group::Coordinator& coordinator) {
    EXPECT_TRUE(coordinator.initialized_share_partitions("g").empty());
  });
}

}  // namespace
}  // namespace millrace::node
