#include "node/internal_topics.h"

#include <algorithm>

namespace millrace::node {
namespace {

// One of Kafka's own topics: what its configs are, and the broker's configs that say the rest.
struct InternalTopic {
  std::string_view name;
  const char* partitions;
  const char* replication_factor;
  const char* segment_bytes;
  const char* min_isr = nullptr;
  std::initializer_list<std::pair<const char*, const char*>> configs;
};

const InternalTopic kInternalTopics[] = {
    {.name = "__consumer_offsets",
     .partitions = "offsets.topic.num.partitions",
     .replication_factor = "offsets.topic.replication.factor",
     .segment_bytes = "offsets.topic.segment.bytes",
     .configs = {{"compression.type", "producer"}, {"cleanup.policy", "compact"}}},
    {.name = "__transaction_state",
     .partitions = "transaction.state.log.num.partitions",
     .replication_factor = "transaction.state.log.replication.factor",
     .segment_bytes = "transaction.state.log.segment.bytes",
     .min_isr = "transaction.state.log.min.isr",
     .configs = {{"compression.type", "uncompressed"},
                 {"cleanup.policy", "compact"},
                 {"unclean.leader.election.enable", "false"}}},
    {.name = "__share_group_state",
     .partitions = "share.coordinator.state.topic.num.partitions",
     .replication_factor = "share.coordinator.state.topic.replication.factor",
     .segment_bytes = "share.coordinator.state.topic.segment.bytes",
     .min_isr = "share.coordinator.state.topic.min.isr",
     .configs = {{"compression.type", "producer"},
                 {"cleanup.policy", "delete"},
                 {"retention.ms", "-1"}}},
};

const InternalTopic* find_internal(std::string_view name) {
  auto found = std::ranges::find(kInternalTopics, name, &InternalTopic::name);
  return found == std::end(kInternalTopics) ? nullptr : found;
}

}  // namespace

bool is_internal_topic(std::string_view name) { return find_internal(name) != nullptr; }

wire::CreateTopicsRequest::CreatableTopic creatable_topic(const config::NodeProperties& properties,
                                                          const std::string& name) {
  wire::CreateTopicsRequest::CreatableTopic topic{
      .name = name, .num_partitions = -1, .replication_factor = -1};
  const InternalTopic* internal = find_internal(name);
  if (internal == nullptr) return topic;
  topic.num_partitions = static_cast<int32_t>(properties.number(internal->partitions));
  topic.replication_factor = static_cast<int16_t>(properties.number(internal->replication_factor));
  auto set = [&](std::string config, std::string value) {
    topic.configs.push_back({.name = std::move(config), .value = std::move(value)});
  };
  for (const auto& [config, value] : internal->configs) set(config, value);
  set("segment.bytes", properties.text(internal->segment_bytes));
  if (internal->min_isr != nullptr) set("min.insync.replicas", properties.text(internal->min_isr));
  return topic;
}

}  // namespace millrace::node
