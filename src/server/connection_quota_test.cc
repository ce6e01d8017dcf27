#include "server/connection_quota.h"

#include <gtest/gtest.h>

namespace millrace::server {
namespace {

TEST(ConnectionQuota, counts_all_connections_and_gives_their_places_back) {
  ConnectionQuota quota;
  const ConnectionQuotaLimits limits{.all = 2};
  EXPECT_FALSE(quota.take("a", limits));
  EXPECT_FALSE(quota.take("b", limits));
  EXPECT_EQ(quota.take("c", limits), "max.connections=2 is reached");
  quota.give_back("a");
  EXPECT_FALSE(quota.take("c", limits));
  EXPECT_EQ(quota.count(), 2u);
}

TEST(ConnectionQuota, counts_the_connections_of_each_address) {
  ConnectionQuota quota;
  const ConnectionQuotaLimits limits{.per_address = 1, .overrides = {{"b", 2}, {"c", 0}}};
  EXPECT_FALSE(quota.take("a", limits));
  EXPECT_EQ(quota.take("a", limits), "max.connections.per.ip=1 is reached for a");
  EXPECT_FALSE(quota.take("b", limits));
  EXPECT_FALSE(quota.take("b", limits));
  EXPECT_EQ(quota.take("b", limits), "max.connections.per.ip.overrides=2 is reached for b");
  EXPECT_TRUE(quota.take("c", limits)) << "an override of zero shuts an address out";
}

TEST(ConnectionQuota, limits_come_from_the_configs_as_they_are_now) {
  auto node = *config::NodeProperties::of(config::NodeProperties::embedded_default());
  EXPECT_EQ(ConnectionQuotaLimits::of(node).all, 2147483647u);
  const auto changed = node.with_dynamic(
      {{"max.connections", "7"}, {"max.connections.per.ip.overrides", "::1:3,10.0.0.1:4"}}, {});
  const auto limits = ConnectionQuotaLimits::of(changed);
  EXPECT_EQ(limits.all, 7u);
  EXPECT_EQ(limits.overrides, (std::map<std::string, size_t>{{"::1", 3}, {"10.0.0.1", 4}}));
}

}  // namespace
}  // namespace millrace::server
