#include "sim/streams_topology.h"

namespace millrace::sim {

StreamsTopology::Tasks StreamsTopology::tasks() const {
  Tasks all;
  for (int32_t i = 0; i < partitions; ++i) all.insert(i);
  for (int32_t i = 0; has_second && i < second_tasks(); ++i) all.insert(kOfSecond + i);
  return all;
}

std::map<std::string, int32_t> StreamsTopology::internal_topics() const {
  std::map<std::string, int32_t> topics{{kFirstState, partitions}};
  if (has_second) topics.insert({{kRepartition, second_tasks()}, {kSecondState, second_tasks()}});
  return topics;
}

TopicPartition StreamsTopology::read_by(int32_t task) const {
  return {task >= kOfSecond ? kRepartition : topic, PartitionIndex(task % kOfSecond)};
}

wire::streams_group_heartbeat_request::Topology StreamsTopology::to_wire() const {
  using namespace wire::streams_group_heartbeat_request;
  const auto own = [&](const char* name, int32_t count) {
    TopicInfo info{.name = name, .partitions = count, .replication_factor = replicas};
    for (const auto& [key, value] : configs)
      info.topic_configs.push_back({.key = key, .value = value});
    return info;
  };
  Topology topology{.epoch = 1};
  auto& first = topology.subtopologies.emplace_back();
  first.subtopology_id = kFirst;
  first.source_topics = {topic};
  first.state_changelog_topics = {own(kFirstState, 0)};
  if (!has_second) return topology;
  first.repartition_sink_topics = {kRepartition};
  auto& second = topology.subtopologies.emplace_back();
  second.subtopology_id = kSecond;
  second.repartition_source_topics = {own(kRepartition, repartitions)};
  second.state_changelog_topics = {own(kSecondState, 0)};
  return topology;
}

}  // namespace millrace::sim
