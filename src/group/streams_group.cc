#include "group/streams_group.h"

#include <algorithm>

#include "base/assert.h"
#include "group/records.h"
#include "group/streams_records.h"
#include "wire/codec.h"

namespace millrace::group {
namespace {

constexpr int32_t kNoAssignment = -1;  // the epoch behind its tombstone

}  // namespace

StreamsMemberMetadata new_streams_member_metadata() {
  StreamsMemberMetadata metadata;
  metadata.instance_id.reset();
  metadata.rack_id.reset();
  metadata.topology_epoch = -1;
  return metadata;
}

std::string_view state_name(StreamsState state) {
  switch (state) {
    case StreamsState::kEmpty: return "Empty";
    case StreamsState::kNotReady: return "NotReady";
    case StreamsState::kAssigning: return "Assigning";
    case StreamsState::kReconciling: return "Reconciling";
    case StreamsState::kStable: break;
  }
  return "Stable";
}

bool is_streams_group_record(int16_t record_type) {
  return record_type == wire::StreamsGroupMetadataKey::kApiKey ||
         (record_type >= wire::StreamsGroupMemberMetadataKey::kApiKey &&
          record_type <= wire::StreamsGroupTopologyKey::kApiKey);
}

StreamsState StreamsGroup::state() const {
  if (members_.empty()) return StreamsState::kEmpty;
  if (!topology_ || topology_->epoch != validated_topology_epoch_) return StreamsState::kNotReady;
  if (epoch_ > assignment_epoch_) return StreamsState::kAssigning;
  const bool reconciled = std::ranges::all_of(members_, [&](const auto& entry) {
    return entry.second.current.is_reconciled_to(assignment_epoch_);
  });
  return reconciled ? StreamsState::kStable : StreamsState::kReconciling;
}

const StreamsMember* StreamsGroup::find(std::string_view member_id) const {
  const auto at = members_.find(member_id);
  return at == members_.end() ? nullptr : &at->second;
}

const streams::Assignment& StreamsGroup::target(std::string_view member_id) const {
  static const streams::Assignment none;
  const auto at = targets_.find(member_id);
  return at == targets_.end() ? none : at->second;
}

bool StreamsGroup::is_subscribed_to(std::string_view topic) const {
  return !members_.empty() && reader_of(topic) != nullptr;
}

const std::string* StreamsGroup::reader_of(std::string_view topic) const {
  const auto at = readers_.find(topic);
  return at == readers_.end() ? nullptr : &at->second;
}

// --- Replay.

StreamsMember& StreamsGroup::member(const std::string& member_id) {
  const auto [at, is_new] = members_.try_emplace(member_id);
  if (is_new) at->second.id = member_id;
  return at->second;
}

void StreamsGroup::add_tasks(const StreamsMember& member) {
  owners_.add(member.current.assigned, member.metadata.process_id);
  owners_.add(member.current.revoking, member.metadata.process_id);
}

void StreamsGroup::remove_tasks(const StreamsMember& member) {
  owners_.remove(member.current.assigned, member.metadata.process_id);
  owners_.remove(member.current.revoking, member.metadata.process_id);
}

Result<bool> StreamsGroup::apply(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(const int16_t type, key_type(record.key));
  switch (type) {
    case wire::StreamsGroupMetadataKey::kApiKey:
      if (!record.value) return false;
      RETURN_IF_ERROR(apply_epoch(record));
      break;
    case wire::StreamsGroupMemberMetadataKey::kApiKey: RETURN_IF_ERROR(apply_member(record)); break;
    case wire::StreamsGroupTargetAssignmentMetadataKey::kApiKey:
      RETURN_IF_ERROR(apply_assignment_epoch(record));
      break;
    case wire::StreamsGroupTargetAssignmentMemberKey::kApiKey:
      RETURN_IF_ERROR(apply_target(record));
      break;
    case wire::StreamsGroupCurrentMemberAssignmentKey::kApiKey:
      RETURN_IF_ERROR(apply_current(record));
      break;
    case wire::StreamsGroupTopologyKey::kApiKey: RETURN_IF_ERROR(apply_topology(record)); break;
    default: break;
  }
  return true;
}

Result<> StreamsGroup::apply_epoch(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::StreamsGroupMetadataValue>(*record.value));
  epoch_ = value.epoch;
  metadata_hash_ = value.metadata_hash;
  validated_topology_epoch_ = value.validated_topology_epoch;
  assignment_configs_.clear();
  if (value.last_assignment_configs)
    for (auto& config : *value.last_assignment_configs)
      assignment_configs_[config.key] = std::move(config.value);
  return {};
}

Result<> StreamsGroup::apply_assignment_epoch(const machine::KeyValueRecord& record) {
  wire::StreamsGroupTargetAssignmentMetadataValue value;
  value.assignment_epoch = kNoAssignment;
  if (record.value) {
    ASSIGN_OR_RETURN(
        value, wire::decode_value<wire::StreamsGroupTargetAssignmentMetadataValue>(*record.value));
  }
  assignment_epoch_ = value.assignment_epoch;
  assignment_timestamp_ = TimestampMs(value.assignment_timestamp);
  return {};
}

Result<> StreamsGroup::apply_member(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key, wire::decode_key<wire::StreamsGroupMemberMetadataKey>(record.key));
  if (!record.value) {
    const auto at = members_.find(key.member_id);
    if (at == members_.end()) return {};
    remove_tasks(at->second);
    members_.erase(at);
    return {};
  }
  ASSIGN_OR_RETURN(auto value, wire::decode_value<StreamsMemberMetadata>(*record.value));
  std::ranges::sort(value.client_tags, {}, &StreamsMemberMetadata::KeyValue::key);
  StreamsMember& known = member(key.member_id);
  remove_tasks(known);
  known.metadata = std::move(value);
  add_tasks(known);
  return {};
}

Result<> StreamsGroup::apply_current(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key,
                   wire::decode_key<wire::StreamsGroupCurrentMemberAssignmentKey>(record.key));
  streams::CurrentTasks now{.member_epoch = kLeavingEpoch, .previous_epoch = kLeavingEpoch};
  if (record.value) {
    ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::StreamsGroupCurrentMemberAssignmentValue>(
                                     *record.value));
    now = current_of(value);
  } else if (!members_.contains(key.member_id)) {
    return {};
  }
  StreamsMember& known = member(key.member_id);
  remove_tasks(known);
  known.current = std::move(now);
  add_tasks(known);
  return {};
}

Result<> StreamsGroup::apply_target(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key,
                   wire::decode_key<wire::StreamsGroupTargetAssignmentMemberKey>(record.key));
  if (!record.value) {
    targets_.erase(key.member_id);
    return {};
  }
  ASSIGN_OR_RETURN(
      auto value, wire::decode_value<wire::StreamsGroupTargetAssignmentMemberValue>(*record.value));
  targets_.insert_or_assign(key.member_id, target_of(value));
  return {};
}

Result<> StreamsGroup::apply_topology(const machine::KeyValueRecord& record) {
  std::optional<streams::Topology> now;
  if (record.value) {
    ASSIGN_OR_RETURN(now, wire::decode_value<streams::Topology>(*record.value));
  }
  topology_ = std::move(now);
  static const streams::Topology none;
  const streams::Topology& topology = topology_ ? *topology_ : none;
  is_topology_well_formed_ = streams::is_well_formed(topology);
  required_topics_ = streams::required_topics(topology);
  readers_ = streams::readers_of(topology);
  return {};
}

std::vector<machine::KeyValueRecord> StreamsGroup::tombstones() const {
  const StreamsRecords write(id_);
  std::vector<machine::KeyValueRecord> records;
  for (const auto& [member_id, member] : members_) records.push_back(write.no_current(member_id));
  for (const auto& [member_id, member] : members_) records.push_back(write.no_target(member_id));
  // Of members that are none: another's log may have them.
  for (const auto& [member_id, target] : targets_)
    if (!members_.contains(member_id)) records.push_back(write.no_target(member_id));
  records.push_back(write.no_assignment_epoch());
  for (const auto& [member_id, member] : members_) records.push_back(write.no_member(member_id));
  records.push_back(write.no_epoch());
  records.push_back(write.no_topology());
  return records;
}

void StreamsGroup::check_invariants() const {
  StreamsGroup again(id_);
  for (const auto& [member_id, member] : members_) {
    ASSERT(member.id == member_id, "GC9 {} {}", id_, member_id);
    again.add_tasks(member);
  }
  ASSERT(again.owners_ == owners_, "GC9 {} tasks", id_);
}

}  // namespace millrace::group
