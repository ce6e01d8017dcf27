// Groups that go from the classic protocol to the consumer protocol and back, while their members
// go on working. An upgrade happens with the first member of the consumer protocol, a downgrade
// when the last one goes. What members own, they keep.
#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "group/classic_protocol.h"
#include "group/consumer_protocol.h"
#include "group/embedded_protocol.h"
#include "group/records.h"

namespace millrace::group {
namespace {

constexpr std::string_view kConsumers = "consumer";

std::unexpected<Refusal> cannot_upgrade(const std::string& group_id, std::string_view why) {
  return std::unexpected(Refusal{
      ErrorCode::kGroupIdNotFound,
      fmt::format("Cannot upgrade classic group {} to consumer group because {}", group_id, why)});
}

// Nothing: what its leader assigned cannot be read. Topics that are gone are left out.
Result<TargetAssignment> assignment_of(const ClassicMember& member, const Topics& topics) {
  TargetAssignment assignment;
  if (member.assignment.empty()) return assignment;
  ASSIGN_OR_RETURN(auto value, parse_assignment(member.assignment));
  if (value.user_data && !value.user_data->empty())
    return fail(Errc::kUnsupported, "an assignor of its own");
  wire::ConsumerGroupTargetAssignmentMemberValue target;
  for (auto& topic : value.assigned_partitions)
    if (const auto id = topics.id_of(topic.topic))
      target.topic_partitions.push_back(
          {.topic_id = *id, .partitions = std::move(topic.partitions)});
  return target_of(target);
}

CurrentAssignment owned_at(int32_t generation, const TargetAssignment& assignment) {
  CurrentAssignment current{.member_epoch = generation, .previous_epoch = generation};
  for (const auto& [topic_id, partitions] : assignment)
    for (const int32_t partition : partitions) current.assigned[topic_id][partition] = generation;
  return current;
}

Result<MemberMetadata> metadata_of(const ClassicMember& member, std::string_view protocol) {
  ASSIGN_OR_RETURN(auto subscription, parse_subscription(member.metadata_of(protocol)));
  MemberMetadata metadata = new_member_metadata();
  metadata.instance_id = member.instance_id;
  if (subscription.rack_id && !subscription.rack_id->empty())
    metadata.rack_id = std::move(subscription.rack_id);
  metadata.rebalance_timeout_ms = member.rebalance_timeout_ms;
  metadata.client_id = member.client_id;
  metadata.client_host = member.client_host;
  metadata.subscribed_topic_names = std::move(subscription.topics);
  std::ranges::sort(metadata.subscribed_topic_names);
  auto& classic = metadata.classic_member_metadata.emplace();
  classic.session_timeout_ms = member.session_timeout_ms;
  for (const MemberProtocol& each : member.protocols)
    classic.supported_protocols.push_back({.name = each.name, .metadata = each.metadata});
  return metadata;
}

ClassicMember classic_member_of(const ConsumerMember& member) {
  const ClassicMetadata& classic = *member.metadata.classic_member_metadata;
  ClassicMember result;
  result.id = member.id;
  result.instance_id = member.metadata.instance_id;
  result.client_id = member.metadata.client_id;
  result.client_host = member.metadata.client_host;
  result.rebalance_timeout_ms = member.metadata.rebalance_timeout_ms;
  result.session_timeout_ms = classic.session_timeout_ms;
  for (const auto& protocol : classic.supported_protocols)
    result.protocols.push_back({protocol.name, protocol.metadata});
  return result;
}

bool upgrades(MigrationPolicy policy) {
  return policy == MigrationPolicy::kBidirectional || policy == MigrationPolicy::kUpgrade;
}
bool downgrades(MigrationPolicy policy) {
  return policy == MigrationPolicy::kBidirectional || policy == MigrationPolicy::kDowngrade;
}

}  // namespace

MigrationPolicy migration_policy(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower == "bidirectional") return MigrationPolicy::kBidirectional;
  if (lower == "upgrade") return MigrationPolicy::kUpgrade;
  if (lower == "downgrade") return MigrationPolicy::kDowngrade;
  return MigrationPolicy::kDisabled;
}

// --- To the consumer protocol.

ConsumerProtocol::Outcome ConsumerProtocol::upgrade(ClassicGroup& group, Change& change) {
  if (!upgrades(state_.config.migration))
    return cannot_upgrade(group.id(), "online upgrade is disabled.");
  if (!group.uses_consumer_protocol())
    return cannot_upgrade(group.id(), "the group does not use the consumer embedded protocol.");
  if (std::cmp_greater(group.members().size(), state_.config.consumer_max_size))
    return cannot_upgrade(group.id(), "the group size exceeds the consumer group maximum size.");
  // In its first rebalance none is chosen yet.
  const std::string protocol = group.protocol() ? *group.protocol() : group.select_protocol();
  const int32_t generation = group.generation();
  std::vector<KeyValueRecord> members, targets, currents;
  const ConsumerRecords write(group.id());
  SubscribedTopics topics;
  for (const auto& [member_id, member] : group.members()) {
    const auto metadata = metadata_of(member, protocol);
    const auto assignment = assignment_of(member, topics_);
    if (!assignment && assignment.error().code == Errc::kUnsupported)
      return cannot_upgrade(group.id(),
                            "an unsupported custom assignor is in use. Please refer to the "
                            "documentation or switch to a default assignor before re-attempting "
                            "the upgrade.");
    if (!metadata || !assignment)
      return cannot_upgrade(group.id(), "the embedded consumer protocol is malformed.");
    count_names(topics, *metadata, 1);
    members.push_back(write.member(member_id, *metadata));
    targets.push_back(write.target(member_id, *assignment));
    currents.push_back(write.current(member_id, owned_at(generation, *assignment)));
  }
  std::vector<KeyValueRecord> records = std::move(members);
  records.push_back(write.epoch({generation, metadata_hash(topics)}));
  std::ranges::move(targets, std::back_inserter(records));
  records.push_back(write.assignment_epoch(generation, TimestampMs(0)));
  std::ranges::move(currents, std::back_inserter(records));
  append(group_metadata_tombstone(group.id()));
  ConsumerGroup& made = change.made.emplace(group.id());
  for (KeyValueRecord& record : records) {
    ASSERT(made.apply(record).has_value(), "{}", group.id());
    append(std::move(record));
  }
  change.group = &made;
  change.upgraded = &group;
  LOG_INFO("group {}: {} classic members go on in a consumer group", group.id(),
           group.members().size());
  return {};
}

// Who waits in the classic group joins again, and finds a consumer group.
void ConsumerProtocol::finish_upgrade(const Change& change) {
  if (change.upgraded == nullptr) return;
  ClassicGroup& group = *change.upgraded;
  ClassicProtocol(step_).answer_all(group, ErrorCode::kRebalanceInProgress);
  for (const auto& [member_id, member] : group.members())
    arm(TimerKind::kMemberSession, *change.group, member_id,
        milliseconds(member.session_timeout_ms));
}

// --- And back.

bool ConsumerProtocol::may_downgrade(const ConsumerGroup& group, const MemberIds& without) const {
  int32_t classic = group.classic_members();
  for (const std::string& member_id : without)
    if (group.find(member_id)->uses_classic()) --classic;
  const auto left = static_cast<int32_t>(group.members().size() - without.size());
  return classic == left && left > 0 && downgrades(state_.config.migration) &&
         left <= state_.config.max_size;
}

bool ConsumerProtocol::may_downgrade_replacing(const ConsumerGroup& group,
                                               const ConsumerMember& replaced) const {
  const auto members = static_cast<int32_t>(group.members().size());
  return !replaced.uses_classic() && group.classic_members() == members - 1 &&
         downgrades(state_.config.migration) && members <= state_.config.max_size;
}

bool ConsumerProtocol::downgrade(const ConsumerGroup& group, const Downgrade& how) {
  ClassicGroup classic(group.id(), step_.wall);
  std::map<std::string, const TargetAssignment*> targets;
  for (const auto& [member_id, member] : group.members()) {
    if (how.leaving.contains(member_id) || &member == how.replaced) continue;
    targets[member_id] = &group.target(member_id);
    classic.add(classic_member_of(member), kConsumers);
  }
  if (how.joining != nullptr) {
    targets[how.joining->id] = &group.target(how.replaced->id);
    classic.add(classic_member_of(*how.joining), kConsumers);
  }
  // Only a log that was damaged has members without a common protocol.
  if (!classic.has_common_protocol()) return false;
  wire::GroupMetadataValue value = classic.to_record();
  value.generation = group.epoch();
  value.protocol = classic.select_protocol();
  value.current_state_timestamp = step_.wall.value();
  for (auto& member : value.members) {
    member.subscription = classic.find(member.member_id)->metadata_of(*value.protocol);
    member.assignment = serialize_assignment(*targets.at(member.member_id), topics_,
                                             version_of(member.subscription));
  }
  KeyValueRecord written = group_metadata_record(group.id(), value);
  if (!step_.takes(written)) return false;
  using Replacement = ConsumerGroup::Replacement;
  std::optional<Replacement> replacement;
  if (how.joining) replacement = Replacement{how.replaced->id, how.joining->id};
  for (auto& record : group.tombstones(replacement)) append(std::move(record));
  append(std::move(written));
  classic.restore(std::move(value));
  LOG_INFO("group {}: {} classic members are left, and go on in a classic group", group.id(),
           classic.members().size());
  const std::string group_id = group.id();
  state_.soft_groups.erase(group_id);
  Group& now = state_.groups.insert_or_assign(group_id, std::move(classic)).first->second;
  ClassicProtocol(step_).adopt(*now.as<ClassicGroup>(), how.rebalance);
  return true;
}

}  // namespace millrace::group
