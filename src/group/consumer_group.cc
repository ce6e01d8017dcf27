#include "group/consumer_group.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "group/consumer_records.h"
#include "group/records.h"
#include "wire/codec.h"

namespace millrace::group {
namespace {

constexpr int32_t kNoAssignment = -1;  // the epoch behind its tombstone
constexpr std::string_view kConsumers = "consumer";

void normalise(MemberMetadata& metadata) {
  auto& names = metadata.subscribed_topic_names;
  std::ranges::sort(names);
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
}

SubscriptionCount& subscription(SubscribedTopics& topics, const std::string& name) {
  return topics.try_emplace(name).first->second;
}

}  // namespace

std::string_view state_name(ConsumerState state) {
  switch (state) {
    case ConsumerState::kEmpty: return "Empty";
    case ConsumerState::kAssigning: return "Assigning";
    case ConsumerState::kReconciling: return "Reconciling";
    case ConsumerState::kStable: return "Stable";
  }
  return "Dead";
}

void count(Counts& counts, std::string_view name, int32_t by) {
  auto at = counts.find(name);
  if (at == counts.end()) at = counts.emplace(std::string(name), 0).first;
  at->second += by;
  if (at->second == 0) counts.erase(at);
}

void count_names(SubscribedTopics& topics, const MemberMetadata& metadata, int32_t by) {
  for (const std::string& name : metadata.subscribed_topic_names) {
    subscription(topics, name).by_name += by;
    if (topics.find(name)->second.is_zero()) topics.erase(name);
  }
}

void count_regex(SubscribedTopics& topics, const ResolvedRegex& regex, int32_t by) {
  for (const std::string& name : regex.topics) {
    subscription(topics, name).by_regex += by;
    if (topics.find(name)->second.is_zero()) topics.erase(name);
  }
}

ConsumerState ConsumerGroup::state() const {
  if (members_.empty()) return ConsumerState::kEmpty;
  if (epoch_ > assignment_epoch_) return ConsumerState::kAssigning;
  const bool reconciled = std::ranges::all_of(members_, [&](const auto& entry) {
    return entry.second.current.is_reconciled_to(assignment_epoch_);
  });
  return reconciled ? ConsumerState::kStable : ConsumerState::kReconciling;
}

const ConsumerMember* ConsumerGroup::find(std::string_view member_id) const {
  const auto at = members_.find(member_id);
  return at == members_.end() ? nullptr : &at->second;
}

const ConsumerMember* ConsumerGroup::static_member(std::string_view instance_id) const {
  const auto at = static_members_.find(instance_id);
  return at == static_members_.end() ? nullptr : find(at->second);
}

const TargetAssignment& ConsumerGroup::target(std::string_view member_id) const {
  static const TargetAssignment none;
  const auto at = targets_.find(member_id);
  return at == targets_.end() ? none : at->second;
}

bool ConsumerGroup::is_owned(const Uuid& topic_id, int32_t partition) const {
  const auto topic = owners_.find(topic_id);
  return topic != owners_.end() && topic->second.contains(partition);
}

bool ConsumerGroup::waits_for_release(const ConsumerMember& member) const {
  if (member.current.state != MemberState::kUnreleasedPartitions) return false;
  for (const auto& [topic_id, partitions] : target(member.id))
    for (const int32_t partition : partitions)
      if (!contains(member.current.assigned, topic_id, partition) && is_owned(topic_id, partition))
        return true;
  return false;
}

int32_t ConsumerGroup::subscribers_of(std::string_view regex) const {
  const auto at = regexes_.find(regex);
  return at == regexes_.end() ? 0 : at->second;
}

const ResolvedRegex* ConsumerGroup::resolved(std::string_view regex) const {
  const auto at = resolved_.find(regex);
  return at == resolved_.end() ? nullptr : &at->second;
}

bool ConsumerGroup::supports_classic(std::string_view protocol_type,
                                     const std::vector<std::string>& protocols) const {
  if (protocol_type != kConsumers) return false;
  if (is_empty()) return !protocols.empty();
  return std::ranges::any_of(protocols, [&](const std::string& name) {
    const auto at = classic_protocols_.find(name);
    return (at == classic_protocols_.end() ? 0 : at->second) == classic_members_;
  });
}

// --- Replay.

ConsumerMember& ConsumerGroup::member(const std::string& member_id) {
  const auto [at, is_new] = members_.try_emplace(member_id);
  if (is_new) {
    at->second.id = member_id;
    count_metadata(at->second, 1);
  }
  return at->second;
}

void ConsumerGroup::count_metadata(const ConsumerMember& member, int32_t by) {
  const MemberMetadata& metadata = member.metadata;
  count_names(subscribed_topics_, metadata, by);
  if (!member.regex().empty()) count(regexes_, member.regex(), by);
  if (metadata.server_assignor) count(assignors_, *metadata.server_assignor, by);
  if (const auto& instance = metadata.instance_id) {
    if (by > 0)
      static_members_[*instance] = member.id;
    else if (const auto at = static_members_.find(*instance);
             at != static_members_.end() && at->second == member.id)
      static_members_.erase(at);
  }
  if (!member.uses_classic()) return;
  classic_members_ += by;
  for (const auto& protocol : metadata.classic_member_metadata->supported_protocols)
    count(classic_protocols_, protocol.name, by);
}

void ConsumerGroup::count_owned(const OwnedPartitions& owned, int32_t by) {
  for (const auto& [topic_id, partitions] : owned) {
    auto& owners = owners_[topic_id];
    for (const auto& [partition, epoch] : partitions) {
      const auto at = owners.try_emplace(partition, 0).first;
      at->second += by;
      if (at->second == 0) owners.erase(at);
    }
    if (owners.empty()) owners_.erase(topic_id);
  }
}

Result<bool> ConsumerGroup::apply(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(const int16_t type, key_type(record.key));
  switch (type) {
    case wire::ConsumerGroupMetadataKey::kApiKey:
      if (!record.value) return false;
      RETURN_IF_ERROR(apply_epoch(record));
      break;
    case wire::ConsumerGroupPartitionMetadataKey::kApiKey:
      has_partition_metadata_ = record.value.has_value();
      break;
    case wire::ConsumerGroupMemberMetadataKey::kApiKey:
      RETURN_IF_ERROR(apply_member(record));
      break;
    case wire::ConsumerGroupTargetAssignmentMetadataKey::kApiKey:
      RETURN_IF_ERROR(apply_assignment_epoch(record));
      break;
    case wire::ConsumerGroupTargetAssignmentMemberKey::kApiKey:
      RETURN_IF_ERROR(apply_target(record));
      break;
    case wire::ConsumerGroupCurrentMemberAssignmentKey::kApiKey:
      RETURN_IF_ERROR(apply_current(record));
      break;
    case wire::ConsumerGroupRegularExpressionKey::kApiKey:
      RETURN_IF_ERROR(apply_regex(record));
      break;
    default: break;
  }
  return true;
}

Result<> ConsumerGroup::apply_epoch(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::ConsumerGroupMetadataValue>(*record.value));
  epoch_ = value.epoch;
  metadata_hash_ = value.metadata_hash;
  return {};
}

Result<> ConsumerGroup::apply_assignment_epoch(const machine::KeyValueRecord& record) {
  wire::ConsumerGroupTargetAssignmentMetadataValue value;
  value.assignment_epoch = kNoAssignment;
  if (record.value) {
    ASSIGN_OR_RETURN(
        value, wire::decode_value<wire::ConsumerGroupTargetAssignmentMetadataValue>(*record.value));
  }
  assignment_epoch_ = value.assignment_epoch;
  assignment_timestamp_ = TimestampMs(value.assignment_timestamp);
  return {};
}

Result<> ConsumerGroup::apply_member(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key, wire::decode_key<wire::ConsumerGroupMemberMetadataKey>(record.key));
  if (!record.value) {
    const auto at = members_.find(key.member_id);
    if (at == members_.end()) return {};
    count_metadata(at->second, -1);
    count_owned(at->second.current.assigned, -1);
    count_owned(at->second.current.revoking, -1);
    members_.erase(at);
    return {};
  }
  ASSIGN_OR_RETURN(auto value, wire::decode_value<MemberMetadata>(*record.value));
  normalise(value);
  ConsumerMember& known = member(key.member_id);
  count_metadata(known, -1);
  known.metadata = std::move(value);
  count_metadata(known, 1);
  return {};
}

Result<> ConsumerGroup::apply_current(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key,
                   wire::decode_key<wire::ConsumerGroupCurrentMemberAssignmentKey>(record.key));
  CurrentAssignment now{.member_epoch = kLeavingEpoch, .previous_epoch = kLeavingEpoch};
  if (record.value) {
    ASSIGN_OR_RETURN(
        auto value,
        wire::decode_value<wire::ConsumerGroupCurrentMemberAssignmentValue>(*record.value));
    now = current_of(value);
  } else if (!members_.contains(key.member_id)) {
    return {};
  }
  ConsumerMember& known = member(key.member_id);
  count_owned(known.current.assigned, -1);
  count_owned(known.current.revoking, -1);
  known.current = std::move(now);
  count_owned(known.current.assigned, 1);
  count_owned(known.current.revoking, 1);
  return {};
}

Result<> ConsumerGroup::apply_target(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key,
                   wire::decode_key<wire::ConsumerGroupTargetAssignmentMemberKey>(record.key));
  if (!record.value) {
    targets_.erase(key.member_id);
    return {};
  }
  ASSIGN_OR_RETURN(auto value, wire::decode_value<wire::ConsumerGroupTargetAssignmentMemberValue>(
                                   *record.value));
  targets_.insert_or_assign(key.member_id, target_of(value));
  return {};
}

Result<> ConsumerGroup::apply_regex(const machine::KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto key, wire::decode_key<wire::ConsumerGroupRegularExpressionKey>(record.key));
  std::optional<ResolvedRegex> now;
  if (record.value) {
    ASSIGN_OR_RETURN(auto value,
                     wire::decode_value<wire::ConsumerGroupRegularExpressionValue>(*record.value));
    now.emplace();
    now->topics.insert(value.topics.begin(), value.topics.end());
    now->version = value.version;
    now->timestamp = TimestampMs(value.timestamp);
  }
  if (const auto at = resolved_.find(key.regular_expression); at != resolved_.end()) {
    count_regex(subscribed_topics_, at->second, -1);
    resolved_.erase(at);
  }
  if (!now) return {};
  count_regex(subscribed_topics_, *now, 1);
  resolved_.emplace(key.regular_expression, std::move(*now));
  return {};
}

std::vector<machine::KeyValueRecord> ConsumerGroup::tombstones(
    const std::optional<Replacement>& replacement) const {
  const ConsumerRecords write(id_);
  std::vector<std::string> ids;
  for (const auto& [member_id, member] : members_)
    ids.emplace_back(replacement && replacement->replaced == member_id ? replacement->by
                                                                       : member_id);
  std::vector<machine::KeyValueRecord> records;
  for (const std::string& member_id : ids) records.push_back(write.no_current(member_id));
  for (const std::string& member_id : ids) records.push_back(write.no_target(member_id));
  // Of members that are none: another's log may have them.
  for (const auto& [member_id, target] : targets_)
    if (!members_.contains(member_id)) records.push_back(write.no_target(member_id));
  records.push_back(write.no_assignment_epoch());
  for (const std::string& member_id : ids) records.push_back(write.no_member(member_id));
  for (const auto& [regex, resolved] : resolved_) records.push_back(write.no_regex(regex));
  records.push_back(write.no_partition_metadata());
  records.push_back(write.no_epoch());
  return records;
}

void ConsumerGroup::check_invariants() const {
  ConsumerGroup again(id_);
  for (const auto& [regex, resolved] : resolved_)
    count_regex(again.subscribed_topics_, resolved, 1);
  for (const auto& [member_id, member] : members_) {
    ASSERT(member.id == member_id, "GC9 {} {}", id_, member_id);
    again.count_metadata(member, 1);
    again.count_owned(member.current.assigned, 1);
    again.count_owned(member.current.revoking, 1);
  }
  ASSERT(again.subscribed_topics_ == subscribed_topics_, "GC9 {} topics", id_);
  ASSERT(again.regexes_ == regexes_, "GC9 {} regular expressions", id_);
  ASSERT(again.assignors_ == assignors_, "GC9 {} assignors", id_);
  ASSERT(again.classic_protocols_ == classic_protocols_, "GC9 {} protocols", id_);
  ASSERT(again.classic_members_ == classic_members_, "GC9 {} classic members", id_);
  ASSERT(again.owners_ == owners_, "GC9 {} owners", id_);
  for (const auto& [instance_id, member_id] : static_members_) {
    const ConsumerMember* owner = find(member_id);
    ASSERT(owner && owner->metadata.instance_id == instance_id, "GC9 {} {}", id_, instance_id);
  }
}

bool is_consumer_group_record(int16_t record_type) {
  constexpr std::array<int16_t, 7> kTypes = {3, 4, 5, 6, 7, 8, 16};
  return std::ranges::find(kTypes, record_type) != kTypes.end();
}

}  // namespace millrace::group
