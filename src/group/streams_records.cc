#include "group/streams_records.h"

#include "wire/codec.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using CurrentValue = wire::StreamsGroupCurrentMemberAssignmentValue;
using TargetValue = wire::StreamsGroupTargetAssignmentMemberValue;
using streams::EpochTasks;
using streams::Tasks;

constexpr int16_t kVersion = 0;  // of all of them

template <class Key>
KeyValueRecord tombstone(const Key& key) {
  return {wire::encode_key(key), std::nullopt};
}

template <class Key, class Value>
KeyValueRecord record(const Key& key, const Value& value) {
  return {wire::encode_key(key), wire::encode_value(value, kVersion)};
}

template <class TaskIds>
std::vector<TaskIds> ids_of(const Tasks& tasks) {
  std::vector<TaskIds> ids;
  for (const auto& [subtopology, partitions] : tasks) {
    TaskIds& each = ids.emplace_back();
    each.subtopology_id = subtopology;
    each.partitions.assign(partitions.begin(), partitions.end());
  }
  return ids;
}

std::vector<CurrentValue::TaskIds> ids_of(const EpochTasks& tasks) {
  std::vector<CurrentValue::TaskIds> ids;
  for (const auto& [subtopology, partitions] : tasks) {
    CurrentValue::TaskIds& each = ids.emplace_back();
    each.subtopology_id = subtopology;
    for (const auto& [partition, epoch] : partitions) {
      each.partitions.push_back(partition);
      each.assignment_epochs->push_back(epoch);
    }
  }
  return ids;
}

template <class TaskIds>
Tasks tasks_of(const std::vector<TaskIds>& ids) {
  Tasks tasks;
  for (const TaskIds& each : ids)
    if (!each.partitions.empty())
      tasks[each.subtopology_id].insert(each.partitions.begin(), each.partitions.end());
  return tasks;
}

// Records of before Kafka 4.3 say nothing of each task's epoch.
EpochTasks tasks_of(const std::vector<CurrentValue::TaskIds>& ids, int32_t member_epoch) {
  EpochTasks tasks;
  for (const auto& each : ids) {
    const bool has_epochs =
        each.assignment_epochs && each.assignment_epochs->size() == each.partitions.size();
    for (size_t i = 0; i < each.partitions.size(); ++i)
      tasks[each.subtopology_id][each.partitions[i]] =
          has_epochs ? (*each.assignment_epochs)[i] : member_epoch;
  }
  return tasks;
}

}  // namespace

KeyValueRecord StreamsRecords::epoch(const GroupEpoch& value) const {
  wire::StreamsGroupMetadataValue written;
  written.epoch = value.epoch;
  written.metadata_hash = value.metadata_hash;
  written.validated_topology_epoch = value.validated_topology_epoch;
  for (const auto& [name, text] : value.assignment_configs)
    written.last_assignment_configs->push_back({.key = name, .value = text});
  return record(key<wire::StreamsGroupMetadataKey>(), written);
}

KeyValueRecord StreamsRecords::no_epoch() const {
  return tombstone(key<wire::StreamsGroupMetadataKey>());
}

KeyValueRecord StreamsRecords::member(std::string_view member_id,
                                      const StreamsMemberMetadata& metadata) const {
  return record(key<wire::StreamsGroupMemberMetadataKey>(member_id), metadata);
}

KeyValueRecord StreamsRecords::no_member(std::string_view member_id) const {
  return tombstone(key<wire::StreamsGroupMemberMetadataKey>(member_id));
}

KeyValueRecord StreamsRecords::assignment_epoch(int32_t epoch, TimestampMs timestamp) const {
  wire::StreamsGroupTargetAssignmentMetadataValue value;
  value.assignment_epoch = epoch;
  value.assignment_timestamp = timestamp.value();
  return record(key<wire::StreamsGroupTargetAssignmentMetadataKey>(), value);
}

KeyValueRecord StreamsRecords::no_assignment_epoch() const {
  return tombstone(key<wire::StreamsGroupTargetAssignmentMetadataKey>());
}

KeyValueRecord StreamsRecords::target(std::string_view member_id,
                                      const streams::Assignment& target) const {
  TargetValue value;
  value.active_tasks = ids_of<TargetValue::TaskIds>(target.active);
  value.standby_tasks = ids_of<TargetValue::TaskIds>(target.standby);
  value.warmup_tasks = ids_of<TargetValue::TaskIds>(target.warmup);
  return record(key<wire::StreamsGroupTargetAssignmentMemberKey>(member_id), value);
}

KeyValueRecord StreamsRecords::no_target(std::string_view member_id) const {
  return tombstone(key<wire::StreamsGroupTargetAssignmentMemberKey>(member_id));
}

KeyValueRecord StreamsRecords::current(std::string_view member_id,
                                       const streams::CurrentTasks& current) const {
  CurrentValue value;
  value.member_epoch = current.member_epoch;
  value.previous_member_epoch = current.previous_epoch;
  value.state = static_cast<int8_t>(current.state);
  value.active_tasks = ids_of(current.assigned.active);
  value.standby_tasks = ids_of<CurrentValue::TaskIds>(current.assigned.standby);
  value.warmup_tasks = ids_of<CurrentValue::TaskIds>(current.assigned.warmup);
  value.active_tasks_pending_revocation = ids_of(current.revoking.active);
  value.standby_tasks_pending_revocation = ids_of<CurrentValue::TaskIds>(current.revoking.standby);
  value.warmup_tasks_pending_revocation = ids_of<CurrentValue::TaskIds>(current.revoking.warmup);
  return record(key<wire::StreamsGroupCurrentMemberAssignmentKey>(member_id), value);
}

KeyValueRecord StreamsRecords::no_current(std::string_view member_id) const {
  return tombstone(key<wire::StreamsGroupCurrentMemberAssignmentKey>(member_id));
}

KeyValueRecord StreamsRecords::topology(const streams::Topology& topology) const {
  return record(key<wire::StreamsGroupTopologyKey>(), topology);
}

KeyValueRecord StreamsRecords::no_topology() const {
  return tombstone(key<wire::StreamsGroupTopologyKey>());
}

streams::CurrentTasks current_of(const CurrentValue& value) {
  return {.member_epoch = value.member_epoch,
          .previous_epoch = value.previous_member_epoch,
          .state = streams::member_state_of(value.state),
          .assigned = {tasks_of(value.active_tasks, value.member_epoch),
                       tasks_of(value.standby_tasks), tasks_of(value.warmup_tasks)},
          .revoking = {tasks_of(value.active_tasks_pending_revocation, value.member_epoch),
                       tasks_of(value.standby_tasks_pending_revocation),
                       tasks_of(value.warmup_tasks_pending_revocation)}};
}

streams::Assignment target_of(const TargetValue& value) {
  return {tasks_of(value.active_tasks), tasks_of(value.standby_tasks),
          tasks_of(value.warmup_tasks)};
}

}  // namespace millrace::group
