#include "group/share_group.h"

#include <algorithm>

#include "base/assert.h"
#include "group/records.h"
#include "group/share_records.h"
#include "wire/codec.h"

namespace millrace::group {
namespace {

constexpr int32_t kNoAssignment = -1;  // the epoch behind its tombstone

void normalise(ShareMemberMetadata& metadata) {
  auto& names = metadata.subscribed_topic_names;
  std::ranges::sort(names);
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
}

}  // namespace

ShareMemberMetadata new_share_member_metadata() {
  ShareMemberMetadata metadata;
  metadata.rack_id.reset();
  return metadata;
}

void unite(ShareTopics& topics, const ShareTopics& more) {
  for (const auto& [topic_id, topic] : more) {
    ShareTopic& known = topics[topic_id];
    known.name = topic.name;
    known.partitions.insert(topic.partitions.begin(), topic.partitions.end());
  }
}

void subtract(ShareTopics& topics, const ShareTopics& less) {
  for (const auto& [topic_id, topic] : less) {
    const auto known = topics.find(topic_id);
    if (known == topics.end()) continue;
    for (const int32_t partition : topic.partitions) known->second.partitions.erase(partition);
    if (known->second.partitions.empty()) topics.erase(known);
  }
}

bool is_share_group_record(int16_t record_type) {
  return record_type >= wire::ShareGroupMemberMetadataKey::kApiKey &&
         record_type <= wire::ShareGroupStatePartitionMetadataKey::kApiKey;
}

const ShareMember* ShareGroup::find(std::string_view member_id) const {
  const auto at = members_.find(member_id);
  return at == members_.end() ? nullptr : &at->second;
}

const TargetAssignment& ShareGroup::target(std::string_view member_id) const {
  static const TargetAssignment none;
  const auto at = targets_.find(member_id);
  return at == targets_.end() ? none : at->second;
}

// --- Replay.

ShareMember& ShareGroup::member(const std::string& member_id) {
  const auto [at, is_new] = members_.try_emplace(member_id);
  if (is_new) at->second.id = member_id;
  return at->second;
}

void ShareGroup::count_topics(const ShareMember& member, int32_t by) {
  for (const std::string& name : member.metadata.subscribed_topic_names)
    count(subscribed_topics_, name, by);
}

Result<bool> ShareGroup::apply(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(const int16_t type, key_type(record.key));
  switch (type) {
    case wire::ShareGroupMetadataKey::kApiKey:
      if (!record.value) return false;
      RETURN_IF_ERROR(apply_epoch(record));
      break;
    case wire::ShareGroupMemberMetadataKey::kApiKey: RETURN_IF_ERROR(apply_member(record)); break;
    case wire::ShareGroupTargetAssignmentMetadataKey::kApiKey:
      RETURN_IF_ERROR(apply_assignment_epoch(record));
      break;
    case wire::ShareGroupTargetAssignmentMemberKey::kApiKey:
      RETURN_IF_ERROR(apply_target(record));
      break;
    case wire::ShareGroupCurrentMemberAssignmentKey::kApiKey:
      RETURN_IF_ERROR(apply_current(record));
      break;
    case wire::ShareGroupStatePartitionMetadataKey::kApiKey:
      RETURN_IF_ERROR(apply_partitions(record));
      break;
    default: break;
  }
  return true;
}

Result<> ShareGroup::apply_epoch(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::ShareGroupMetadataValue>(*record.value));
  epoch_ = value.epoch;
  metadata_hash_ = value.metadata_hash;
  return {};
}

Result<> ShareGroup::apply_assignment_epoch(const machine::KeyValueRecord& record) {
  wire::ShareGroupTargetAssignmentMetadataValue value;
  value.assignment_epoch = kNoAssignment;
  if (record.value) {
    ASSIGN_OR_RETURN(
        value, wire::decode_value<wire::ShareGroupTargetAssignmentMetadataValue>(*record.value));
  }
  assignment_epoch_ = value.assignment_epoch;
  assignment_timestamp_ = TimestampMs(value.assignment_timestamp);
  return {};
}

Result<> ShareGroup::apply_member(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key, wire::decode_key<wire::ShareGroupMemberMetadataKey>(record.key));
  if (!record.value) {
    const auto at = members_.find(key.member_id);
    if (at == members_.end()) return {};
    count_topics(at->second, -1);
    members_.erase(at);
    return {};
  }
  ASSIGN_OR_RETURN(auto value, wire::decode_value<ShareMemberMetadata>(*record.value));
  normalise(value);
  ShareMember& known = member(key.member_id);
  count_topics(known, -1);
  known.metadata = std::move(value);
  count_topics(known, 1);
  return {};
}

Result<> ShareGroup::apply_current(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key,
                   wire::decode_key<wire::ShareGroupCurrentMemberAssignmentKey>(record.key));
  ShareAssignment now{.member_epoch = kLeavingEpoch, .previous_epoch = kLeavingEpoch};
  if (record.value) {
    ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::ShareGroupCurrentMemberAssignmentValue>(
                                     *record.value));
    now = current_of(value);
  } else if (!members_.contains(key.member_id)) {
    return {};
  }
  member(key.member_id).current = std::move(now);
  return {};
}

Result<> ShareGroup::apply_target(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key,
                   wire::decode_key<wire::ShareGroupTargetAssignmentMemberKey>(record.key));
  if (!record.value) {
    targets_.erase(key.member_id);
    return {};
  }
  ASSIGN_OR_RETURN(auto value,
                   wire::decode_value<wire::ShareGroupTargetAssignmentMemberValue>(*record.value));
  targets_.insert_or_assign(key.member_id, target_of(value));
  return {};
}

Result<> ShareGroup::apply_partitions(const machine::KeyValueRecord& record) {
  if (!record.value) {
    partitions_.reset();
    return {};
  }
  ASSIGN_OR_RETURN(auto value,
                   wire::decode_value<wire::ShareGroupStatePartitionMetadataValue>(*record.value));
  partitions_ = partitions_of(value);
  return {};
}

std::vector<machine::KeyValueRecord> ShareGroup::tombstones() const {
  const ShareRecords write(id_);
  std::vector<machine::KeyValueRecord> records;
  for (const auto& [member_id, member] : members_) records.push_back(write.no_current(member_id));
  for (const auto& [member_id, member] : members_) records.push_back(write.no_target(member_id));
  // Of members that are none: another's log may have them.
  for (const auto& [member_id, target] : targets_)
    if (!members_.contains(member_id)) records.push_back(write.no_target(member_id));
  records.push_back(write.no_assignment_epoch());
  for (const auto& [member_id, member] : members_) records.push_back(write.no_member(member_id));
  records.push_back(write.no_partitions());
  records.push_back(write.no_epoch());
  return records;
}

void ShareGroup::check_invariants() const {
  ShareGroup again(id_);
  for (const auto& [member_id, member] : members_) {
    ASSERT(member.id == member_id, "GC9 {} {}", id_, member_id);
    again.count_topics(member, 1);
  }
  ASSERT(again.subscribed_topics_ == subscribed_topics_, "GC9 {} topics", id_);
}

}  // namespace millrace::group
