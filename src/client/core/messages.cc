#include "client/core/messages.h"

#include <utility>

namespace millrace::client::core {

void to_version(wire::FindCoordinatorRequest& request, int16_t version) {
  constexpr int16_t kSeveralKeys = 4;
  if (version >= kSeveralKeys || request.coordinator_keys.empty()) return;
  request.key = request.coordinator_keys.front();
  request.coordinator_keys.clear();
}

void to_version(wire::LeaveGroupRequest& request, int16_t version) {
  constexpr int16_t kSeveralMembers = 3;
  if (version >= kSeveralMembers || request.members.empty()) return;
  request.member_id = request.members.front().member_id;
  request.members.clear();
}

void to_version(wire::DeleteTopicsRequest& request, int16_t version) {
  constexpr int16_t kTopicsByNameOrId = 6;
  if (version >= kTopicsByNameOrId) return;
  for (const auto& topic : std::exchange(request.topics, {}))
    request.topic_names.push_back(topic.name.value_or(""));
}

void to_version(wire::OffsetFetchRequest& request, int16_t version) {
  constexpr int16_t kSeveralGroups = 8;
  constexpr int16_t kCanRequireStable = 7;
  if (version < kCanRequireStable) request.require_stable = false;
  if (version >= kSeveralGroups || request.groups.empty()) return;
  const auto group = std::exchange(request.groups, {}).front();
  request.group_id = group.group_id;
  if (!group.topics)
    request.topics.reset();
  else
    for (const auto& topic : *group.topics)
      request.topics->push_back({.name = topic.name, .partition_indexes = topic.partition_indexes});
}

void to_version(wire::DescribeClusterRequest& request, int16_t version) {
  constexpr int16_t kFencedBrokers = 2;
  if (version < kFencedBrokers) request.include_fenced_brokers = false;
}

void from_version(wire::FindCoordinatorResponse& response, int16_t version) {
  constexpr int16_t kSeveralKeys = 4;
  if (version >= kSeveralKeys) return;
  response.coordinators.push_back({.node_id = response.node_id,
                                   .host = response.host,
                                   .port = response.port,
                                   .error_code = response.error_code,
                                   .error_message = response.error_message});
}

void from_version(wire::OffsetFetchResponse& response, int16_t version) {
  constexpr int16_t kSeveralGroups = 8;
  if (version >= kSeveralGroups) return;
  auto& group = response.groups.emplace_back();
  group.error_code = response.error_code;
  for (const auto& from : std::exchange(response.topics, {})) {
    auto& topic = group.topics.emplace_back();
    topic.name = from.name;
    for (const auto& each : from.partitions)
      topic.partitions.push_back({.partition_index = each.partition_index,
                                  .committed_offset = each.committed_offset,
                                  .committed_leader_epoch = each.committed_leader_epoch,
                                  .metadata = each.metadata,
                                  .error_code = each.error_code});
  }
}

}  // namespace millrace::client::core
