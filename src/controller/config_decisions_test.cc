// IncrementalAlterConfigs (KIP-339), AlterConfigs (KIP-133) and UpdateFeatures (KIP-584): the codes
// and words are those that Apache Kafka 4.3.1 answered with.
#include <gtest/gtest.h>
#include <algorithm>

#include "controller/controller.h"
#include "controller/testing/cluster.h"

namespace millrace::controller {
namespace {

using metadata::ConfigResource;
using metadata::ConfigResourceType;
using wire::ErrorCode;

enum Operation : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };
constexpr int8_t kTopic = 2, kBroker = 4, kMetrics = 16, kGroup = 32;

struct Change {
  std::string name;
  int8_t operation = kSet;
  std::optional<std::string> value;
};
using Answer = std::pair<ErrorCode, std::string>;
const Answer kFine{ErrorCode::kNone, ""};

class ConfigDecisionsTest : public testing::ClusterTest {
 protected:
  ConfigDecisionsTest() {
    wire::CreateTopicsRequest request;
    request.topics = {{.name = "t", .num_partitions = 1, .replication_factor = 1}};
    commit(controller_.decide_create_topics(request).records);
  }

  template <class Result>
  static Answer answer_of(const Result& result) {
    return {static_cast<ErrorCode>(result.error_code), result.error_message.value_or("")};
  }

  Answer alter(int8_t type, const std::string& name, const std::vector<Change>& changes) {
    wire::IncrementalAlterConfigsRequest request;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = type;
    resource.resource_name = name;
    for (const auto& each : changes)
      resource.configs.push_back(
          {.name = each.name, .config_operation = each.operation, .value = each.value});
    auto decided = controller_.decide_incremental_alter_configs(request);
    last_records_ = decided.records.size();
    commit(decided.records);
    return answer_of(decided.response.responses.at(0));
  }
  Answer replace(int8_t type, const std::string& name,
                 const std::vector<std::pair<std::string, std::optional<std::string>>>& configs) {
    wire::AlterConfigsRequest request;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = type;
    resource.resource_name = name;
    for (const auto& [key, value] : configs)
      resource.configs.push_back({.name = key, .value = value});
    auto decided = controller_.decide_alter_configs(request);
    commit(decided.records);
    return answer_of(decided.response.responses.at(0));
  }
  const metadata::ConfigMap& configs(ConfigResourceType type, const std::string& name) const {
    return controller_.image().configs({type, name});
  }
  std::string topic_config(const std::string& key) const {
    const auto& all = configs(ConfigResourceType::kTopic, "t");
    auto found = all.find(key);
    return found == all.end() ? "(none)" : found->second;
  }

  struct Update {
    std::string feature;
    int16_t level = 0;
    int8_t type = 1;
  };
  Answer update(const std::vector<Update>& updates, int16_t version = 2, bool validate = false) {
    wire::UpdateFeaturesRequest request{.validate_only = validate};
    for (const auto& each : updates)
      request.feature_updates.push_back(
          {.feature = each.feature, .max_version_level = each.level, .upgrade_type = each.type});
    auto decided = controller_.decide_update_features(request, version);
    commit(decided.records);
    return answer_of(decided.response);
  }

  size_t last_records_ = 0;
};

TEST_F(ConfigDecisionsTest, a_value_is_set_and_deleted) {
  EXPECT_EQ(alter(kTopic, "t", {{"retention.ms", kSet, "5"}}), kFine);
  EXPECT_EQ(topic_config("retention.ms"), "5");
  EXPECT_EQ(alter(kTopic, "t", {{"retention.ms", kSet, "5"}}), kFine);
  EXPECT_EQ(last_records_, 0u) << "nothing changed";
  EXPECT_EQ(alter(kTopic, "t", {{"retention.ms", kDelete, std::nullopt}}), kFine);
  EXPECT_EQ(topic_config("retention.ms"), "(none)");
  EXPECT_EQ(alter(kTopic, "t", {{"no.such", kDelete, std::nullopt}}), kFine);
}

TEST_F(ConfigDecisionsTest, lists_are_appended_to_and_subtracted_from_their_default) {
  EXPECT_EQ(alter(kTopic, "t", {{"cleanup.policy", kAppend, "compact,compact"}}), kFine);
  EXPECT_EQ(topic_config("cleanup.policy"), "delete,compact");
  EXPECT_EQ(alter(kTopic, "t", {{"cleanup.policy", kSubtract, "delete"}}), kFine);
  EXPECT_EQ(topic_config("cleanup.policy"), "compact");
}

TEST_F(ConfigDecisionsTest, only_lists_are_appended_to) {
  for (const char* name : {"retention.ms", "no.such"})
    EXPECT_EQ(alter(kTopic, "t", {{name, kAppend, "5"}}),
              Answer(ErrorCode::kInvalidConfig,
                     fmt::format("Can't APPEND to key {} because its type is not LIST.", name)));
  EXPECT_EQ(alter(kMetrics, "m", {{"metrics", kSubtract, "x"}}),
            Answer(ErrorCode::kInvalidConfig,
                   "Can't SUBTRACT to key metrics because its type is not LIST."));
}

TEST_F(ConfigDecisionsTest, duplicate_keys_null_values_and_unknown_operations_are_refused) {
  EXPECT_EQ(alter(kTopic, "t", {{"retention.ms", kSet, "1"}, {"retention.ms", kSet, "2"}}),
            Answer(ErrorCode::kInvalidRequest, "Error due to duplicate config keys"));
  EXPECT_EQ(alter(kTopic, "t", {{"retention.ms", kSet, std::nullopt}}),
            Answer(ErrorCode::kInvalidRequest, "Null value not supported for : retention.ms"));
  EXPECT_EQ(alter(kTopic, "t", {{"retention.ms", 9, "1"}}).first, ErrorCode::kInvalidRequest);
}

TEST_F(ConfigDecisionsTest, resources_that_cannot_be_are_refused) {
  EXPECT_EQ(alter(kTopic, "u", {}),
            Answer(ErrorCode::kUnknownTopicOrPartition, "The topic 'u' does not exist."));
  EXPECT_EQ(alter(kTopic, "", {}),
            Answer(ErrorCode::kInvalidRequest, "Default topic resources are not allowed."));
  EXPECT_EQ(alter(kGroup, "", {}),
            Answer(ErrorCode::kInvalidRequest, "Default group resources are not allowed."));
  EXPECT_EQ(alter(kMetrics, "", {}),
            Answer(ErrorCode::kInvalidRequest, "Subscription name can't be empty"));
  EXPECT_EQ(alter(kBroker, "x", {}),
            Answer(ErrorCode::kInvalidRequest, "Node id must be an integer, but it is: x"));
  EXPECT_EQ(alter(1, "t", {}), Answer(ErrorCode::kInvalidRequest, "Unknown resource type 1"));
}

TEST_F(ConfigDecisionsTest, one_resource_twice_is_refused_and_others_are_not_touched_by_it) {
  wire::IncrementalAlterConfigsRequest request;
  for (const char* name : {"t", "t"})
    request.resources.push_back({.resource_type = kTopic, .resource_name = name});
  request.resources.push_back(
      {.resource_type = kGroup,
       .resource_name = "g",
       .configs = {{.name = "consumer.session.timeout.ms", .value = "46000"}}});
  auto decided = controller_.decide_incremental_alter_configs(request);
  for (size_t i : {0, 1})
    EXPECT_EQ(answer_of(decided.response.responses[i]),
              Answer(ErrorCode::kInvalidRequest, "Each resource must appear at most once."));
  EXPECT_EQ(answer_of(decided.response.responses[2]), kFine);
  EXPECT_EQ(decided.records.size(), 1u);
}

TEST_F(ConfigDecisionsTest, a_topics_configs_are_checked_together) {
  EXPECT_EQ(alter(kTopic, "t",
                  {{"min.compaction.lag.ms", kSet, "10"}, {"max.compaction.lag.ms", kSet, "5"}}),
            Answer(ErrorCode::kInvalidConfig,
                   "conflict topic config setting min.compaction.lag.ms (10) > "
                   "max.compaction.lag.ms (5)"));
  EXPECT_EQ(alter(kTopic, "t", {{"remote.storage.enable", kSet, "true"}}),
            Answer(ErrorCode::kInvalidConfig,
                   "Tiered Storage functionality is disabled in the broker. Topic cannot be "
                   "configured with remote log storage."));
  EXPECT_EQ(alter(kTopic, "t", {{"leader.replication.throttled.replicas", kSet, "0:1,x"}}).first,
            ErrorCode::kInvalidConfig);
  EXPECT_EQ(alter(kTopic, "t", {{"leader.replication.throttled.replicas", kSet, "0:1,1:2"}}),
            kFine);
  EXPECT_TRUE(topic_config("min.compaction.lag.ms") == "(none)") << "one resource is atomic";
}

TEST_F(ConfigDecisionsTest, broker_configs_that_cannot_change_while_it_runs_are_refused) {
  EXPECT_EQ(alter(kBroker, "1", {{"num.partitions", kSet, "3"}}),
            Answer(ErrorCode::kInvalidRequest,
                   "Cannot update these configs dynamically: [num.partitions]"));
  EXPECT_EQ(alter(kBroker, "1", {{"ssl.keystore.password", kSet, "x"}}).first,
            ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(kBroker, "", {{"message.max.bytes", kSet, "x"}}),
            Answer(ErrorCode::kInvalidRequest,
                   "Invalid value x for configuration message.max.bytes: Not a number of type "
                   "INT"));
  EXPECT_EQ(alter(kBroker, "1", {{"max.connections.per.ip.overrides", kSet, "garbage"}}).first,
            ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(kBroker, "1", {{"message.max.bytes", kSet, "5"}}), kFine);
  EXPECT_EQ(alter(kBroker, "", {{"unknown.name", kSet, "5"}}), kFine) << "kept, as Kafka keeps it";
}

// KIP-966: with eligible leader replicas every broker must mean the same by min.insync.replicas.
TEST_F(ConfigDecisionsTest, with_elr_min_insync_replicas_is_the_clusters) {
  EXPECT_EQ(alter(kBroker, "1", {{"min.insync.replicas", kSet, "2"}}),
            Answer(ErrorCode::kInvalidConfig,
                   "Broker-level min.insync.replicas cannot be altered while ELR is enabled."));
  EXPECT_EQ(alter(kBroker, "", {{"min.insync.replicas", kSet, "2"}}), kFine);
  EXPECT_EQ(alter(kBroker, "", {{"min.insync.replicas", kDelete, std::nullopt}}),
            Answer(ErrorCode::kInvalidConfig,
                   "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."));
}

TEST_F(ConfigDecisionsTest, group_configs_stay_within_the_brokers_bounds) {
  EXPECT_EQ(alter(kGroup, "g", {{"consumer.session.timeout.ms", kSet, "46000"}}), kFine);
  EXPECT_EQ(alter(kGroup, "g", {{"consumer.session.timeout.ms", kSet, "100"}}),
            Answer(ErrorCode::kInvalidConfig,
                   "consumer.session.timeout.ms must be greater than or equal to "
                   "group.consumer.min.session.timeout.ms"));
  EXPECT_EQ(alter(kGroup, "g", {{"streams.num.standby.replicas", kSet, "3"}}),
            Answer(ErrorCode::kInvalidConfig,
                   "streams.num.standby.replicas must be less than or equal to "
                   "group.streams.max.standby.replicas"));
  EXPECT_EQ(alter(kGroup, "g", {{"share.auto.offset.reset", kSet, "by_duration:PT1H"}}), kFine);
  EXPECT_EQ(alter(kGroup, "g", {{"share.auto.offset.reset", kSet, "by_duration:x"}}).first,
            ErrorCode::kInvalidConfig);
  EXPECT_EQ(alter(kGroup, "g", {{"no.such", kSet, "1"}}),
            Answer(ErrorCode::kInvalidConfig, "Unknown group config name: no.such"));
}

TEST_F(ConfigDecisionsTest, client_metrics_subscriptions_are_checked) {
  EXPECT_EQ(alter(kMetrics, "m", {{"interval.ms", kSet, "100"}, {"match", kSet, "client_id=a.*"}}),
            kFine);
  EXPECT_EQ(alter(kMetrics, "m", {{"interval.ms", kSet, "99"}}),
            Answer(ErrorCode::kInvalidRequest,
                   "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 "
                   "(1 hour)"));
  EXPECT_EQ(alter(kMetrics, "m", {{"no.such", kSet, "1"}}),
            Answer(ErrorCode::kInvalidRequest, "Unknown client metrics configuration: no.such"));
  for (const char* pattern : {"client_id=[x", "foo=3", "client_id"})
    EXPECT_EQ(alter(kMetrics, "m", {{"match", kSet, pattern}}).first, ErrorCode::kInvalidConfig);
  EXPECT_EQ(alter(kMetrics, "m", {{"match", kSet, "client_id=" + std::string(100'000, '(')}}).first,
            ErrorCode::kInvalidConfig);
}

TEST_F(ConfigDecisionsTest, the_old_call_replaces_all_configs_of_a_resource) {
  EXPECT_EQ(replace(kTopic, "t", {{"retention.ms", "1"}, {"cleanup.policy", "compact"}}), kFine);
  EXPECT_EQ(replace(kTopic, "t", {{"retention.ms", "2"}}), kFine);
  EXPECT_EQ(topic_config("retention.ms"), "2");
  EXPECT_EQ(topic_config("cleanup.policy"), "(none)");
  EXPECT_EQ(replace(kTopic, "t", {{"retention.ms", std::nullopt}}),
            Answer(ErrorCode::kInvalidRequest, "Null value not supported for : retention.ms"));
  EXPECT_EQ(replace(kTopic, "t", {}), kFine);
  EXPECT_TRUE(configs(ConfigResourceType::kTopic, "t").empty());
  EXPECT_EQ(replace(8, "1", {}), Answer(ErrorCode::kInvalidRequest, "Unknown resource type 8"));
}

// KIP-525: CreateTopics 5+ tells what the topic will have.
TEST_F(ConfigDecisionsTest, a_new_topic_is_answered_with_its_effective_configs) {
  EXPECT_EQ(alter(kBroker, "", {{"log.retention.ms", kSet, "77"}}), kFine);
  wire::CreateTopicsRequest request;
  request.topics = {{.name = "n",
                     .num_partitions = 1,
                     .replication_factor = 1,
                     .configs = {{.name = "segment.ms", .value = "9"}}}};
  request.validate_only = true;
  const auto decided = controller_.decide_create_topics(request);
  EXPECT_TRUE(decided.records.empty());
  const auto& told = *decided.response.topics[0].configs;
  EXPECT_EQ(told.size(), 33u);
  EXPECT_TRUE(std::ranges::is_sorted(told, {}, [](const auto& each) { return each.name; }));
  auto find = [&](const std::string& name) {
    return *std::ranges::find(told, name, [](const auto& each) { return each.name; });
  };
  EXPECT_EQ(find("segment.ms").value, "9");
  EXPECT_EQ(find("segment.ms").config_source, 1);
  EXPECT_EQ(find("retention.ms").value, "77");
  EXPECT_EQ(find("retention.ms").config_source, 3);
}

constexpr std::string_view kPrefix =
    "The update failed for all features since the following feature had an error: ";

TEST_F(ConfigDecisionsTest, a_feature_goes_down_and_up_within_what_all_support) {
  EXPECT_EQ(update({{"group.version", 0, 2}}), kFine);
  EXPECT_FALSE(controller_.image().features().contains("group.version"));
  EXPECT_EQ(update({{"group.version", 1, 1}}), kFine);
  EXPECT_EQ(update({{"group.version", 2, 1}}),
            Answer(ErrorCode::kInvalidUpdateVersion,
                   std::string(kPrefix) + "Invalid update version 2 for feature group.version. "
                                          "Local controller 1 only supports versions 0-1"));
  EXPECT_EQ(update({{"no.such", 1, 1}}),
            Answer(ErrorCode::kInvalidUpdateVersion,
                   std::string(kPrefix) + "Invalid update version 1 for feature no.such. Local "
                                          "controller 1 does not support this feature."));
}

TEST_F(ConfigDecisionsTest, a_downgrade_must_be_asked_for_as_one) {
  const std::string why =
      std::string(kPrefix) +
      "Invalid update version 0 for feature group.version. Can't downgrade the version of this "
      "feature without setting the upgrade type to either safe or unsafe downgrade.";
  EXPECT_EQ(update({{"group.version", 0, 1}}), Answer(ErrorCode::kInvalidUpdateVersion, why));
  EXPECT_EQ(update({{"group.version", 0, 2}}, 0), Answer(ErrorCode::kInvalidUpdateVersion, why))
      << "version 0 has upgrades alone";
}

TEST_F(ConfigDecisionsTest, the_metadata_version_does_not_go_back) {
  for (int8_t type : {2, 3})
    EXPECT_EQ(update({{"metadata.version", 29, type}}).first, ErrorCode::kInvalidUpdateVersion);
  EXPECT_EQ(update({{"metadata.version", 30, 1}}), kFine) << "where it is";
  EXPECT_EQ(update({{"metadata.version", 31, 1}}).first, ErrorCode::kInvalidUpdateVersion);
}

// What Apache Kafka 4.3.1 answers for a quorum that has it at 1.
TEST_F(ConfigDecisionsTest, the_kraft_version_is_that_of_the_quorum_and_does_not_go_back) {
  for (int8_t type : {1, 2, 3})
    EXPECT_EQ(update({{"kraft.version", 1, type}}), kFine) << "is there";
  const std::string why = std::string(kPrefix) +
                          "Invalid update version 0 for feature "
                          "kraft.version. Can't downgrade the version of this feature";
  EXPECT_EQ(update({{"kraft.version", 0, 3}}), Answer(ErrorCode::kInvalidUpdateVersion, why + "."));
  EXPECT_EQ(update({{"kraft.version", 0, 1}}),
            Answer(ErrorCode::kInvalidUpdateVersion,
                   why + " without setting the upgrade type to either safe or unsafe downgrade."));
}

// What it becomes is written by the quorum itself; here it stands for that.
TEST_F(ConfigDecisionsTest, the_kraft_version_is_raised_when_the_quorum_can) {
  kraft_version_ = 0;
  quorum_problem_ = "not all of the voters";
  EXPECT_EQ(update({{"kraft.version", 1, 1}}),
            Answer(ErrorCode::kInvalidUpdateVersion, std::string(kPrefix) + *quorum_problem_));
  quorum_problem_.reset();
  const Offset before = next_;
  EXPECT_EQ(update({{"kraft.version", 1, 1}}, 2, /*validate=*/true), kFine);
  EXPECT_EQ(next_, before);
  EXPECT_EQ(update({{"kraft.version", 1, 1}}), kFine);
  EXPECT_EQ(log_.back(), wire::MetadataRecord(wire::FeatureLevelRecord{.name = "kraft.version",
                                                                       .feature_level = 1}));
  EXPECT_FALSE(controller_.image().features().contains("kraft.version"));
}

TEST_F(ConfigDecisionsTest, the_metadata_version_goes_back_where_no_record_became_another) {
  commit({wire::FeatureLevelRecord{.name = "metadata.version", .feature_level = 29}});
  EXPECT_EQ(update({{"metadata.version", 22, 2}}).first, ErrorCode::kInvalidUpdateVersion);
  EXPECT_EQ(update({{"metadata.version", 23, 2}}), kFine);
  EXPECT_EQ(controller_.image().metadata_version(), 23);
}

TEST_F(ConfigDecisionsTest, eligible_leader_replicas_depend_on_the_metadata_version) {
  EXPECT_EQ(update({{"eligible.leader.replicas.version", 0, 2}}), kFine);
  commit({wire::FeatureLevelRecord{.name = "metadata.version", .feature_level = 22}});
  EXPECT_EQ(update({{"eligible.leader.replicas.version", 1, 1}}).second,
            std::string(kPrefix) +
                "Invalid update version 1 for feature eligible.leader.replicas.version. "
                "eligible.leader.replicas.version could not be set to 1 because it depends on "
                "metadata.version level 23");
  EXPECT_EQ(update({{"eligible.leader.replicas.version", 1, 1}, {"metadata.version", 23, 1}}),
            kFine);
}

TEST_F(ConfigDecisionsTest, a_feature_waits_for_all_voters_of_a_static_quorum_to_register) {
  const auto properties = *config::NodeProperties::of(
      {{"node.id", "1"},
       {"process.roles", "broker,controller"},
       {"listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"},
       {"controller.listener.names", "CONTROLLER"},
       {"controller.quorum.voters", "1@localhost:9093,7@localhost:9094"}});
  Controller waiting(properties, [] { return Uuid::of_words({1, 1}); });
  waiting.image() = controller_.image();
  waiting.activate(kClusterId, {.level = [] { return int16_t{1}; }}, now_);
  wire::UpdateFeaturesRequest request;
  request.feature_updates.push_back(
      {.feature = "group.version", .max_version_level = 0, .upgrade_type = 2});
  EXPECT_NE(waiting.decide_update_features(request, 1)
                .response.error_message->find(
                    "controller 7 has not registered, and may not support this feature"),
            std::string::npos);
}

TEST_F(ConfigDecisionsTest, features_are_updated_all_or_none_and_not_when_only_validated) {
  EXPECT_NE(update({{"share.version", 0, 2}, {"no.such", 1, 1}}), kFine);
  EXPECT_EQ(controller_.image().features().at("share.version"), 1);
  EXPECT_EQ(update({{"share.version", 0, 2}}, 2, /*validate=*/true), kFine);
  EXPECT_EQ(controller_.image().features().at("share.version"), 1);
}

TEST_F(ConfigDecisionsTest, switching_elr_on_makes_min_insync_replicas_the_clusters) {
  EXPECT_EQ(update({{"eligible.leader.replicas.version", 0, 2}}), kFine);
  EXPECT_EQ(alter(kBroker, "1", {{"min.insync.replicas", kSet, "2"}}), kFine);
  EXPECT_EQ(update({{"eligible.leader.replicas.version", 1, 1}}), kFine);
  EXPECT_TRUE(configs(ConfigResourceType::kBroker, "1").empty());
  EXPECT_EQ(configs(ConfigResourceType::kBroker, "").at("min.insync.replicas"), "1");
}

}  // namespace
}  // namespace millrace::controller
