#include "metadata/image.h"

#include <gtest/gtest.h>

#include "metadata/record_version.h"

namespace millrace::metadata {
namespace {

const Uuid kTopic = Uuid::of_words({1, 1});

Image image_of(const std::vector<wire::MetadataRecord>& records) {
  Image image;
  Offset offset(0);
  for (const auto& record : records) {
    const auto applied = image.apply(record, offset);
    EXPECT_TRUE(applied.has_value()) << applied.error().message;
    ++offset;
  }
  return image;
}

wire::PartitionRecord partition(std::vector<int32_t> isr, int32_t leader) {
  return {.partition_id = 0,
          .topic_id = kTopic,
          .replicas = {1, 2},
          .isr = std::move(isr),
          .leader = leader,
          .leader_epoch = 0,
          .partition_epoch = 0};
}

TEST(ImageTransaction, takes_back_what_was_aborted) {
  Image image = image_of({wire::TopicRecord{.name = "before", .topic_id = kTopic}});
  const Image before = image;
  ASSERT_TRUE(image.apply(wire::BeginTransactionRecord{}, Offset(1)).has_value());
  EXPECT_TRUE(image.in_transaction());
  ASSERT_TRUE(image.apply(partition({1}, 1), Offset(2)).has_value());
  ASSERT_TRUE(image.apply(wire::FeatureLevelRecord{.name = "x", .feature_level = 1}, Offset(3))
                  .has_value());
  ASSERT_TRUE(image.apply(wire::AbortTransactionRecord{}, Offset(4)).has_value());
  EXPECT_FALSE(image.in_transaction());
  EXPECT_TRUE(image.same_state(before));
  EXPECT_EQ(image.last_offset(), Offset(4));
}

TEST(ImageTransaction, keeps_what_was_ended) {
  const Image image = image_of({wire::BeginTransactionRecord{.name = "Bootstrap records"},
                                wire::FeatureLevelRecord{.name = "x", .feature_level = 1},
                                wire::EndTransactionRecord{}});
  EXPECT_FALSE(image.in_transaction());
  EXPECT_TRUE(image.features().contains("x"));
}

TEST(ImageTransaction, ends_only_what_was_begun) {
  Image image;
  EXPECT_FALSE(image.apply(wire::EndTransactionRecord{}, Offset(0)).has_value());
  EXPECT_FALSE(image.apply(wire::AbortTransactionRecord{}, Offset(0)).has_value());
  ASSERT_TRUE(image.apply(wire::BeginTransactionRecord{}, Offset(0)).has_value());
  EXPECT_FALSE(image.apply(wire::BeginTransactionRecord{}, Offset(1)).has_value());
}

TEST(Image, a_partition_that_breaks_md2_is_an_error_and_no_assert) {
  Image image = image_of({wire::TopicRecord{.name = "t", .topic_id = kTopic}});
  auto refused = image.apply(partition({2}, 1), Offset(1));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "partition t-0: the leader 1 is not in the ISR");
  image = image_of({wire::TopicRecord{.name = "t", .topic_id = kTopic}, partition({1}, 1)});
  wire::PartitionChangeRecord change{.partition_id = 0, .topic_id = kTopic};
  change.isr = std::vector<int32_t>{1, 7};
  refused = image.apply(change, Offset(2));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kCorrupt);
}

TEST(Image, eligible_replicas_that_are_cleared_are_a_change_of_the_partition) {
  wire::PartitionRecord eligible = partition({1}, 1);
  eligible.eligible_leader_replicas = std::vector<int32_t>{2};
  for (const std::string named : {"t", ""}) {
    Image image = image_of({wire::TopicRecord{.name = "t", .topic_id = kTopic}, eligible});
    const auto& state = image.find_topic("t")->partitions[0];
    ASSERT_TRUE(image.apply(wire::ClearElrRecord{.topic_name = "u"}, Offset(2)).has_value());
    EXPECT_EQ(state.partition_epoch, PartitionEpoch(0));
    for (int again = 0; again < 2; ++again)
      ASSERT_TRUE(image.apply(wire::ClearElrRecord{.topic_name = named}, Offset(3)).has_value());
    EXPECT_TRUE(state.elr.empty());
    EXPECT_EQ(state.partition_epoch, PartitionEpoch(1));
  }
}

TEST(Image, the_index_follows_and_is_left_behind_by_copies) {
  Image image = image_of({wire::TopicRecord{.name = "t", .topic_id = kTopic}, partition({1}, 1)});
  const PartitionKey key{kTopic, 0};
  EXPECT_EQ(image.index().of_broker(NodeId(2)), PartitionKeys{key});
  EXPECT_EQ(image.index().leaderships(NodeId(1)), 1u);
  wire::PartitionChangeRecord change{.partition_id = 0, .topic_id = kTopic};
  change.leader = -1;
  change.replicas = std::vector<int32_t>{1, 3};
  change.adding_replicas = std::vector<int32_t>{3};
  ASSERT_TRUE(image.apply(change, Offset(2)).has_value());
  EXPECT_TRUE(image.index().of_broker(NodeId(2)).empty());
  EXPECT_EQ(image.index().of_broker(NodeId(3)), PartitionKeys{key});
  EXPECT_EQ(image.index().leaderships(NodeId(1)), 0u);
  EXPECT_EQ(image.index().without_leader(), PartitionKeys{key});
  EXPECT_EQ(image.index().without_preferred_leader(), PartitionKeys{key});
  EXPECT_EQ(image.index().reassigning(), PartitionKeys{key});
  Image copy = image;
  ASSERT_TRUE(image.apply(wire::RemoveTopicRecord{.topic_id = kTopic}, Offset(3)).has_value());
  EXPECT_EQ(image.index(), PartitionIndex());
  EXPECT_EQ(copy.index().reassigning(), PartitionKeys{key});
  copy = image;
  EXPECT_EQ(copy.index(), PartitionIndex());
}

TEST(Image, a_feature_at_level_0_is_gone) {
  const Image image = image_of({wire::FeatureLevelRecord{.name = "x", .feature_level = 1},
                                wire::FeatureLevelRecord{.name = "x", .feature_level = 0}});
  EXPECT_TRUE(image.features().empty());
}

TEST(RecordVersion, follows_the_finalised_metadata_version) {
  wire::PartitionRecord record = partition({1}, 1);
  record.directories = {kTopic, kTopic};
  record.eligible_leader_replicas = std::vector<int32_t>{2};
  for (auto [level, version] :
       {std::pair<int16_t, int16_t>{7, 0}, {16, 0}, {17, 1}, {22, 1}, {23, 2}, {30, 2}}) {
    EXPECT_EQ(record_version(record, level), version) << level;
    const auto decoded = wire::decode_metadata_record(encode_at(record, level));
    ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
    const auto& got = std::get<wire::PartitionRecord>(*decoded);
    EXPECT_EQ(got.directories.empty(), version < 1);
    EXPECT_EQ(got.eligible_leader_replicas.has_value(), version == 2);
  }
  for (auto [level, version] :
       {std::pair<int16_t, int16_t>{7, 1}, {8, 2}, {17, 3}, {29, 3}, {30, 4}})
    EXPECT_EQ(record_version(wire::RegisterBrokerRecord{}, level), version) << level;
}

// As Apache Kafka 4.3.1 wrote them at level 30.
TEST(RecordVersion, a_registration_change_is_as_low_as_what_it_says) {
  wire::BrokerRegistrationChangeRecord change{.fenced = 1};
  EXPECT_EQ(record_version(change, 30), 0);
  change.in_controlled_shutdown = 1;
  EXPECT_EQ(record_version(change, 30), 1);
  change.cordoned_log_dirs = std::vector<Uuid>{};
  EXPECT_EQ(record_version(change, 30), 3);
  EXPECT_EQ(record_version(change, 29), 1);
}

}  // namespace
}  // namespace millrace::metadata
