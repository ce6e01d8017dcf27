#include "server/topic_creation.h"

#include "base/log.h"
#include "node/controller_host.h"

namespace millrace::server {
namespace {

constexpr std::string_view kOffsets = "__consumer_offsets";
constexpr std::string_view kTransactions = "__transaction_state";
constexpr std::string_view kShares = "__share_group_state";

wire::CreateTopicsRequest::CreatableTopic topic_of(const config::NodeProperties& properties,
                                                   const std::string& name) {
  wire::CreateTopicsRequest::CreatableTopic topic{
      .name = name, .num_partitions = -1, .replication_factor = -1};
  if (name != kOffsets) return topic;
  topic.num_partitions = static_cast<int32_t>(properties.number("offsets.topic.num.partitions"));
  topic.replication_factor =
      static_cast<int16_t>(properties.number("offsets.topic.replication.factor"));
  topic.configs = {
      {.name = "compression.type", .value = "producer"},
      {.name = "cleanup.policy", .value = "compact"},
      {.name = "segment.bytes", .value = properties.text("offsets.topic.segment.bytes")}};
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
