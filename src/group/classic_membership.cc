// SyncGroup, Heartbeat and LeaveGroup.
#include <map>

#include "group/classic_protocol.h"
#include "group/consumer_protocol.h"
#include "group/records.h"

namespace millrace::group {
namespace {

constexpr int16_t kLeavesInBatches = 3;  // LeaveGroup before names one member in the request itself
constexpr int16_t kSyncNamesProtocol = 5;  // SyncGroup from there on has to

bool differs(const std::optional<std::string>& said, const std::optional<std::string>& known) {
  return said && known && said != known;
}

}  // namespace

ErrorCode ClassicProtocol::check_member(ClassicGroup& group, std::string_view member_id,
                                        const std::optional<std::string>& instance_id) {
  if (instance_id) {
    const std::string* known = group.static_member(*instance_id);
    if (known == nullptr) return ErrorCode::kUnknownMemberId;
    if (*known != member_id) return ErrorCode::kFencedInstanceId;
  }
  return group.find(member_id) ? ErrorCode::kNone : ErrorCode::kUnknownMemberId;
}

ErrorCode ClassicProtocol::check_sync(ClassicGroup& group,
                                      const wire::SyncGroupRequest& request) const {
  const ErrorCode error = check_member(group, request.member_id, request.group_instance_id);
  if (error != ErrorCode::kNone) return error;
  if (request.generation_id != group.generation()) return ErrorCode::kIllegalGeneration;
  if (differs(request.protocol_type, group.protocol_type()) ||
      differs(request.protocol_name, group.protocol()))
    return ErrorCode::kInconsistentGroupProtocol;
  if (group.is_in(ClassicState::kPreparingRebalance)) return ErrorCode::kRebalanceInProgress;
  return ErrorCode::kNone;
}

void ClassicProtocol::sync(const wire::SyncGroupRequest& request, const RequestContext& context) {
  const bool names_protocol = request.protocol_type && request.protocol_name;
  if (context.api_version >= kSyncNamesProtocol && !names_protocol)
    return refuse_sync(context.ticket, ErrorCode::kInconsistentGroupProtocol);
  if (request.group_id.empty()) return refuse_sync(context.ticket, ErrorCode::kInvalidGroupId);
  if (const ConsumerGroup* consumer = state_.find_consumer(request.group_id))
    return ConsumerProtocol(step_).sync(*consumer, request, context);
  ClassicGroup* group = state_.find_classic(request.group_id);
  if (group == nullptr) return refuse_sync(context.ticket, ErrorCode::kUnknownMemberId);
  if (const ErrorCode error = check_sync(*group, request); error != ErrorCode::kNone)
    return refuse_sync(context.ticket, error);
  ClassicMember& member = *group->find(request.member_id);
  const Parked parked{context.ticket, context.api_version};
  member.awaits_sync = false;
  if (group->is_in(ClassicState::kStable)) return answer_sync(*group, parked, member.assignment);
  if (member.sync) refuse_sync(member.sync->ticket, ErrorCode::kRebalanceInProgress);
  member.sync = parked;
  if (group->is_leader(member.id)) assign(*group, request);
}

// What is too large for the log is for nobody, as in Apache Kafka.
void ClassicProtocol::assign(ClassicGroup& group, const wire::SyncGroupRequest& request) {
  std::map<std::string_view, const ByteBuffer*> assigned;
  for (const auto& assignment : request.assignments)
    assigned[assignment.member_id] = &assignment.assignment;
  wire::GroupMetadataValue value = group.to_record();
  for (auto& record : value.members) {
    const auto at = assigned.find(record.member_id);
    record.assignment = at == assigned.end() ? ByteBuffer() : *at->second;
  }
  KeyValueRecord written = group_metadata_record(group.id(), value);
  if (!step_.takes(written)) {
    fail_syncs(group, ErrorCode::kUnknownServerError);
    return rebalance_or_complete(group);
  }
  for (auto& record : value.members) {
    ClassicMember& member = *group.find(record.member_id);
    const auto parked = std::exchange(member.sync, std::nullopt);
    if (!parked) continue;
    answer_sync(group, *parked, std::move(record.assignment));
    // Its session may have run out unnoticed while it waited here.
    keep_alive(group, member);
  }
  step_.append(std::move(written));
}

void ClassicProtocol::answer_sync(const ClassicGroup& group, const Parked& request,
                                  ByteBuffer assignment) {
  wire::SyncGroupResponse response;
  response.protocol_type = group.protocol_type();
  response.protocol_name = group.protocol();
  response.assignment = std::move(assignment);
  step_.reply(request.ticket, std::move(response));
}

void ClassicProtocol::refuse_sync(machine::Ticket ticket, ErrorCode error) {
  wire::SyncGroupResponse response;
  response.error_code = code_of(error);
  step_.reply(ticket, std::move(response));
}

void ClassicProtocol::heartbeat(const wire::HeartbeatRequest& request,
                                const RequestContext& context) {
  const auto answer = [&](ErrorCode error) {
    wire::HeartbeatResponse response;
    response.error_code = code_of(error);
    step_.reply(context.ticket, std::move(response));
  };
  if (request.group_id.empty()) return answer(ErrorCode::kInvalidGroupId);
  if (const ConsumerGroup* consumer = state_.find_consumer(request.group_id))
    return ConsumerProtocol(step_).classic_heartbeat(*consumer, request, context);
  ClassicGroup* group = state_.find_classic(request.group_id);
  if (group == nullptr) return answer(ErrorCode::kUnknownMemberId);
  const ErrorCode error = check_member(*group, request.member_id, request.group_instance_id);
  if (error != ErrorCode::kNone) return answer(error);
  if (request.generation_id != group->generation()) return answer(ErrorCode::kIllegalGeneration);
  keep_alive(*group, *group->find(request.member_id));
  const bool rebalancing = group->is_in(ClassicState::kPreparingRebalance);
  answer(rebalancing ? ErrorCode::kRebalanceInProgress : ErrorCode::kNone);
}

ErrorCode ClassicProtocol::leave_one(ClassicGroup& group, const MemberIdentity& member) {
  if (member.member_id.empty()) {  // an administrator removes an instance
    const std::string* known =
        member.group_instance_id ? group.static_member(*member.group_instance_id) : nullptr;
    if (known == nullptr) return ErrorCode::kUnknownMemberId;
    remove_member(group, std::string(*known));
    return ErrorCode::kNone;
  }
  if (group.unused_ids().erase(member.member_id) != 0) return ErrorCode::kNone;
  const ErrorCode error = check_member(group, member.member_id, member.group_instance_id);
  if (error == ErrorCode::kNone) remove_member(group, member.member_id);
  return error;
}

void ClassicProtocol::leave(const wire::LeaveGroupRequest& request, const RequestContext& context) {
  if (const ConsumerGroup* consumer = state_.find_consumer(request.group_id))
    return ConsumerProtocol(step_).leave(*consumer, request, context);
  wire::LeaveGroupResponse response;
  std::vector<MemberIdentity> leaving = request.members;
  const bool single = context.api_version < kLeavesInBatches;
  if (single) leaving = {{.member_id = request.member_id}};
  ClassicGroup* group = state_.find_classic(request.group_id);
  bool any = false;
  if (request.group_id.empty()) {
    response.error_code = code_of(ErrorCode::kInvalidGroupId);
    leaving.clear();
  }
  for (const MemberIdentity& member : leaving) {
    const ErrorCode error = group ? leave_one(*group, member) : ErrorCode::kUnknownMemberId;
    any |= error == ErrorCode::kNone;
    if (single)
      response.error_code = code_of(error);
    else
      response.members.push_back({.member_id = member.member_id,
                                  .group_instance_id = member.group_instance_id,
                                  .error_code = code_of(error)});
  }
  step_.reply(context.ticket, std::move(response));
  if (any && !group->is_in(ClassicState::kEmpty)) rebalance_or_complete(*group);
}

}  // namespace millrace::group
