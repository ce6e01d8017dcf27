// Each of these stopped Apache Kafka 4.3.1, or says what Millrace does not do yet.
#include "config/node_rules.h"

#include <gtest/gtest.h>

namespace millrace::config {
namespace {

// The embedded default with some lines changed; an empty value takes the line out.
std::string problem_with(const Values& changes) {
  Values values = NodeProperties::embedded_default();
  for (const auto& [name, value] : changes)
    if (value.empty())
      values.erase(name);
    else
      values[name] = value;
  auto node = NodeProperties::of(values);
  return node ? "" : node.error().message;
}

testing::AssertionResult says(const Values& changes, std::string_view words) {
  const std::string problem = problem_with(changes);
  if (problem.find(words) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "said: '" << problem << "', not: '" << words << "'";
}

TEST(NodeRules, required_configs_are_named) {
  for (const char* name : {"node.id", "process.roles", "controller.listener.names"})
    EXPECT_TRUE(says({{name, ""}}, std::string("Missing required configuration \"") + name + "\""));
  EXPECT_TRUE(says({{"controller.quorum.bootstrap.servers", ""}},
                   "either controller.quorum.bootstrap.servers must contain"));
}

TEST(NodeRules, broker_id_is_node_id_by_its_old_name) {
  EXPECT_TRUE(
      says({{"broker.id", "7"}}, "You must set `node.id` to the same value as `broker.id`"));
  EXPECT_EQ(problem_with({{"node.id", ""}, {"broker.id", "7"}}), "");
}

TEST(NodeRules, roles_are_words_that_are_known) {
  EXPECT_TRUE(says({{"process.roles", "broker,foo"}},
                   "Invalid value foo for configuration process.roles: String must be one of: "
                   "broker, controller"));
}

TEST(NodeRules, a_broker_alone_has_no_listener_of_controllers_and_is_no_voter) {
  Values broker = {{"process.roles", "broker"},
                   {"listeners", "PLAINTEXT://:9092"},
                   {"advertised.listeners", ""},
                   {"controller.quorum.bootstrap.servers", "a:9093,b:9093"}};
  EXPECT_EQ(problem_with(broker), "");
  broker["controller.quorum.voters"] = "2@a:9093,3@b:9093";
  EXPECT_EQ(problem_with(broker), "");
  broker["controller.quorum.voters"] = "2@a:9093,1@b:9093";
  EXPECT_TRUE(says(broker, "the node id 1 must not be included in the set of voters"));
  broker["controller.quorum.voters"] = "";
  broker["listeners"] = "PLAINTEXT://:9092,CONTROLLER://:9093";
  EXPECT_TRUE(says(broker, "must not contain a value appearing in the 'listeners'"));
  broker["listeners"] = "CONTROLLER://:9093";
  EXPECT_TRUE(says(broker, "must not contain a value appearing in the 'listeners'"));
}

TEST(NodeRules, a_controller_alone_has_listeners_of_controllers_only) {
  Values controller = {{"process.roles", "controller"},
                       {"listeners", "CONTROLLER://:9093"},
                       {"inter.broker.listener.name", "PLAINTEXT"}};
  EXPECT_EQ(problem_with(controller), "") << "what is only a broker's matters to none";
  controller["listeners"] = "PLAINTEXT://:9092,CONTROLLER://:9093";
  EXPECT_TRUE(says(controller, "must only contain KRaft controller listeners"));
}

TEST(NodeRules, listeners_have_names_and_ports_of_their_own) {
  EXPECT_TRUE(
      says({{"listeners", "garbage"}}, "Invalid value garbage for configuration listeners"));
  EXPECT_TRUE(says({{"listeners", "PLAINTEXT://:1,PLAINTEXT://:2,CONTROLLER://:3"}},
                   "Each listener must have a different name"));
  EXPECT_TRUE(says({{"listeners", "PLAINTEXT://:9,CONTROLLER://:9"}},
                   "Each listener must have a different port"));
  EXPECT_EQ(problem_with({{"listeners", "PLAINTEXT://:0,CONTROLLER://:0"}}), "");
}

TEST(NodeRules, there_is_a_listener_for_the_controller_and_one_for_clients) {
  EXPECT_TRUE(says({{"controller.listener.names", "OTHER"}},
                   "controller.listener.names must contain at least one value appearing in the "
                   "'listeners' configuration"));
  EXPECT_TRUE(says({{"listeners", "CONTROLLER://:9093"}, {"advertised.listeners", ""}},
                   "There must be at least one broker advertised listener"));
}

TEST(NodeRules, what_is_advertised_can_be_reached_and_is_listened_on) {
  EXPECT_TRUE(says({{"advertised.listeners", "PLAINTEXT://0.0.0.0:9092"}},
                   "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0"));
  EXPECT_TRUE(says({{"advertised.listeners", "FOO://x:9092"}},
                   "Found FOO. The valid options based on the current configuration are "
                   "PLAINTEXT,CONTROLLER"));
}

TEST(NodeRules, every_listener_has_a_protocol_that_is_served) {
  constexpr const char* kMap = "listener.security.protocol.map";
  EXPECT_TRUE(says({{kMap, "PLAINTEXT:PLAINTEXT"}},
                   "No security protocol defined for listener CONTROLLER"));
  EXPECT_TRUE(
      says({{kMap, "PLAINTEXT:FOO,CONTROLLER:PLAINTEXT"}}, "Invalid security protocol `FOO`"));
  EXPECT_TRUE(says({{kMap, "PLAINTEXT:SSL,CONTROLLER:PLAINTEXT"}},
                   "listener PLAINTEXT has the security protocol SSL"));
  EXPECT_TRUE(says({{kMap, "PLAINTEXT"}}, "an entry looks like NAME:PROTOCOL"));
  EXPECT_EQ(problem_with({{kMap, ""}}), "") << "the default map, and the controller's by itself";
}

TEST(NodeRules, the_listener_between_brokers_is_one_of_theirs) {
  EXPECT_TRUE(says({{"inter.broker.listener.name", "FOO"}},
                   "Found FOO. The valid options based on currently configured listeners are "
                   "PLAINTEXT"));
  EXPECT_TRUE(says({{"inter.broker.listener.name", "PLAINTEXT"},
                    {"security.inter.broker.protocol", "PLAINTEXT"}},
                   "Only one of inter.broker.listener.name"));
  EXPECT_EQ(problem_with({{"inter.broker.listener.name", "PLAINTEXT"}}), "");
}

TEST(NodeRules, voters_are_named_and_a_controller_is_one_of_them) {
  EXPECT_TRUE(says({{"controller.quorum.voters", "2@localhost:9093"}},
                   "the node id 1 must be included in the set of voters "
                   "controller.quorum.voters=2@localhost:9093"));
  EXPECT_EQ(problem_with({{"controller.quorum.voters", "2@a:9093,1@b:9093,3@c:9093"}}), "");
  for (const char* garbage : {"garbage", "1@localhost", "@localhost:9", "1@a:9093,garbage"})
    EXPECT_TRUE(says({{"controller.quorum.voters", garbage}}, "`{id}@{host}:{port}`"));
}

TEST(NodeRules, controllers_to_begin_with_are_addresses) {
  EXPECT_EQ(problem_with({{"controller.quorum.bootstrap.servers", "a:1,b:2,c:3"}}), "");
  EXPECT_TRUE(
      says({{"controller.quorum.bootstrap.servers", "a:1,b"}}, "Failed to parse host name from b"));
}

TEST(NodeRules, a_retention_of_nothing_is_refused) {
  for (const char* name : {"log.retention.ms", "log.retention.minutes"})
    EXPECT_TRUE(says({{name, "0"}}, "log.retention.ms must be unlimited (-1) or, greater than"));
  EXPECT_EQ(problem_with({{"log.retention.ms", "-1"}}), "");
}

TEST(NodeRules, limits_fit_together) {
  EXPECT_TRUE(says({{"max.connections.per.ip", "0"}}, "can be set to zero only if"));
  EXPECT_TRUE(says({{"max.connections.per.ip.overrides", "a:b"}}, "host:count"));
  EXPECT_EQ(problem_with({{"max.connections.per.ip", "0"},
                          {"max.connections.per.ip.overrides", "127.0.0.1:5"}}),
            "");
  EXPECT_TRUE(says({{"queued.max.request.bytes", "5"}}, "larger or equal to"));
  EXPECT_TRUE(says({{"group.consumer.assignors", "range,org.example.Mine"}},
                   "group.consumer.assignors has org.example.Mine"));
  EXPECT_TRUE(says({{"group.share.assignors", "simple,simple2"}},
                   "group.share.assignors must contain exactly one assignor, but found 2"));
  EXPECT_TRUE(says({{"group.share.assignors", "uniform"}}, "group.share.assignors has uniform"));
  EXPECT_TRUE(says({{"group.share.session.timeout.ms", "44000"}},
                   "group.share.session.timeout.ms must be greater than or equal to "
                   "group.share.min.session.timeout.ms"));
  EXPECT_TRUE(says({{"replica.fetch.wait.max.ms", "40000"}},
                   "replica.socket.timeout.ms must be greater than or equal to "
                   "replica.fetch.wait.max.ms: they are 30000 and 40000"));
  for (const std::string kind : {"consumer", "share", "streams"}) {
    const std::string group = "group." + kind;
    EXPECT_TRUE(says({{group + ".heartbeat.interval.ms", "15000"},
                      {group + ".session.timeout.ms", "15000"},
                      {group + ".min.session.timeout.ms", "10000"}},
                     group + ".heartbeat.interval.ms must be less than " + group +
                         ".session.timeout.ms: they are 15000 and 15000"));
  }
  EXPECT_TRUE(says({{"group.consumer.min.session.timeout.ms", "70000"}},
                   "group.consumer.max.session.timeout.ms must be greater than or equal to "
                   "group.consumer.min.session.timeout.ms"));
}

TEST(Environment, variables_of_images_are_configs) {
  const Values values =
      parse_environment({"KAFKA_LOG_DIRS=/data", "KAFKA_NODE_ID=3", "KAFKA_A__B=1", "KAFKA_A___B=2",
                         "KAFKA_A____B=3", "KAFKA_HEAP_OPTS=-Xmx1g", "KAFKA_OPTS=", "PATH=/bin",
                         "KAFKA_LISTENERS=A://h:1,B://h:2=x", "KAFKA_BROKEN"});
  const Values expected = {{"log.dirs", "/data"}, {"node.id", "3"},
                           {"a_b", "1"},          {"a-b", "2"},
                           {"a-.b", "3"},         {"listeners", "A://h:1,B://h:2=x"}};
  EXPECT_EQ(values, expected);
}

}  // namespace
}  // namespace millrace::config
