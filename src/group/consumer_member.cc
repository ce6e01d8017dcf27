#include "group/consumer_member.h"

#include <algorithm>
#include <utility>

namespace millrace::group {
namespace {

using AssignmentValue = wire::ConsumerGroupCurrentMemberAssignmentValue;

// Records of before assignment epochs have none: the member's stands for them.
OwnedPartitions owned_of(const std::vector<AssignmentValue::TopicPartitions>& topics,
                         int32_t member_epoch) {
  OwnedPartitions owned;
  const int32_t otherwise = std::max(member_epoch, 0);
  for (const auto& topic : topics) {
    if (topic.partitions.empty()) continue;
    auto& partitions = owned[topic.topic_id];
    const auto& epochs = topic.assignment_epochs;
    const bool has_epochs = epochs && epochs->size() == topic.partitions.size();
    for (size_t i = 0; i < topic.partitions.size(); ++i)
      partitions.insert_or_assign(topic.partitions[i], has_epochs ? (*epochs)[i] : otherwise);
  }
  return owned;
}

std::vector<AssignmentValue::TopicPartitions> topics_of(const OwnedPartitions& owned) {
  std::vector<AssignmentValue::TopicPartitions> topics;
  for (const auto& [topic_id, partitions] : owned) {
    auto& topic = topics.emplace_back();
    topic.topic_id = topic_id;
    topic.assignment_epochs.emplace();
    for (const auto& [partition, epoch] : partitions) {
      topic.partitions.push_back(partition);
      topic.assignment_epochs->push_back(epoch);
    }
  }
  return topics;
}

std::optional<int32_t> epoch_in(const OwnedPartitions& owned, const Uuid& topic_id,
                                int32_t partition) {
  const auto topic = owned.find(topic_id);
  if (topic == owned.end()) return std::nullopt;
  const auto at = topic->second.find(partition);
  return at == topic->second.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace

std::string_view state_name(MemberState state) {
  switch (state) {
    case MemberState::kStable: return "Stable";
    case MemberState::kUnrevokedPartitions: return "UnrevokedPartitions";
    case MemberState::kUnreleasedPartitions: return "UnreleasedPartitions";
    case MemberState::kUnknown: return "Unknown";
  }
  return "Unknown";
}

MemberState member_state_of(int8_t value) {
  const auto state = static_cast<MemberState>(value);
  switch (state) {
    case MemberState::kStable:
    case MemberState::kUnrevokedPartitions:
    case MemberState::kUnreleasedPartitions: return state;
    default: return MemberState::kUnknown;
  }
}

MemberMetadata new_member_metadata() {
  MemberMetadata metadata;
  metadata.instance_id.reset();
  metadata.rack_id.reset();
  metadata.server_assignor.reset();
  metadata.classic_member_metadata.reset();
  return metadata;
}

std::optional<int32_t> CurrentAssignment::epoch_of(const Uuid& topic_id, int32_t partition) const {
  if (const auto epoch = epoch_in(assigned, topic_id, partition)) return epoch;
  return epoch_in(revoking, topic_id, partition);
}

std::string_view ConsumerMember::regex() const {
  const auto& regex = metadata.subscribed_topic_regex;
  return regex ? std::string_view(*regex) : std::string_view();
}

bool contains(const OwnedPartitions& owned, const Uuid& topic_id, int32_t partition) {
  return epoch_in(owned, topic_id, partition).has_value();
}

CurrentAssignment current_of(const AssignmentValue& value) {
  return {.member_epoch = value.member_epoch,
          .previous_epoch = value.previous_member_epoch,
          .state = member_state_of(value.state),
          .assigned = owned_of(value.assigned_partitions, value.member_epoch),
          .revoking = owned_of(value.partitions_pending_revocation, value.member_epoch)};
}

AssignmentValue to_record(const CurrentAssignment& current) {
  AssignmentValue value;
  value.member_epoch = current.member_epoch;
  value.previous_member_epoch = current.previous_epoch;
  value.state = static_cast<int8_t>(current.state);
  value.assigned_partitions = topics_of(current.assigned);
  value.partitions_pending_revocation = topics_of(current.revoking);
  return value;
}

TargetAssignment target_of(const wire::ConsumerGroupTargetAssignmentMemberValue& value) {
  TargetAssignment target;
  for (const auto& topic : value.topic_partitions) {
    if (topic.partitions.empty()) continue;
    auto& partitions = target[topic.topic_id];
    partitions.insert(partitions.end(), topic.partitions.begin(), topic.partitions.end());
    std::ranges::sort(partitions);
    const auto repeated = std::ranges::unique(partitions);
    partitions.erase(repeated.begin(), repeated.end());
  }
  return target;
}

wire::ConsumerGroupTargetAssignmentMemberValue to_record(const TargetAssignment& target) {
  wire::ConsumerGroupTargetAssignmentMemberValue value;
  for (const auto& [topic_id, partitions] : target)
    value.topic_partitions.push_back({.topic_id = topic_id, .partitions = partitions});
  return value;
}

}  // namespace millrace::group
