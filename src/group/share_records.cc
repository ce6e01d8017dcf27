#include "group/share_records.h"

#include <algorithm>

#include "wire/codec.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using PartitionsValue = wire::ShareGroupStatePartitionMetadataValue;

constexpr int16_t kVersion = 0;  // of all of them

template <class Key>
KeyValueRecord tombstone(const Key& key) {
  return {wire::encode_key(key), std::nullopt};
}

template <class Key, class Value>
KeyValueRecord record(const Key& key, const Value& value) {
  return {wire::encode_key(key), wire::encode_value(value, kVersion)};
}

template <class Topic>
std::vector<Topic> topics_of(const TargetAssignment& assignment) {
  std::vector<Topic> topics;
  for (const auto& [topic_id, partitions] : assignment)
    topics.push_back({.topic_id = topic_id, .partitions = partitions});
  return topics;
}

template <class Topic>
TargetAssignment assignment_of(const std::vector<Topic>& topics) {
  TargetAssignment assignment;
  for (const auto& topic : topics) {
    if (topic.partitions.empty()) continue;
    auto& partitions = assignment[topic.topic_id];
    partitions.insert(partitions.end(), topic.partitions.begin(), topic.partitions.end());
    std::ranges::sort(partitions);
    const auto repeated = std::ranges::unique(partitions);
    partitions.erase(repeated.begin(), repeated.end());
  }
  return assignment;
}

std::vector<PartitionsValue::TopicPartitionsInfo> to_record(const ShareTopics& topics) {
  std::vector<PartitionsValue::TopicPartitionsInfo> infos;
  for (const auto& [topic_id, topic] : topics)
    infos.push_back({.topic_id = topic_id,
                     .topic_name = topic.name,
                     .partitions = {topic.partitions.begin(), topic.partitions.end()}});
  return infos;
}

ShareTopics topics_of(const std::vector<PartitionsValue::TopicPartitionsInfo>& infos) {
  ShareTopics topics;
  for (const auto& info : infos)
    topics[info.topic_id] = {.name = info.topic_name,
                             .partitions = {info.partitions.begin(), info.partitions.end()}};
  return topics;
}

}  // namespace

KeyValueRecord ShareRecords::epoch(const GroupEpoch& value) const {
  return record(
      key<wire::ShareGroupMetadataKey>(),
      wire::ShareGroupMetadataValue{.epoch = value.epoch, .metadata_hash = value.metadata_hash});
}

KeyValueRecord ShareRecords::no_epoch() const {
  return tombstone(key<wire::ShareGroupMetadataKey>());
}

KeyValueRecord ShareRecords::member(std::string_view member_id,
                                    const ShareMemberMetadata& metadata) const {
  return record(key<wire::ShareGroupMemberMetadataKey>(member_id), metadata);
}

KeyValueRecord ShareRecords::no_member(std::string_view member_id) const {
  return tombstone(key<wire::ShareGroupMemberMetadataKey>(member_id));
}

KeyValueRecord ShareRecords::assignment_epoch(int32_t epoch, TimestampMs timestamp) const {
  wire::ShareGroupTargetAssignmentMetadataValue value;
  value.assignment_epoch = epoch;
  value.assignment_timestamp = timestamp.value();
  return record(key<wire::ShareGroupTargetAssignmentMetadataKey>(), value);
}

KeyValueRecord ShareRecords::no_assignment_epoch() const {
  return tombstone(key<wire::ShareGroupTargetAssignmentMetadataKey>());
}

KeyValueRecord ShareRecords::target(std::string_view member_id,
                                    const TargetAssignment& target) const {
  using Value = wire::ShareGroupTargetAssignmentMemberValue;
  Value value;
  value.topic_partitions = topics_of<Value::TopicPartition>(target);
  return record(key<wire::ShareGroupTargetAssignmentMemberKey>(member_id), value);
}

KeyValueRecord ShareRecords::no_target(std::string_view member_id) const {
  return tombstone(key<wire::ShareGroupTargetAssignmentMemberKey>(member_id));
}

KeyValueRecord ShareRecords::current(std::string_view member_id,
                                     const ShareAssignment& current) const {
  using Value = wire::ShareGroupCurrentMemberAssignmentValue;
  Value value;
  value.member_epoch = current.member_epoch;
  value.previous_member_epoch = current.previous_epoch;
  value.state = static_cast<int8_t>(current.state);
  value.assigned_partitions = topics_of<Value::TopicPartitions>(current.assigned);
  return record(key<wire::ShareGroupCurrentMemberAssignmentKey>(member_id), value);
}

KeyValueRecord ShareRecords::no_current(std::string_view member_id) const {
  return tombstone(key<wire::ShareGroupCurrentMemberAssignmentKey>(member_id));
}

KeyValueRecord ShareRecords::partitions(const SharePartitions& partitions) const {
  PartitionsValue value;
  value.initializing_topics = to_record(partitions.initializing);
  value.initialized_topics = to_record(partitions.initialized);
  for (const auto& [topic_id, name] : partitions.deleting)
    value.deleting_topics.push_back({.topic_id = topic_id, .topic_name = name});
  return record(key<wire::ShareGroupStatePartitionMetadataKey>(), value);
}

KeyValueRecord ShareRecords::no_partitions() const {
  return tombstone(key<wire::ShareGroupStatePartitionMetadataKey>());
}

ShareAssignment current_of(const wire::ShareGroupCurrentMemberAssignmentValue& value) {
  return {.member_epoch = value.member_epoch,
          .previous_epoch = value.previous_member_epoch,
          .state = member_state_of(value.state),
          .assigned = assignment_of(value.assigned_partitions)};
}

TargetAssignment target_of(const wire::ShareGroupTargetAssignmentMemberValue& value) {
  return assignment_of(value.topic_partitions);
}

SharePartitions partitions_of(const PartitionsValue& value) {
  SharePartitions partitions{.initializing = topics_of(value.initializing_topics),
                             .initialized = topics_of(value.initialized_topics)};
  for (const auto& topic : value.deleting_topics)
    partitions.deleting[topic.topic_id] = topic.topic_name;
  return partitions;
}

}  // namespace millrace::group
