#include "config/properties.h"

#include <gtest/gtest.h>

namespace millrace::config {
namespace {

TEST(Properties, reads_javas_format) {
  const Values values = parse_properties(
      "# comment\n! another\na=1\nb : two words \n  c   three\nd=one,\\\n    "
      "two\ne\\=f=g\nh=\\u0041\\t\na=2\nempty=\n");
  const Values expected = {{"a", "2"},   {"b", "two words"}, {"c", "three"}, {"d", "one,two"},
                           {"e=f", "g"}, {"h", "A\t"},       {"empty", ""}};
  EXPECT_EQ(values, expected);
}

TEST(Definition, knows_kafkas_configs_with_type_and_default) {
  const Definition* retention = find_definition(Scope::kTopic, "retention.ms");
  ASSERT_NE(retention, nullptr);
  EXPECT_EQ(retention->type, Type::kLong);
  EXPECT_STREQ(retention->default_value, "604800000");
  EXPECT_EQ(find_definition(Scope::kTopic, "no.such"), nullptr);
  EXPECT_GT(all_definitions().size(), 400u);
}

TEST(Definition, every_default_is_a_value_it_allows) {
  for (const Definition& definition : all_definitions())
    if (definition.default_value && *definition.default_value)
      EXPECT_FALSE(value_problem(definition, definition.default_value).has_value())
          << *value_problem(definition, definition.default_value);
}

TEST(Definition, says_what_is_wrong_and_what_is_allowed) {
  EXPECT_EQ(problem_of(Scope::kTopic, {{"retention.ms", "soon"}}),
            "Invalid value soon for configuration retention.ms: Not a number of type LONG");
  EXPECT_EQ(problem_of(Scope::kTopic, {{"min.insync.replicas", "0"}}),
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1");
  EXPECT_EQ(problem_of(Scope::kTopic, {{"cleanup.policy", "compact,shred"}}),
            "Invalid value shred for configuration cleanup.policy: String must be one of: compact, "
            "delete");
  EXPECT_EQ(
      problem_of(Scope::kTopic, {{"preallocate", "yes"}}),
      "Invalid value yes for configuration preallocate: Expected value to be either true or false");
  EXPECT_EQ(problem_of(Scope::kTopic, {{"x", "1"}}), "Unknown topic config name: x");
  EXPECT_EQ(problem_of(Scope::kTopic, {{"cleanup.policy", "compact,delete"}}), std::nullopt);
}

TEST(NodeProperties, the_embedded_default_is_valid_and_listens_on_loopback) {
  auto node = NodeProperties::of(NodeProperties::embedded_default());
  ASSERT_TRUE(node.has_value()) << node.error().message;
  auto listeners = *parse_listeners("listeners", node->text("listeners"));
  ASSERT_EQ(listeners.size(), 2u);
  EXPECT_EQ(listeners[0].host, "localhost");
  EXPECT_EQ(listeners[0].port, 9092);
  EXPECT_TRUE(node->unknown().empty());
}

TEST(NodeProperties, a_wrong_value_and_a_missing_node_id_stop_the_start) {
  Values values = NodeProperties::embedded_default();
  values["num.partitions"] = "0";
  EXPECT_EQ(NodeProperties::of(values).error().message,
            "Invalid value 0 for configuration num.partitions: Value must be at least 1");
  values.erase("num.partitions");
  values.erase("node.id");
  EXPECT_NE(NodeProperties::of(values).error().message.find("node.id"), std::string::npos);
}

TEST(NodeProperties, a_controller_is_one_of_the_voters_and_a_broker_is_not) {
  Values values = NodeProperties::embedded_default();
  values["controller.quorum.voters"] = "1@a:1,2@b:1,3@c:1";
  EXPECT_TRUE(NodeProperties::of(values).has_value());
  values["node.id"] = "4";
  EXPECT_NE(NodeProperties::of(values).error().message.find("must be included"), std::string::npos);
  values["process.roles"] = "broker";
  values["listeners"] = "PLAINTEXT://localhost:9092";
  EXPECT_TRUE(NodeProperties::of(values).has_value());
  values["node.id"] = "3";
  EXPECT_NE(NodeProperties::of(values).error().message.find("must not be included"),
            std::string::npos);
}

TEST(ParseListeners, refuses_what_has_no_port_and_takes_ipv6) {
  EXPECT_FALSE(parse_listeners("listeners", "PLAINTEXT://localhost").has_value());
  EXPECT_EQ((*parse_listeners("listeners", "A://[::1]:9"))[0].host, "::1");
}

TEST(TopicConfig, takes_the_topics_value_then_the_brokers_then_kafkas) {
  Values values = NodeProperties::embedded_default();
  values["log.retention.hours"] = "2";
  const auto node = *NodeProperties::of(values);
  const Values overrides = {{"segment.bytes", "2097152"}};
  const TopicConfig topic(node, overrides);
  EXPECT_EQ(topic.number("segment.bytes"), 2097152);
  EXPECT_EQ(topic.number("retention.ms"), 7'200'000);
  EXPECT_EQ(topic.number("max.message.bytes"), 1048588);
}

}  // namespace
}  // namespace millrace::config
