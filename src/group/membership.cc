// Joins, syncs, heartbeats, leaves: the membership half of the coordinator.
#include <algorithm>
#include <set>

#include "base/assert.h"
#include "group/coordinator.h"
#include "wire/codec.h"
#include "wire/group_records.h"

namespace millrace::group {
namespace {

using machine::Ticket;
using wire::ErrorCode;

constexpr int16_t kGroupRecordVersion = 3;  // what Kafka 4.3 writes
constexpr int16_t kMemberIdRequiredFrom = 4, kSkipAssignmentFrom = 9;
constexpr Duration kNewMemberJoinTimeout = seconds(300);
constexpr Duration kLeastPostponement = milliseconds(100);

template <class R>
void reply(Step& step, Ticket ticket, R response) {
  step.replies.push_back({ticket, std::move(response)});
}

template <class R>
Step just(Ticket ticket, ErrorCode code) {
  Step step;
  R response;
  response.error_code = wire::code_of(code);
  reply(step, ticket, std::move(response));
  return step;
}

std::vector<std::pair<std::string, ByteBuffer>> protocols_of(
    const wire::JoinGroupRequest& request) {
  std::vector<std::pair<std::string, ByteBuffer>> protocols;
  for (const auto& p : request.protocols) protocols.emplace_back(p.name, p.metadata);
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

std::string_view state_name(GroupState state) {
  switch (state) {
    case GroupState::kEmpty: return "Empty";
    case GroupState::kPreparingRebalance: return "PreparingRebalance";
    case GroupState::kCompletingRebalance: return "CompletingRebalance";
    case GroupState::kStable: return "Stable";
  }
  return "Dead";
}

Coordinator::Group* Coordinator::find(const std::string& id) {
  auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : &found->second;
}

const Coordinator::Group* Coordinator::find(const std::string& id) const {
  auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : &found->second;
}

Step Coordinator::refuse_join(const Caller& caller, ErrorCode code, std::string member_id) const {
  Step step;
  wire::JoinGroupResponse response;
  response.error_code = wire::code_of(code);
  response.member_id = std::move(member_id);
  response.protocol_name = caller.version >= 7 ? std::nullopt : std::optional<std::string>("");
  reply(step, caller.ticket, std::move(response));
  return step;
}

std::optional<ErrorCode> Coordinator::check_join(const wire::JoinGroupRequest& request) const {
  if (request.group_id.empty()) return ErrorCode::kInvalidGroupId;
  const Duration session = milliseconds(request.session_timeout_ms);
  if (session < config_.min_session || session > config_.max_session)
    return ErrorCode::kInvalidSessionTimeout;
  const Group* group = find(request.group_id);
  if (group == nullptr) {
    if (!request.member_id.empty()) return ErrorCode::kUnknownMemberId;
    if (request.protocol_type.empty() || request.protocols.empty())
      return ErrorCode::kInconsistentGroupProtocol;
    return std::nullopt;
  }
  const bool wrong_type = !group->members.empty() && group->protocol_type != request.protocol_type;
  if (wrong_type || request.protocols.empty() || !has_common_protocol(*group, request))
    return ErrorCode::kInconsistentGroupProtocol;
  const bool known =
      group->members.contains(request.member_id) || group->pending.contains(request.member_id);
  if (!known && group->members.size() + group->pending.size() >= config_.max_size)
    return ErrorCode::kGroupMaxSizeReached;
  return std::nullopt;
}

bool Coordinator::has_common_protocol(const Group& group,
                                      const wire::JoinGroupRequest& request) const {
  if (group.members.empty()) return true;
  return std::ranges::any_of(request.protocols, [&](const auto& offered) {
    return std::ranges::all_of(group.members, [&](const auto& entry) {
      return entry.first == request.member_id ||
             std::ranges::any_of(entry.second.protocols,
                                 [&](const auto& p) { return p.first == offered.name; });
    });
  });
}

Step Coordinator::join(const wire::JoinGroupRequest& request, const Caller& caller) {
  if (auto code = check_join(request)) return refuse_join(caller, *code, request.member_id);
  Group& group = groups_[request.group_id];
  if (group.id.empty()) {
    group.id = request.group_id;
    group.state_since = caller.wall;
  }
  if (request.member_id.empty()) return join_new(group, request, caller);
  if (group.pending.erase(request.member_id)) {
    Step step;
    add_member(group, request.member_id, request, caller);
    prepare_rebalance(group, caller.now, step);
    complete_join_when_all_are_there(group, caller, step);
    return step;
  }
  if (auto code = check_member(group, request.member_id, request.group_instance_id))
    return refuse_join(caller, *code, request.member_id);
  return rejoin(group, group.members.at(request.member_id), request, caller);
}

Step Coordinator::join_new(Group& group, const wire::JoinGroupRequest& request,
                           const Caller& caller) {
  const auto& instance = request.group_instance_id;
  if (instance) {
    auto same = std::ranges::find_if(
        group.members, [&](const auto& entry) { return entry.second.instance_id == instance; });
    if (same != group.members.end()) return join_static_again(group, same->second, request, caller);
  }
  const std::string id =
      (instance ? *instance : caller.client_id) + "-" + uuid_text(caller.fresh_id);
  if (!instance && caller.version >= kMemberIdRequiredFrom) {
    group.pending[id] = caller.now + milliseconds(request.session_timeout_ms);
    return refuse_join(caller, ErrorCode::kMemberIdRequired, id);
  }
  Step step;
  add_member(group, id, request, caller);
  prepare_rebalance(group, caller.now, step);
  complete_join_when_all_are_there(group, caller, step);
  return step;
}

Coordinator::Member& Coordinator::add_member(Group& group, const std::string& id,
                                             const wire::JoinGroupRequest& request,
                                             const Caller& caller) {
  if (group.members.empty()) group.protocol_type = request.protocol_type;
  if (!group.leader) group.leader = id;
  Member& member = group.members[id];
  member = {.id = id,
            .instance_id = request.group_instance_id,
            .client_id = caller.client_id,
            .client_host = "/" + caller.client_host,
            .rebalance_timeout_ms =
                caller.version == 0 ? request.session_timeout_ms : request.rebalance_timeout_ms,
            .session_timeout_ms = request.session_timeout_ms,
            .protocols = protocols_of(request),
            .joining = Waiting{caller.ticket, caller.version},
            .is_new = true,
            .session_ends = caller.now + kNewMemberJoinTimeout};
  return member;
}

// A static member that was restarted takes the place of its former self under a new member id.
Step Coordinator::join_static_again(Group& group, Member old, const wire::JoinGroupRequest& request,
                                    const Caller& caller) {
  Step step;
  const std::string id = *old.instance_id + "-" + caller.fresh_id.to_string();
  if (old.joining) {
    wire::JoinGroupResponse fenced;
    fenced.error_code = wire::code_of(ErrorCode::kFencedInstanceId);
    fenced.member_id = old.id;
    reply(step, old.joining->ticket, std::move(fenced));
  }
  group.members.erase(old.id);
  const bool was_leader = group.leader == old.id;
  const std::string former_leader = group.leader.value_or("");
  if (was_leader) group.leader = id;
  Member& member = add_member(group, id, request, caller);
  member.assignment = old.assignment;
  member.is_new = false;
  if (group.state != GroupState::kStable || member.protocols != old.protocols) {
    prepare_rebalance(group, caller.now, step);
    complete_join_when_all_are_there(group, caller, step);
    return step;
  }
  member.joining.reset();
  member.session_ends = caller.now + milliseconds(member.session_timeout_ms);
  wire::JoinGroupResponse response = join_response(group, member);
  // The old leader's id keeps clients before SkipAssignment from assigning again.
  if (caller.version < kSkipAssignmentFrom) {
    response.leader = former_leader;
    response.members.clear();
  } else {
    response.skip_assignment = was_leader;
  }
  step.records.push_back(group_record(group, caller.wall));
  reply(step, caller.ticket, std::move(response));
  return step;
}

Step Coordinator::rejoin(Group& group, Member& member, const wire::JoinGroupRequest& request,
                         const Caller& caller) {
  Step step;
  const bool changed = member.protocols != protocols_of(request);
  const bool stays =
      (group.state == GroupState::kStable && !changed && group.leader != member.id) ||
      (group.state == GroupState::kCompletingRebalance && !changed);
  if (stays) {
    member.session_ends = caller.now + milliseconds(member.session_timeout_ms);
    reply(step, caller.ticket, join_response(group, member));
    return step;
  }
  if (member.joining) {  // the client asks again: one of the two requests gets the generation
    Step superseded =
        refuse_join({.ticket = member.joining->ticket, .version = member.joining->version},
                    ErrorCode::kRebalanceInProgress, member.id);
    step.replies.push_back(std::move(superseded.replies.front()));
  }
  member.protocols = protocols_of(request);
  member.session_timeout_ms = request.session_timeout_ms;
  member.rebalance_timeout_ms =
      caller.version == 0 ? request.session_timeout_ms : request.rebalance_timeout_ms;
  prepare_rebalance(group, caller.now, step);
  member.joining = Waiting{caller.ticket, caller.version};
  complete_join_when_all_are_there(group, caller, step);
  return step;
}

wire::JoinGroupResponse Coordinator::join_response(const Group& group, const Member& member) const {
  wire::JoinGroupResponse response;
  response.generation_id = group.generation;
  response.protocol_type = group.protocol_type;
  response.protocol_name = group.protocol;
  response.leader = group.leader.value_or("");
  response.member_id = member.id;
  if (group.leader != member.id) return response;
  for (const auto& [id, each] : group.members) {
    auto chosen = std::ranges::find(each.protocols, group.protocol.value_or(""),
                                    [](const auto& p) { return p.first; });
    response.members.push_back(
        {.member_id = id,
         .group_instance_id = each.instance_id,
         .metadata = chosen == each.protocols.end() ? ByteBuffer{} : chosen->second});
  }
  return response;
}

Duration Coordinator::longest_rebalance(const Group& group) const {
  Duration longest{};
  for (const auto& [id, member] : group.members)
    longest = std::max<Duration>(longest, milliseconds(member.rebalance_timeout_ms));
  return longest;
}

void Coordinator::prepare_rebalance(Group& group, Instant now, Step& step) {
  for (auto& [id, member] : group.members) {
    member.owes_sync = false;
    if (member.syncing) {
      wire::SyncGroupResponse response;
      response.error_code = wire::code_of(ErrorCode::kRebalanceInProgress);
      reply(step, std::exchange(member.syncing, std::nullopt)->ticket, std::move(response));
    }
  }
  const Instant latest = now + longest_rebalance(group);
  if (group.state == GroupState::kEmpty || group.initial_delay_ends) {
    // A new group waits for its members; each that comes gives the others more time, up to the
    // rebalance timeout.
    if (!group.initial_delay_ends) group.initial_delay_ends = latest;
    group.phase_ends = std::min(*group.initial_delay_ends, now + config_.initial_rebalance_delay);
  } else if (group.state != GroupState::kPreparingRebalance) {
    group.phase_ends = latest;
  }
  group.state = GroupState::kPreparingRebalance;
}

void Coordinator::complete_join_when_all_are_there(Group& group, const Caller& caller, Step& step) {
  if (group.state != GroupState::kPreparingRebalance) return;
  const bool over = group.phase_ends <= caller.now;
  const bool all =
      group.pending.empty() && std::ranges::all_of(group.members, [](const auto& entry) {
        return entry.second.joining.has_value();
      });
  if (over || (all && !group.initial_delay_ends))
    complete_join(group, caller.now, caller.wall, step);
}

std::string Coordinator::vote(const Group& group) const {
  std::map<std::string, size_t> supporters, votes;
  for (const auto& [id, member] : group.members)
    for (const auto& [name, metadata] : member.protocols) ++supporters[name];
  for (const auto& [id, member] : group.members)
    for (const auto& [name, metadata] : member.protocols)
      if (supporters[name] == group.members.size()) {
        ++votes[name];
        break;
      }
  auto best = std::ranges::max_element(votes, {}, [](const auto& v) { return v.second; });
  return best == votes.end() ? "" : best->first;
}

void Coordinator::complete_join(Group& group, Instant now, TimestampMs wall, Step& step) {
  group.initial_delay_ends.reset();
  std::erase_if(group.members, [](const auto& entry) {
    return !entry.second.joining && !entry.second.instance_id;
  });
  const bool any_joined = std::ranges::any_of(
      group.members, [](const auto& entry) { return entry.second.joining.has_value(); });
  if (!group.members.empty() && !any_joined) {
    // Only static members, and all are away: their sessions decide, or the first to come back.
    group.phase_ends = now + std::max(longest_rebalance(group), kLeastPostponement);
    return;
  }
  ++group.generation;
  group.state_since = wall;
  if (group.members.empty()) {
    group.state = GroupState::kEmpty;
    group.protocol.reset();
    group.leader.reset();
    group.phase_ends = Instant::never();
    step.records.push_back(group_record(group, wall));
    return;
  }
  const bool leader_joined = group.leader && group.members.contains(*group.leader) &&
                             group.members.at(*group.leader).joining;
  if (!leader_joined)
    for (const auto& [id, member] : group.members)
      if (member.joining) {
        group.leader = id;
        break;
      }
  group.protocol = vote(group);
  group.state = GroupState::kCompletingRebalance;
  group.phase_ends = now + longest_rebalance(group);
  for (auto& [id, member] : group.members) {
    member.session_ends = now + milliseconds(member.session_timeout_ms);
    member.is_new = false;
    member.owes_sync = true;
    if (member.joining)
      reply(step, std::exchange(member.joining, std::nullopt)->ticket,
            join_response(group, member));
  }
}

std::optional<ErrorCode> Coordinator::check_member(
    const Group& group, const std::string& member_id,
    const std::optional<std::string>& instance_id) const {
  if (instance_id)
    for (const auto& [id, member] : group.members)
      if (member.instance_id == instance_id)
        return id == member_id ? std::nullopt : std::optional(ErrorCode::kFencedInstanceId);
  auto found = group.members.find(member_id);
  if (found == group.members.end() || instance_id) return ErrorCode::kUnknownMemberId;
  return std::nullopt;
}

Step Coordinator::sync(const wire::SyncGroupRequest& request, const Caller& caller) {
  using R = wire::SyncGroupResponse;
  Group* group = find(request.group_id);
  if (request.group_id.empty()) return just<R>(caller.ticket, ErrorCode::kInvalidGroupId);
  if (group == nullptr) return just<R>(caller.ticket, ErrorCode::kUnknownMemberId);
  if (auto code = check_member(*group, request.member_id, request.group_instance_id))
    return just<R>(caller.ticket, *code);
  if (request.generation_id != group->generation)
    return just<R>(caller.ticket, ErrorCode::kIllegalGeneration);
  const bool other_type = request.protocol_type && *request.protocol_type != group->protocol_type;
  const bool other_name = request.protocol_name && request.protocol_name != group->protocol;
  if (other_type || other_name)
    return just<R>(caller.ticket, ErrorCode::kInconsistentGroupProtocol);
  if (group->state == GroupState::kPreparingRebalance)
    return just<R>(caller.ticket, ErrorCode::kRebalanceInProgress);
  Member& member = group->members.at(request.member_id);
  member.owes_sync = false;
  Step step;
  if (group->state == GroupState::kStable) {
    R response;
    response.protocol_type = group->protocol_type;
    response.protocol_name = group->protocol;
    response.assignment = member.assignment;
    member.session_ends = caller.now + milliseconds(member.session_timeout_ms);
    reply(step, caller.ticket, std::move(response));
    return step;
  }
  if (member.syncing) {  // the client asks again: one of the two requests gets the assignment
    R response;
    response.error_code = wire::code_of(ErrorCode::kRebalanceInProgress);
    reply(step, member.syncing->ticket, std::move(response));
  }
  member.syncing = Waiting{caller.ticket, caller.version};
  if (group->leader == member.id) finish_sync(*group, request, caller, step);
  return step;
}

// The leader's assignment: written down, then given to all who wait for it.
void Coordinator::finish_sync(Group& group, const wire::SyncGroupRequest& request,
                              const Caller& caller, Step& step) {
  for (auto& [id, member] : group.members) member.assignment.clear();
  for (const auto& each : request.assignments)
    if (auto found = group.members.find(each.member_id); found != group.members.end())
      found->second.assignment = each.assignment;
  group.state = GroupState::kStable;
  group.state_since = caller.wall;
  // phase_ends stays: who has not synced by then is evicted.
  step.records.push_back(group_record(group, caller.wall));
  for (auto& [id, member] : group.members) {
    if (!member.syncing) continue;
    member.session_ends = caller.now + milliseconds(member.session_timeout_ms);
    wire::SyncGroupResponse response;
    response.protocol_type = group.protocol_type;
    response.protocol_name = group.protocol;
    response.assignment = member.assignment;
    reply(step, std::exchange(member.syncing, std::nullopt)->ticket, std::move(response));
  }
}

Step Coordinator::heartbeat(const wire::HeartbeatRequest& request, const Caller& caller) {
  using R = wire::HeartbeatResponse;
  if (request.group_id.empty()) return just<R>(caller.ticket, ErrorCode::kInvalidGroupId);
  Group* group = find(request.group_id);
  if (group == nullptr || group->state == GroupState::kEmpty)
    return just<R>(caller.ticket, ErrorCode::kUnknownMemberId);
  if (auto code = check_member(*group, request.member_id, request.group_instance_id))
    return just<R>(caller.ticket, *code);
  if (request.generation_id != group->generation)
    return just<R>(caller.ticket, ErrorCode::kIllegalGeneration);
  Member& member = group->members.at(request.member_id);
  member.session_ends = caller.now + milliseconds(member.session_timeout_ms);
  return just<R>(caller.ticket, group->state == GroupState::kPreparingRebalance
                                    ? ErrorCode::kRebalanceInProgress
                                    : ErrorCode::kNone);
}

void Coordinator::remove_member(Group& group, const std::string& id, Step& step) {
  auto found = group.members.find(id);
  if (found == group.members.end()) return;
  if (found->second.joining) {
    wire::JoinGroupResponse response;
    response.error_code = wire::code_of(ErrorCode::kUnknownMemberId);
    response.member_id = id;
    reply(step, found->second.joining->ticket, std::move(response));
  }
  if (found->second.syncing) {
    wire::SyncGroupResponse response;
    response.error_code = wire::code_of(ErrorCode::kUnknownMemberId);
    reply(step, found->second.syncing->ticket, std::move(response));
  }
  group.members.erase(found);
  if (group.leader == id) {
    group.leader.reset();
    if (!group.members.empty()) group.leader = group.members.begin()->first;
  }
}

// Members are gone: the others share anew.
void Coordinator::after_removal(Group& group, Instant now, TimestampMs wall, Step& step) {
  if (group.state == GroupState::kStable || group.state == GroupState::kCompletingRebalance)
    prepare_rebalance(group, now, step);
  complete_join_when_all_are_there(group, {.now = now, .wall = wall}, step);
}

std::string Coordinator::leave_one(Group& group, const wire::LeaveGroupRequest::MemberIdentity& who,
                                   ErrorCode& code, Step& step) {
  std::string id = who.member_id;
  if (who.group_instance_id) {
    auto same = std::ranges::find_if(group.members, [&](const auto& entry) {
      return entry.second.instance_id == who.group_instance_id;
    });
    if (same == group.members.end())
      code = ErrorCode::kUnknownMemberId;
    else if (!id.empty() && id != same->first)
      code = ErrorCode::kFencedInstanceId;
    else
      id = same->first;
  } else if (group.pending.erase(id)) {
    return id;
  } else if (!group.members.contains(id)) {
    code = ErrorCode::kUnknownMemberId;
  }
  if (code == ErrorCode::kNone) remove_member(group, id, step);
  return id;
}

Step Coordinator::leave(const wire::LeaveGroupRequest& request, const Caller& caller) {
  Step step;
  wire::LeaveGroupResponse response;
  Group* group = find(request.group_id);
  auto leaving = request.members;
  if (caller.version < 3) leaving = {{.member_id = request.member_id}};
  for (const auto& who : leaving) {
    ErrorCode code = group ? ErrorCode::kNone : ErrorCode::kUnknownMemberId;
    if (group) leave_one(*group, who, code, step);
    if (caller.version < 3)
      response.error_code = wire::code_of(code);
    else
      response.members.push_back({.member_id = who.member_id,
                                  .group_instance_id = who.group_instance_id,
                                  .error_code = wire::code_of(code)});
  }
  if (request.group_id.empty()) response.error_code = wire::code_of(ErrorCode::kInvalidGroupId);
  if (group) after_removal(*group, caller.now, caller.wall, step);
  reply(step, caller.ticket, std::move(response));
  return step;
}

bool Coordinator::needs_ticks() const { return !groups_.empty(); }

void Coordinator::tick_group(Group& group, Instant now, TimestampMs wall, Step& step) {
  std::erase_if(group.pending, [&](const auto& entry) { return entry.second <= now; });
  std::vector<std::string> gone;
  const bool sync_over = group.state != GroupState::kPreparingRebalance && group.phase_ends <= now;
  for (const auto& [id, member] : group.members) {
    const bool parked = !member.is_new && (member.joining || member.syncing);
    if ((!parked && member.session_ends <= now) || (sync_over && member.owes_sync))
      gone.push_back(id);
  }
  if (sync_over) group.phase_ends = Instant::never();
  for (const std::string& id : gone) remove_member(group, id, step);
  if (!gone.empty()) return after_removal(group, now, wall, step);
  complete_join_when_all_are_there(group, {.now = now, .wall = wall}, step);
}

Step Coordinator::on_tick(Instant now, TimestampMs wall) {
  Step step;
  for (auto& [id, group] : groups_) tick_group(group, now, wall, step);
  if (now >= next_expiry_) {
    next_expiry_ = now + config_.offset_check_interval;
    for (auto& [id, group] : groups_) expire_offsets(group, wall, step);
  }
  std::erase_if(groups_, [](const auto& entry) {
    const Group& group = entry.second;
    return group.members.empty() && group.pending.empty() && group.offsets.empty() &&
           group.generation == 0;
  });
  return step;
}

machine::KeyValueRecord Coordinator::group_record(const Group& group, TimestampMs wall) const {
  wire::GroupMetadataValue value;
  value.protocol_type = group.protocol_type;
  value.generation = group.generation;
  value.protocol = group.protocol;
  value.leader = group.leader;
  value.current_state_timestamp = wall.value();
  for (const auto& [id, member] : group.members) {
    auto chosen = std::ranges::find(member.protocols, group.protocol.value_or(""),
                                    [](const auto& p) { return p.first; });
    value.members.push_back(
        {.member_id = id,
         .group_instance_id = member.instance_id,
         .client_id = member.client_id,
         .client_host = member.client_host,
         .rebalance_timeout = member.rebalance_timeout_ms,
         .session_timeout = member.session_timeout_ms,
         .subscription = chosen == member.protocols.end() ? ByteBuffer{} : chosen->second,
         .assignment = member.assignment});
  }
  return {wire::encode_key(wire::GroupMetadataKey{.group = group.id}),
          wire::encode_value(value, kGroupRecordVersion)};
}

void Coordinator::on_loaded(Instant now) {
  loaded_ = true;
  next_expiry_ = now + config_.offset_check_interval;
  for (auto& [id, group] : groups_) {
    group.state = group.members.empty() ? GroupState::kEmpty : GroupState::kStable;
    for (auto& [member_id, member] : group.members)
      member.session_ends = now + milliseconds(member.session_timeout_ms);
  }
}

void Coordinator::check_invariants() const {
  for (const auto& [id, group] : groups_) {
    ASSERT(!group.leader || group.members.contains(*group.leader), "GR3: leader of {} is no member",
           id);
    std::set<std::string> instances;
    for (const auto& [member_id, member] : group.members)
      if (member.instance_id)
        ASSERT(instances.insert(*member.instance_id).second, "GR4: {} twice in {}",
               *member.instance_id, id);
  }
}

}  // namespace millrace::group
