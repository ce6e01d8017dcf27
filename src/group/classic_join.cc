// JoinGroup: who may join, under which id, and what a join does to the group's state.
#include <algorithm>

#include "group/classic_protocol.h"
#include "group/consumer_protocol.h"
#include "group/records.h"

namespace millrace::group {
namespace {

constexpr int16_t kNeedsKnownMemberId = 4;    // KIP-394
constexpr int16_t kNullableProtocolName = 7;  // before: "" stands for none
constexpr int16_t kKnowsSkipAssignment = 9;   // KIP-814
constexpr int16_t kHasRebalanceTimeout = 1;

// Kafka's collection of protocols is a map by name: the first of a name counts.
std::vector<MemberProtocol> distinct(
    const std::vector<wire::JoinGroupRequest::JoinGroupRequestProtocol>& requested) {
  std::vector<MemberProtocol> protocols;
  std::set<std::string_view> seen;
  for (const auto& protocol : requested)
    if (seen.insert(protocol.name).second) protocols.push_back({protocol.name, protocol.metadata});
  return protocols;
}

// As java.util.UUID prints it.
std::string uuid_text(const Uuid& id) {
  std::string text;
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", id.bytes[i]);
  }
  return text;
}

}  // namespace

ErrorCode ClassicProtocol::check_join(const wire::JoinGroupRequest& request) const {
  if (request.group_id.empty()) return ErrorCode::kInvalidGroupId;
  const milliseconds session(request.session_timeout_ms);
  if (session < state_.config.min_session_timeout || session > state_.config.max_session_timeout)
    return ErrorCode::kInvalidSessionTimeout;
  return ErrorCode::kNone;
}

void ClassicProtocol::join(const wire::JoinGroupRequest& request, const RequestContext& context) {
  const bool has_timeout = context.api_version >= kHasRebalanceTimeout;
  const Join join{request, context, distinct(request.protocols),
                  has_timeout ? request.rebalance_timeout_ms : request.session_timeout_ms};
  if (const ErrorCode error = check_join(request); error != ErrorCode::kNone)
    return refuse_join(join, error, request.member_id);
  if (ClassicGroup* group = group_to_join(join)) join_group(*group, join);
}

ClassicGroup* ClassicProtocol::group_to_join(const Join& join) {
  const std::string& id = join.request.group_id;
  Group* group = state_.find(id);
  if (auto* classic = group ? group->as<ClassicGroup>() : nullptr) return classic;
  const auto* consumer = group ? group->as<ConsumerGroup>() : nullptr;
  if (consumer != nullptr && !consumer->is_empty()) {
    ConsumerProtocol(step_).join(*consumer, join.request, join.context);
    return nullptr;
  }
  const auto* streams = group ? group->as<StreamsGroup>() : nullptr;
  const bool is_share = group && group->as<ShareGroup>() != nullptr;
  if (is_share || (streams && !streams->is_empty())) {
    refuse_join(join, ErrorCode::kInconsistentGroupProtocol, "");
    return nullptr;
  }
  if (!join.request.member_id.empty()) {
    refuse_join(join, ErrorCode::kUnknownMemberId, join.request.member_id);
    return nullptr;
  }
  if (group != nullptr) {
    for (auto& record : consumer ? consumer->tombstones() : streams->tombstones())
      step_.append(std::move(record));
    state_.groups.erase(id);
    state_.soft_groups.erase(id);
  }
  Group& made = state_.groups.emplace(id, ClassicGroup(id, step_.wall)).first->second;
  write(*made.as<ClassicGroup>());
  return made.as<ClassicGroup>();
}

bool ClassicProtocol::accepts(ClassicGroup& group, std::string_view member_id) const {
  const ClassicMember* member = group.find(member_id);
  const auto limit = static_cast<size_t>(std::max(state_.config.max_size, 0));
  switch (group.state()) {
    case ClassicState::kEmpty: return true;
    // Those who have joined count, not the members: so the last to rejoin is the one left out when
    // the limit was lowered.
    case ClassicState::kPreparingRebalance:
      return (member && member->join) || group.parked_joins() < limit;
    default: return member || group.members().size() < limit;
  }
}

void ClassicProtocol::join_group(ClassicGroup& group, const Join& join) {
  const auto& request = join.request;
  const std::string* instance =
      request.group_instance_id ? group.static_member(*request.group_instance_id) : nullptr;
  const std::string member_id =
      request.member_id.empty() && instance ? *instance : request.member_id;
  if (!accepts(group, member_id)) {
    group.unused_ids().erase(request.member_id);
    group.remove(request.member_id);
    refuse_join(join, ErrorCode::kGroupMaxSizeReached, "");
    return complete_if_all_joined(group);
  }
  if (!group.supports(request.protocol_type, join.protocols))
    return refuse_join(join, ErrorCode::kInconsistentGroupProtocol, request.member_id);
  if (request.member_id.empty())
    join_new(group, join);
  else
    join_existing(group, join);
}

void ClassicProtocol::join_new(ClassicGroup& group, const Join& join) {
  const auto& instance = join.request.group_instance_id;
  const std::string id =
      fmt::format("{}-{}", instance ? std::string_view(*instance) : join.context.client_id,
                  uuid_text(join.context.fresh_id));
  if (instance && group.static_member(*instance)) return replace_static(group, join, id);
  if (!instance && join.context.api_version >= kNeedsKnownMemberId)
    return give_out_id(group, join, id);
  add_member(group, join, id);
}

void ClassicProtocol::give_out_id(ClassicGroup& group, const Join& join,
                                  const std::string& member_id) {
  Timer& session = group.unused_ids()[member_id];
  state_.timers.arm(session, step_.now + milliseconds(join.request.session_timeout_ms),
                    {TimerKind::kSession, group.id(), member_id});
  refuse_join(join, ErrorCode::kMemberIdRequired, member_id);
}

void ClassicProtocol::add_member(ClassicGroup& group, const Join& join, std::string member_id) {
  ClassicMember member;
  member.id = std::move(member_id);
  member.instance_id = join.request.group_instance_id;
  member.client_id = join.context.client_id;
  member.client_host = join.context.client_host;
  member.rebalance_timeout_ms = join.rebalance_timeout_ms;
  member.session_timeout_ms = join.request.session_timeout_ms;
  member.protocols = join.protocols;
  member.is_new = true;
  if (group.is_initial_rebalance()) group.phases().joined_during_delay = true;
  ClassicMember& added = group.add(std::move(member), join.request.protocol_type);
  group.park_join(added, join.parked());
  // It has no id yet, so it cannot send heartbeats, and a client that gave up would stay forever.
  arm_session(group, added, state_.config.new_member_join_timeout);
  rebalance_or_complete(group);
}

void ClassicProtocol::join_existing(ClassicGroup& group, const Join& join) {
  const auto& request = join.request;
  if (group.unused_ids().contains(request.member_id)) {
    // Ids are given out to dynamic members only.
    if (request.group_instance_id) return refuse_join(join, ErrorCode::kUnknownServerError, "");
    return add_member(group, join, request.member_id);
  }
  const ErrorCode error = check_member(group, request.member_id, request.group_instance_id);
  if (error != ErrorCode::kNone) return refuse_join(join, error, request.member_id);
  rejoin(group, *group.find(request.member_id), join);
}

void ClassicProtocol::rejoin(ClassicGroup& group, ClassicMember& member, const Join& join) {
  const bool changed = member.protocols != join.protocols;
  // A leader joins again to have partitions assigned anew, though nothing it says has changed.
  const bool again = group.is_in(ClassicState::kStable) && group.is_leader(member.id);
  if (group.is_in(ClassicState::kPreparingRebalance) || changed || again) {
    update_member(group, member, join);
    return rebalance_or_complete(group);
  }
  reply_join(join.parked(), current_generation(group, member));
}

void ClassicProtocol::update_member(ClassicGroup& group, ClassicMember& member, const Join& join) {
  if (const auto superseded = group.unpark_join(member))
    refuse_join(*superseded, ErrorCode::kRebalanceInProgress, member.id);
  group.set_protocols(member, join.protocols);
  member.rebalance_timeout_ms = join.rebalance_timeout_ms;
  member.session_timeout_ms = join.request.session_timeout_ms;
  group.park_join(member, join.parked());
}

void ClassicProtocol::replace_static(ClassicGroup& group, const Join& join,
                                     const std::string& new_id) {
  const std::string& instance = *join.request.group_instance_id;
  const std::string old_leader = group.leader().value_or("");
  ClassicMember& old = *group.find(*group.static_member(instance));
  if (const auto parked = group.unpark_join(old))
    refuse_join(*parked, ErrorCode::kFencedInstanceId, old.id);
  if (const auto parked = std::exchange(old.sync, std::nullopt))
    refuse_sync(parked->ticket, ErrorCode::kFencedInstanceId);

  ClassicMember& member = group.replace_static(instance, new_id);
  member.client_id = join.context.client_id;
  member.client_host = join.context.client_host;
  update_member(group, member, join);
  keep_alive(group, member);
  if (group.is_in(ClassicState::kStable) && group.protocol() == group.select_protocol() &&
      step_.takes(group_metadata_record(group.id(), group.to_record())))
    return answer_replaced(group, member, join, old_leader);
  // In CompletingRebalance the leader may be assigning to the old id already: begin again.
  rebalance_or_complete(group);
}

void ClassicProtocol::answer_replaced(ClassicGroup& group, const ClassicMember& member,
                                      const Join& join, const std::string& old_leader) {
  group.unpark_join(*group.find(member.id));
  write(group);
  wire::JoinGroupResponse response = current_generation(group, member);
  if (join.context.api_version >= kKnowsSkipAssignment) {
    response.skip_assignment = group.is_leader(member.id);
    if (response.skip_assignment) {
      for (const auto& [id, other] : group.members())
        response.members.push_back({.member_id = id,
                                    .group_instance_id = other.instance_id,
                                    .metadata = other.metadata_of(*group.protocol())});
    }
  } else {
    // A leader that reads another's name does not assign.
    response.leader = old_leader;
  }
  reply_join(join.parked(), std::move(response));
}

wire::JoinGroupResponse ClassicProtocol::current_generation(const ClassicGroup& group,
                                                            const ClassicMember& member) const {
  wire::JoinGroupResponse response;
  response.generation_id = group.generation();
  response.protocol_type = group.protocol_type();
  response.protocol_name = group.protocol();
  response.leader = group.leader().value_or("");
  response.member_id = member.id;
  if (group.is_in(ClassicState::kCompletingRebalance) && group.is_leader(member.id)) {
    for (const auto& [id, other] : group.members())
      response.members.push_back({.member_id = id,
                                  .group_instance_id = other.instance_id,
                                  .metadata = other.metadata_of(*group.protocol())});
  }
  return response;
}

void ClassicProtocol::refuse_join(const Join& join, ErrorCode error, std::string member_id) {
  refuse_join(join.parked(), error, std::move(member_id));
}

void ClassicProtocol::refuse_join(const Parked& request, ErrorCode error, std::string member_id) {
  wire::JoinGroupResponse response;
  response.error_code = code_of(error);
  response.member_id = std::move(member_id);
  response.protocol_name.reset();
  reply_join(request, std::move(response));
}

void ClassicProtocol::reply_join(const Parked& request, wire::JoinGroupResponse response) {
  if (request.api_version < kNullableProtocolName && !response.protocol_name)
    response.protocol_name = "";
  step_.reply(request.ticket, std::move(response));
}

}  // namespace millrace::group
