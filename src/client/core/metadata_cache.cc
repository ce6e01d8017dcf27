#include "client/core/metadata_cache.h"

#include <algorithm>

namespace millrace::client::core {
namespace {

TopicInfo topic_of(const wire::metadata_response::MetadataResponseTopic& described) {
  TopicInfo topic{.name = *described.name,
                  .id = described.topic_id,
                  .internal = described.is_internal,
                  .error = static_cast<wire::ErrorCode>(described.error_code),
                  .partitions = {}};
  for (const auto& each : described.partitions)
    topic.partitions[PartitionIndex(each.partition_index)] = {
        .leader = NodeId(each.leader_id),
        .leader_epoch = LeaderEpoch(each.leader_epoch),
        .replicas = each.replica_nodes,
        .isr = each.isr_nodes,
        .offline = each.offline_replicas};
  return topic;
}

}  // namespace

void MetadataCache::update(const wire::MetadataResponse& response) {
  brokers_.clear();
  for (const auto& broker : response.brokers)
    note_broker(NodeId(broker.node_id), broker.host, broker.port);
  for (const auto& described : response.topics)
    if (described.name && !described.name->empty()) topics_[*described.name] = topic_of(described);
}

void MetadataCache::note_broker(NodeId node, const std::string& host, int32_t port) {
  if (port > 0 && port <= 65535) brokers_[node] = {host, static_cast<uint16_t>(port)};
}

const TopicInfo* MetadataCache::topic(const std::string& name) const {
  auto found = topics_.find(name);
  return found == topics_.end() || found->second.error != wire::ErrorCode::kNone ? nullptr
                                                                                 : &found->second;
}

const TopicInfo* MetadataCache::topic(const Uuid& id) const {
  auto found =
      std::ranges::find_if(topics_, [&](const auto& each) { return each.second.id == id; });
  return found == topics_.end() ? nullptr : &found->second;
}

std::map<Uuid, std::string> MetadataCache::names_of(const std::set<Uuid>& ids) const {
  std::map<Uuid, std::string> names;
  for (const auto& [name, topic] : topics_)
    if (topic.error == wire::ErrorCode::kNone && ids.contains(topic.id)) names[topic.id] = name;
  return names;
}

std::optional<NodeId> MetadataCache::leader(const TopicPartition& partition) const {
  const TopicInfo* known = topic(partition.topic);
  if (known == nullptr) return std::nullopt;
  auto found = known->partitions.find(partition.partition);
  if (found == known->partitions.end() || !brokers_.contains(found->second.leader))
    return std::nullopt;
  return found->second.leader;
}

bool MetadataCache::is_stale_after(wire::ErrorCode error) {
  switch (error) {
    case wire::ErrorCode::kUnknownTopicOrPartition:
    case wire::ErrorCode::kUnknownTopicId:
    case wire::ErrorCode::kInconsistentTopicId:
    case wire::ErrorCode::kLeaderNotAvailable:
    case wire::ErrorCode::kNotLeaderOrFollower:
    case wire::ErrorCode::kReplicaNotAvailable:
    case wire::ErrorCode::kFencedLeaderEpoch:
    case wire::ErrorCode::kUnknownLeaderEpoch:
    case wire::ErrorCode::kKafkaStorageError:
    case wire::ErrorCode::kNetworkException: return true;
    default: return false;
  }
}

}  // namespace millrace::client::core
