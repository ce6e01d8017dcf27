// What Apache Kafka 4.3.1 answered to DescribeConfigs for the same settings.
#include "config/describe.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace millrace::config {
namespace {

NodeProperties node_with(const Values& changes) {
  Values values = NodeProperties::embedded_default();
  for (const auto& [name, value] : changes) values[name] = value;
  return *NodeProperties::of(values);
}

Described find(const std::vector<Described>& all, std::string_view name) {
  auto found = std::ranges::find(all, name, &Described::name);
  EXPECT_NE(found, all.end()) << name;
  return found == all.end() ? Described{} : *found;
}

using Chain = std::vector<Synonym>;

class DescribeTest : public testing::Test {
 protected:
  BrokerLayers layers() const { return {node, of_broker, of_cluster}; }

  NodeProperties node =
      node_with({{"log.retention.hours", "100"}, {"message.max.bytes", "2000000"}});
  Values of_broker, of_cluster;
};

TEST_F(DescribeTest, a_topics_config_shows_every_level_behind_it) {
  of_broker = {{"message.max.bytes", "3000000"}};
  of_cluster = {{"message.max.bytes", "2500000"}};
  const auto entry =
      find(describe_topic(layers(), {{"max.message.bytes", "7"}}), "max.message.bytes");
  EXPECT_EQ(entry.value, "7");
  EXPECT_EQ(entry.source, Source::kDynamicTopic);
  EXPECT_EQ(entry.synonyms, Chain({{"max.message.bytes", "7", Source::kDynamicTopic},
                                   {"message.max.bytes", "3000000", Source::kDynamicBroker},
                                   {"message.max.bytes", "2500000", Source::kDynamicDefaultBroker},
                                   {"message.max.bytes", "2000000", Source::kStaticBroker},
                                   {"message.max.bytes", "1048588", Source::kDefault}}));
}

// Apache Kafka drops what stands before the config's own name, and then calls the value a default.
TEST_F(DescribeTest, a_value_that_comes_by_another_name_shows_no_synonym) {
  const auto entry = find(describe_topic(layers(), {}), "retention.ms");
  EXPECT_EQ(entry.value, "360000000");
  EXPECT_EQ(entry.source, Source::kDefault);
  EXPECT_TRUE(entry.synonyms.empty());
  of_cluster = {{"log.retention.ms", "5"}};
  EXPECT_EQ(find(describe_topic(layers(), {}), "retention.ms").synonyms,
            Chain({{"log.retention.ms", "5", Source::kDynamicDefaultBroker},
                   {"log.retention.hours", "100", Source::kStaticBroker},
                   {"log.retention.hours", "168", Source::kDefault}}));
}

TEST_F(DescribeTest, a_topic_has_33_configs_and_internal_ones_where_they_are_set) {
  EXPECT_EQ(describe_topic(layers(), {}).size(), 33u);
  EXPECT_EQ(describe_topic(layers(), {{"internal.segment.bytes", "9"}}).size(), 34u);
}

TEST_F(DescribeTest, values_are_shown_as_kafka_prints_them) {
  const auto all = describe_topic(layers(), {{"retention.ms", " 77 "},
                                             {"preallocate", "TRUE"},
                                             {"cleanup.policy", "delete, compact,delete"}});
  EXPECT_EQ(find(all, "retention.ms").value, "77");
  EXPECT_EQ(find(all, "preallocate").value, "true");
  EXPECT_EQ(find(all, "cleanup.policy").value, "delete,compact");
}

TEST_F(DescribeTest, secrets_and_names_that_nobody_knows_have_no_value) {
  of_broker = {{"ssl.key.password", "secret"}, {"no.such", "secret"}};
  const auto all = describe_broker(layers());
  for (const char* name : {"ssl.key.password", "no.such"}) {
    const auto entry = find(all, name);
    EXPECT_TRUE(entry.sensitive) << name;
    EXPECT_EQ(entry.value, std::nullopt) << name;
    EXPECT_EQ(entry.synonyms.at(0).value, std::nullopt) << name;
  }
  EXPECT_TRUE(find(all, "no.such").read_only);
  EXPECT_TRUE(find(all, "node.id").read_only);
  EXPECT_FALSE(find(all, "message.max.bytes").read_only);
}

TEST_F(DescribeTest, the_cluster_shows_only_what_was_set_for_it) {
  EXPECT_TRUE(describe_cluster(layers()).empty());
  of_cluster = {{"log.retention.ms", "5"}};
  ASSERT_EQ(describe_cluster(layers()).size(), 1u);
  EXPECT_EQ(describe_cluster(layers())[0].source, Source::kDynamicDefaultBroker);
}

TEST_F(DescribeTest, a_groups_default_is_the_brokers) {
  const auto all = describe_group(layers(), {{"consumer.session.timeout.ms", "46000"}});
  EXPECT_EQ(find(all, "consumer.session.timeout.ms").synonyms,
            Chain({{"consumer.session.timeout.ms", "46000", Source::kDynamicGroup},
                   {"group.consumer.session.timeout.ms", "45000", Source::kDefault}}));
  EXPECT_EQ(find(all, "share.isolation.level").synonyms,
            Chain({{"share.isolation.level", "read_uncommitted", Source::kDefault}}));
}

TEST_F(DescribeTest, client_metrics_have_their_own_values_alone) {
  const auto all = describe_client_metrics({{"interval.ms", "100"}});
  EXPECT_EQ(find(all, "interval.ms").source, Source::kDynamicClientMetrics);
  EXPECT_TRUE(find(all, "match").synonyms.empty());
}

TEST(NodeProperties, what_changed_while_it_runs_goes_over_the_file_unless_it_is_wrong) {
  const auto node = node_with({{"message.max.bytes", "5"}});
  const auto changed = node.with_dynamic({{"message.max.bytes", "6"}, {"log.segment.bytes", "x"}},
                                         {{"message.max.bytes", "7"}});
  EXPECT_EQ(changed.number("message.max.bytes"), 7);
  EXPECT_EQ(changed.number("log.segment.bytes"), 1 << 30);
  EXPECT_EQ(node.number("message.max.bytes"), 5);
}

}  // namespace
}  // namespace millrace::config
