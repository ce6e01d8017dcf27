// Classic members in a consumer group: each of their requests is one step of the consumer protocol.
// JoinGroup is a heartbeat that tells all; the epoch that it leads to is the generation. SyncGroup
// fetches what that gave. Heartbeats only tell when to join again.
#include <algorithm>

#include "group/consumer_protocol.h"
#include "group/embedded_protocol.h"

namespace millrace::group {
namespace {

constexpr int16_t kNeedsKnownMemberId = 4;  // KIP-394
constexpr int16_t kHasRebalanceTimeout = 1;
constexpr std::string_view kConsumers = "consumer";

std::unexpected<Refusal> refuse(ErrorCode code) { return std::unexpected(Refusal{code, ""}); }

ClassicMetadata classic_metadata(const wire::JoinGroupRequest& request) {
  ClassicMetadata metadata;
  metadata.session_timeout_ms = request.session_timeout_ms;
  std::set<std::string_view> seen;
  for (const auto& protocol : request.protocols)
    if (seen.insert(protocol.name).second)
      metadata.supported_protocols.push_back(
          {.name = protocol.name, .metadata = protocol.metadata});
  return metadata;
}

OwnedTopics owned_topics(const wire::ConsumerProtocolSubscription& subscription,
                         const Topics& topics) {
  OwnedTopics owned;
  for (const auto& topic : subscription.owned_partitions)
    if (const auto id = topics.id_of(topic.topic))
      owned.push_back({.topic_id = *id, .partitions = topic.partitions});
  return owned;
}

void take_subscription(wire::ConsumerProtocolSubscription subscription, MemberMetadata& to) {
  if (subscription.rack_id && !subscription.rack_id->empty()) to.rack_id = subscription.rack_id;
  auto& names = to.subscribed_topic_names;
  names = std::move(subscription.topics);
  std::ranges::sort(names);
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
  to.subscribed_topic_regex = "";
}

const MemberMetadata::ClassicProtocol& first_protocol(const ConsumerMember& member) {
  return member.metadata.classic_member_metadata->supported_protocols.front();
}

TargetAssignment without_epochs(const OwnedPartitions& owned) {
  TargetAssignment assignment;
  for (const auto& [topic_id, partitions] : owned)
    for (const auto& [partition, epoch] : partitions) assignment[topic_id].push_back(partition);
  return assignment;
}

}  // namespace

void ConsumerProtocol::join(const ConsumerGroup& group, const wire::JoinGroupRequest& request,
                            const RequestContext& context) {
  const size_t records = step_.decision.records.size();
  auto outcome = join_group(group, request, context);
  if (outcome) return step_.reply(context.ticket, std::move(*outcome));
  step_.decision.records.resize(records);
  wire::JoinGroupResponse response;
  response.error_code = code_of(outcome.error().code);
  response.member_id = request.member_id;
  if (context.api_version >= 7) response.protocol_name.reset();
  step_.reply(context.ticket, std::move(response));
}

ConsumerProtocol::Expected<wire::JoinGroupResponse> ConsumerProtocol::join_group(
    const ConsumerGroup& group, const wire::JoinGroupRequest& request,
    const RequestContext& context) {
  if (state_.config.migration == MigrationPolicy::kDisabled)
    return refuse(ErrorCode::kInconsistentGroupProtocol);
  const bool is_new = request.member_id.empty();
  const std::string member_id = is_new ? context.fresh_id.to_string() : request.member_id;
  if (auto fits = check_size(group, member_id); !fits) return std::unexpected(fits.error());
  std::vector<std::string> names;
  for (const auto& protocol : request.protocols) names.push_back(protocol.name);
  if (names.empty() || !group.supports_classic(request.protocol_type, names))
    return refuse(ErrorCode::kInconsistentGroupProtocol);
  if (is_new && !request.group_instance_id && context.api_version >= kNeedsKnownMemberId) {
    wire::JoinGroupResponse response;
    response.member_id = member_id;
    response.error_code = code_of(ErrorCode::kMemberIdRequired);
    if (context.api_version >= 7) response.protocol_name.reset();
    return response;
  }
  Change change(context);
  change.group = &group;
  change.is_classic = true;
  change.may_create = is_new || !request.group_instance_id;
  return join_as(member_id, request, change);
}

ConsumerProtocol::Expected<wire::JoinGroupResponse> ConsumerProtocol::join_as(
    const std::string& member_id, const wire::JoinGroupRequest& request, Change& change) {
  auto subscription = parse_subscription(request.protocols.front().metadata);
  if (!subscription) return refuse(ErrorCode::kUnknownServerError);
  const OwnedTopics owned = owned_topics(*subscription, topics_);
  change.owned = &owned;
  const ConsumerGroup& group = *change.group;
  const auto& instance = request.group_instance_id;
  const ConsumerMember* replaced = instance ? group.static_member(*instance) : nullptr;
  if (auto found = find_member({member_id, -1, instance}, change); !found)
    return std::unexpected(found.error());
  change.metadata = change.member.metadata;
  if (instance) change.metadata.instance_id = instance;
  const int32_t rebalance_timeout = change.context.api_version >= kHasRebalanceTimeout
                                        ? request.rebalance_timeout_ms
                                        : request.session_timeout_ms;
  if (rebalance_timeout != -1) change.metadata.rebalance_timeout_ms = rebalance_timeout;
  take_subscription(std::move(*subscription), change.metadata);
  change.metadata.client_id = change.context.client_id;
  change.metadata.client_host = change.context.client_host;
  change.metadata.classic_member_metadata = classic_metadata(request);
  if (auto changed = change_member(change); !changed) return std::unexpected(changed.error());
  update_epoch(change, change.subscription_changed());

  const bool downgrades = replaced && may_downgrade_replacing(group, *replaced);
  if (!downgrades) update_target(change);
  if (downgrades) {
    change.target_epoch = group.assignment_epoch();
    change.target = &group.target(replaced->id);
  }
  const bool rebalance = downgrades && group.assignment_epoch() < change.epoch;
  change.current = change.member.current;
  if (!rebalance)
    if (auto reconciled = reconcile_member(change); !reconciled)
      return std::unexpected(reconciled.error());
  if (auto fits = step_.check_sizes(); !fits) return std::unexpected(fits.error());

  wire::JoinGroupResponse response;
  response.member_id = change.member.id;
  response.generation_id = change.current.member_epoch;
  response.protocol_type = kConsumers;
  response.protocol_name = request.protocols.front().name;
  timers_of(group.id(), change.member.id).join.cancel();
  if (!downgrades) {
    arm(TimerKind::kMemberSession, group, change.member.id,
        milliseconds(request.session_timeout_ms));
    arm(TimerKind::kMemberSync, group, change.member.id, milliseconds(rebalance_timeout));
    return response;
  }
  const ConsumerMember joining{change.member.id, change.metadata, change.current};
  if (!downgrade(
          group,
          {.leaving = {}, .joining = &joining, .replaced = replaced, .rebalance = rebalance}))
    return refuse(ErrorCode::kGroupIdNotFound);
  return response;
}

ConsumerProtocol::Expected<const ConsumerMember*> ConsumerProtocol::classic_member(
    const ConsumerGroup& group, const Identity& identity) const {
  const auto& instance = identity.instance_id;
  const ConsumerMember* member =
      instance ? group.static_member(*instance) : group.find(identity.member_id);
  if (member == nullptr) return refuse(ErrorCode::kUnknownMemberId);
  if (member->id != identity.member_id) return refuse(ErrorCode::kFencedInstanceId);
  if (!member->uses_classic() ||
      member->metadata.classic_member_metadata->supported_protocols.empty())
    return refuse(ErrorCode::kUnknownMemberId);
  if (member->current.member_epoch != identity.epoch) return refuse(ErrorCode::kIllegalGeneration);
  return member;
}

ConsumerProtocol::Outcome ConsumerProtocol::check_sync(const ConsumerGroup& group,
                                                       const ConsumerMember& member,
                                                       const wire::SyncGroupRequest& request) {
  if (request.protocol_type && *request.protocol_type != kConsumers)
    return refuse(ErrorCode::kInconsistentGroupProtocol);
  if (request.protocol_name && *request.protocol_name != first_protocol(member).name)
    return refuse(ErrorCode::kInconsistentGroupProtocol);
  const CurrentAssignment& current = member.current;
  if (group.assignment_epoch() > current.member_epoch &&
      current.state != MemberState::kUnrevokedPartitions) {
    demand_join(group, member);
    return refuse(ErrorCode::kRebalanceInProgress);
  }
  return {};
}

// Heartbeats of the consumer protocol make a target that is due; where the policy keeps a group of
// classic members alone there are none. Apache Kafka leaves to nobody then, until somebody joins,
// what a member had that is gone.
bool ConsumerProtocol::needs_a_join(const ConsumerGroup& group) const {
  return group.assignment_epoch() < group.epoch() &&
         std::cmp_equal(group.classic_members(), group.members().size()) && is_target_due(group);
}

void ConsumerProtocol::demand_join(const ConsumerGroup& group, const ConsumerMember& member) {
  if (timers_of(group.id(), member.id).join.is_armed()) return;
  arm(TimerKind::kMemberJoin, group, member.id, milliseconds(member.metadata.rebalance_timeout_ms));
}

void ConsumerProtocol::sync(const ConsumerGroup& group, const wire::SyncGroupRequest& request,
                            const RequestContext& context) {
  wire::SyncGroupResponse response;
  const auto member =
      classic_member(group, {request.member_id, request.generation_id, request.group_instance_id});
  const Outcome fits =
      member ? check_sync(group, **member, request) : Outcome(std::unexpected(member.error()));
  if (!fits) {
    response.error_code = code_of(fits.error().code);
    return step_.reply(context.ticket, std::move(response));
  }
  const ConsumerMember& found = **member;
  timers_of(group.id(), found.id).sync.cancel();
  arm(TimerKind::kMemberSession, group, found.id,
      milliseconds(found.metadata.classic_member_metadata->session_timeout_ms));
  response.protocol_type = request.protocol_type;
  response.protocol_name = request.protocol_name;
  response.assignment = serialize_assignment(without_epochs(found.current.assigned), topics_,
                                             version_of(first_protocol(found).metadata));
  step_.reply(context.ticket, std::move(response));
}

void ConsumerProtocol::classic_heartbeat(const ConsumerGroup& group,
                                         const wire::HeartbeatRequest& request,
                                         const RequestContext& context) {
  wire::HeartbeatResponse response;
  const auto member =
      classic_member(group, {request.member_id, request.generation_id, request.group_instance_id});
  if (!member) {
    response.error_code = code_of(member.error().code);
    return step_.reply(context.ticket, std::move(response));
  }
  const ConsumerMember& found = **member;
  arm(TimerKind::kMemberSession, group, found.id,
      milliseconds(found.metadata.classic_member_metadata->session_timeout_ms));
  const CurrentAssignment& current = found.current;
  const bool rejoin =
      current.member_epoch < group.assignment_epoch() || needs_a_join(group) ||
      current.state == MemberState::kUnrevokedPartitions ||
      (current.state == MemberState::kUnreleasedPartitions && !group.waits_for_release(found));
  if (rejoin) {
    response.error_code = code_of(ErrorCode::kRebalanceInProgress);
    demand_join(group, found);
  }
  step_.reply(context.ticket, std::move(response));
}

}  // namespace millrace::group
