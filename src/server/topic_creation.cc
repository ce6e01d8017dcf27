#include "server/topic_creation.h"

#include "base/log.h"
#include "node/controller_host.h"

namespace millrace::server {
namespace {

constexpr std::string_view kOffsets = "__consumer_offsets";
constexpr std::string_view kTransactions = "__transaction_state";
constexpr std::string_view kShares = "__share_group_state";

// Of the broker's configs for one of Kafka's own topics.
std::string prefix_of(std::string_view name) {
  if (name == kOffsets) return "offsets.topic.";
  return name == kTransactions ? "transaction.state.log." : "share.coordinator.state.topic.";
}

wire::CreateTopicsRequest::CreatableTopic topic_of(const config::NodeProperties& properties,
                                                   const std::string& name) {
  wire::CreateTopicsRequest::CreatableTopic topic{
      .name = name, .num_partitions = -1, .replication_factor = -1};
  if (!is_internal_topic(name)) return topic;
  const std::string prefix = prefix_of(name);
  topic.num_partitions = static_cast<int32_t>(properties.number(prefix + "num.partitions"));
  topic.replication_factor = static_cast<int16_t>(properties.number(prefix + "replication.factor"));
  auto set = [&](std::string config, std::string value) {
    topic.configs.push_back({.name = std::move(config), .value = std::move(value)});
  };
  set("compression.type", name == kTransactions ? "uncompressed" : "producer");
  set("cleanup.policy", name == kShares ? "delete" : "compact");
  set("segment.bytes", properties.text(prefix + "segment.bytes"));
  if (name == kOffsets) return topic;
  set("min.insync.replicas", properties.text(prefix + "min.isr"));
  if (name == kTransactions) set("unclean.leader.election.enable", "false");
  if (name == kShares) set("retention.ms", "-1");
  return topic;
}

}  // namespace

bool is_internal_topic(std::string_view name) {
  return name == kOffsets || name == kTransactions || name == kShares;
}

void create_topics(node::Node& node, env::Shard& shard, const std::vector<std::string>& names,
                   std::move_only_function<void(Result<>)> done) {
  wire::CreateTopicsRequest request;
  for (const std::string& name : names) request.topics.push_back(topic_of(node.properties(), name));
  node.submit({.decide =
                   [request](controller::Controller& controller) {
                     auto decided = controller.decide_create_topics(request);
                     for (const auto& each : decided.response.topics)
                       if (each.error_code != 0)
                         LOG_INFO("topic {} was not created: {}", each.name, *each.error_message);
                     return decided.records;
                   },
               .done = std::move(done),
               .shard = &shard});
}

}  // namespace millrace::server
