#include <millrace/admin.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "library/admin_impl.h"
#include "library/conversions.h"

namespace millrace::v0 {
namespace {

using client::core::Destination;

library::ClientConfigs configs_of(const Config& config) {
  auto configs = library::admin_configs({config.begin(), config.end()});
  if (!configs) throw Error(ErrorCode::kInvalidConfig, configs.error().message);
  return std::move(*configs);
}

// Throws what was refused first, in the order of names.
class Refusals {
 public:
  void note(const std::string& name, int16_t code, const std::optional<std::string>& message) {
    if (code != 0) refused_.emplace(name, std::pair(code, message));
  }
  void throw_first(const std::string& action) const {
    if (refused_.empty()) return;
    const auto& [name, why] = *refused_.begin();
    throw library::error_of(why.first, fmt::format("{} '{}'", action, name), why.second);
  }

 private:
  std::map<std::string, std::pair<int16_t, std::optional<std::string>>> refused_;
};

wire::CreateTopicsRequest::CreatableTopic creatable(const NewTopic& topic) {
  wire::CreateTopicsRequest::CreatableTopic made{.name = topic.name,
                                                 .num_partitions = topic.partitions,
                                                 .replication_factor = topic.replication_factor};
  for (const auto& [partition, brokers] : topic.assignments)
    made.assignments.push_back({.partition_index = partition, .broker_ids = brokers});
  for (const auto& [name, value] : topic.configs)
    made.configs.push_back({.name = name, .value = value});
  return made;
}

PartitionInfo outer(
    const std::string& topic,
    const wire::DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponsePartition&
        partition) {
  return {{topic, partition.partition_index},
          partition.leader_id,
          partition.replica_nodes,
          partition.isr_nodes};
}

}  // namespace

Admin::Admin(const Config& config) : impl_(std::make_unique<Impl>(configs_of(config))) {}
Admin::~Admin() = default;
Admin::Admin(Admin&&) noexcept = default;
Admin& Admin::operator=(Admin&&) noexcept = default;

void Admin::create_topics(const std::vector<NewTopic>& topics) {
  wire::CreateTopicsRequest request{.timeout_ms = impl_->caller.timeout_ms()};
  for (const auto& each : topics) request.topics.push_back(creatable(each));
  Refusals refusals;
  for (const auto& each : impl_->caller.call(request).topics)
    refusals.note(each.name, each.error_code, each.error_message);
  refusals.throw_first("create topic");
}

void Admin::create_topic(const NewTopic& topic) { create_topics({topic}); }

void Admin::delete_topics(const std::vector<std::string>& names) {
  wire::DeleteTopicsRequest request{.timeout_ms = impl_->caller.timeout_ms()};
  for (const auto& each : names) request.topics.push_back({.name = each});
  Refusals refusals;
  for (const auto& each : impl_->caller.call(request).responses)
    refusals.note(each.name.value_or(""), each.error_code, each.error_message);
  refusals.throw_first("delete topic");
}

void Admin::create_partitions(const std::string& topic, std::int32_t count) {
  wire::CreatePartitionsRequest request{.timeout_ms = impl_->caller.timeout_ms()};
  request.topics.push_back({.name = topic, .count = count, .assignments = std::nullopt});
  Refusals refusals;
  for (const auto& each : impl_->caller.call(request).results)
    refusals.note(each.name, each.error_code, each.error_message);
  refusals.throw_first("add partitions to topic");
}

std::vector<TopicListing> Admin::list_topics() {
  // Of the answer, not of what is known: there topics stay that are not named any more.
  wire::MetadataRequest request{.allow_auto_topic_creation = false};
  request.topics.reset();
  std::vector<TopicListing> list;
  for (const auto& each : impl_->caller.call(request).topics)
    if (each.error_code == 0)
      list.push_back({each.name.value_or(""), each.topic_id.to_string(), each.is_internal});
  std::ranges::sort(list, {}, &TopicListing::name);
  return list;
}

std::vector<TopicDescription> Admin::describe_topics(const std::vector<std::string>& names) {
  wire::DescribeTopicPartitionsRequest request;
  for (const auto& each : names) request.topics.push_back({.name = each});
  std::ranges::sort(request.topics, {}, [](const auto& each) { return each.name; });
  std::map<std::string, TopicDescription> found;
  for (bool is_more = !names.empty(); is_more;) {
    Refusals refusals;
    const auto response = impl_->caller.call(request);
    for (const auto& topic : response.topics) {
      const std::string name = topic.name.value_or("");
      refusals.note(name, topic.error_code, std::nullopt);
      auto& one = found[name];
      one.name = name;
      one.id = topic.topic_id.to_string();
      one.internal = topic.is_internal;
      for (const auto& each : topic.partitions) one.partitions.push_back(outer(name, each));
    }
    refusals.throw_first("describe topic");
    is_more = response.next_cursor.has_value();
    if (is_more)
      request.cursor = {.topic_name = response.next_cursor->topic_name,
                        .partition_index = response.next_cursor->partition_index};
  }
  std::vector<TopicDescription> list;
  for (auto& [name, each] : found) list.push_back(std::move(each));
  return list;
}

TopicDescription Admin::describe_topic(const std::string& name) {
  return std::move(describe_topics({name}).at(0));
}

std::map<TopicPartition, std::int64_t> Admin::delete_records(
    const std::map<TopicPartition, std::int64_t>& before) {
  std::map<NodeId, wire::DeleteRecordsRequest> requests;
  std::map<std::string, std::map<std::int32_t, std::int32_t>> leaders;
  for (const auto& [partition, offset] : before) {
    auto& by_partition = leaders[partition.topic];
    if (by_partition.empty())
      for (const auto& each : impl_->caller.partitions_of(partition.topic, /*create=*/false))
        by_partition[each.partition.partition] = each.leader;
    const auto leader = by_partition.find(partition.partition);
    if (leader == by_partition.end())
      throw library::error_of(
          wire::ErrorCode::kUnknownTopicOrPartition,
          fmt::format("delete records of {}", library::inner(partition).to_string()));
    auto& request = requests[NodeId(leader->second)];
    request.timeout_ms = impl_->caller.timeout_ms();
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back(
        {.partition_index = partition.partition, .offset = offset});
  }
  std::map<TopicPartition, std::int64_t> left;
  Refusals refusals;
  for (const auto& [leader, request] : requests)
    for (const auto& topic : impl_->caller.call(request, Destination::to(leader)).topics)
      for (const auto& each : topic.partitions) {
        const TopicPartition partition{topic.name, each.partition_index};
        refusals.note(library::inner(partition).to_string(), each.error_code, std::nullopt);
        left[partition] = each.low_watermark;
      }
  refusals.throw_first("delete records of");
  return left;
}

ClusterDescription Admin::describe_cluster() {
  const auto response = impl_->caller.call(wire::DescribeClusterRequest{});
  if (response.error_code != 0)
    throw library::error_of(response.error_code, "describe the cluster", response.error_message);
  ClusterDescription cluster{response.cluster_id, response.controller_id, {}};
  for (const auto& each : response.brokers)
    cluster.brokers.push_back(
        {each.broker_id, each.host, static_cast<std::uint16_t>(each.port), each.rack});
  std::ranges::sort(cluster.brokers, {}, &BrokerInfo::id);
  return cluster;
}

}  // namespace millrace::v0
