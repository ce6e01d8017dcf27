#include "node/share_group_settings.h"

#include <gtest/gtest.h>

#include "wire/metadata_record.h"

namespace millrace::node {
namespace {

TEST(ShareGroupSettings, the_groups_own_count_within_the_brokers_bounds) {
  auto values = config::NodeProperties::embedded_default();
  values["group.share.delivery.count.limit"] = "4";
  values["group.share.max.record.lock.duration.ms"] = "50000";
  const auto node = config::NodeProperties::of(std::move(values));
  ASSERT_TRUE(node.has_value());
  metadata::Image image;
  auto set = [&](const char* name, const char* value) {
    const wire::ConfigRecord record{
        .resource_type = static_cast<int8_t>(metadata::ConfigResourceType::kGroup),
        .resource_name = "g",
        .name = name,
        .value = value};
    ASSERT_TRUE(image.apply(record, Offset(1)).has_value());
  };
  const auto broker = share_group_settings(image, *node, "g");
  EXPECT_EQ(broker.partition.delivery_limit, 4);
  EXPECT_EQ(broker.partition.record_lock, seconds(30));
  EXPECT_EQ(broker.partition.max_record_locks, 2000);
  EXPECT_TRUE(broker.partition.may_renew);
  EXPECT_FALSE(broker.committed_only);
  set("share.delivery.count.limit", "7");
  set("share.record.lock.duration.ms", "60000");
  set("share.partition.max.record.locks", "100");
  set("share.renew.acknowledge.enable", " FALSE");
  set("share.isolation.level", "read_committed");
  set("share.auto.offset.reset", "earliest");
  const auto own = share_group_settings(image, *node, "g");
  EXPECT_EQ(own.partition.delivery_limit, 7);
  EXPECT_EQ(own.partition.record_lock, seconds(50));
  EXPECT_EQ(own.partition.max_record_locks, 100);
  EXPECT_FALSE(own.partition.may_renew);
  EXPECT_TRUE(own.committed_only);
  EXPECT_EQ(own.reset.to, config::OffsetReset::To::kEarliest);
  EXPECT_EQ(share_group_settings(image, *node, "h").partition.delivery_limit, 4);
}

}  // namespace
}  // namespace millrace::node
