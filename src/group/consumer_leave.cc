// Members of consumer groups that go: by themselves, for a while, or because they are not heard of.
#include <map>

#include "base/log.h"
#include "group/consumer_protocol.h"

namespace millrace::group {
namespace {

constexpr int16_t kLeavesInBatches = 3;  // LeaveGroup before names one member in the request itself

std::unexpected<Refusal> unknown_instance(std::string_view instance_id) {
  return std::unexpected(
      Refusal{ErrorCode::kUnknownMemberId, fmt::format("Instance id {} is unknown.", instance_id)});
}

std::unexpected<Refusal> unknown_member(std::string_view member_id, const ConsumerGroup& group) {
  return std::unexpected(
      Refusal{ErrorCode::kUnknownMemberId,
              fmt::format("Member {} is not a member of group {}.", member_id, group.id())});
}

}  // namespace

ConsumerProtocol::Expected<const ConsumerMember*> ConsumerProtocol::leaving_member(
    const ConsumerGroup& group, const wire::LeaveGroupRequest::MemberIdentity& identity) const {
  if (!identity.group_instance_id) {
    const ConsumerMember* member = group.find(identity.member_id);
    if (member == nullptr) return unknown_member(identity.member_id, group);
    return member;
  }
  const std::string& instance = *identity.group_instance_id;
  const ConsumerMember* member = group.static_member(instance);
  if (member == nullptr) return unknown_instance(instance);
  // An administrator who removes an instance does not know its member id.
  if (!identity.member_id.empty() && member->id != identity.member_id)
    return std::unexpected(
        Refusal{ErrorCode::kFencedInstanceId,
                fmt::format("Static member {} with instance id {} was fenced by member {}.",
                            identity.member_id, instance, member->id)});
  return member;
}

ConsumerProtocol::Expected<ConsumerProtocol::HeartbeatResponse> ConsumerProtocol::leave_group(
    const HeartbeatRequest& request) {
  const ConsumerGroup* group = state_.find_consumer(request.group_id);
  if (group == nullptr) {
    const char* why =
        state_.find(request.group_id) ? "Group {} is not a consumer group." : "Group {} not found.";
    return std::unexpected(
        Refusal{ErrorCode::kGroupIdNotFound, fmt::format(fmt::runtime(why), request.group_id)});
  }
  // Here an id that is empty is one that nobody has.
  const ConsumerMember* member =
      request.instance_id ? group->static_member(*request.instance_id) : nullptr;
  if (request.instance_id && member != nullptr && member->id != request.member_id)
    return std::unexpected(
        Refusal{ErrorCode::kFencedInstanceId,
                fmt::format("Static member {} with instance id {} was fenced by member {}.",
                            request.member_id, *request.instance_id, member->id)});
  if (request.instance_id && member == nullptr) return unknown_instance(*request.instance_id);
  if (!request.instance_id) member = group->find(request.member_id);
  if (member == nullptr) return unknown_member(request.member_id, *group);
  if (request.instance_id && request.member_epoch == kLeavingStaticEpoch)
    return leave_for_a_while(*group, *member);
  HeartbeatResponse response;
  response.member_id = request.member_id;
  response.member_epoch = request.member_epoch;
  fence(*group, member->id, "it leaves");
  return response;
}

// It keeps what it has until its session is over; who comes with its instance id takes that over.
ConsumerProtocol::HeartbeatResponse ConsumerProtocol::leave_for_a_while(
    const ConsumerGroup& group, const ConsumerMember& member) {
  CurrentAssignment current = member.current;
  current.member_epoch = kLeavingStaticEpoch;
  current.revoking.clear();
  for (auto& [topic_id, partitions] : current.assigned)
    for (auto& [partition, epoch] : partitions) epoch = 0;
  append(ConsumerRecords(group.id()).current(member.id, current));
  HeartbeatResponse response;
  response.member_id = member.id;
  response.member_epoch = kLeavingStaticEpoch;
  return response;
}

void ConsumerProtocol::fence(const ConsumerGroup& group, const std::string& member_id,
                             std::string_view reason) {
  LOG_INFO("group {}: member {} is removed, because {}", group.id(), member_id, reason);
  fence(group, MemberIds{member_id});
}

void ConsumerProtocol::fence(const ConsumerGroup& group, const MemberIds& members) {
  if (members.empty()) return;
  if (may_downgrade(group, members) && downgrade(group, {.leaving = members})) return;
  remove_members(group, members);
}

void ConsumerProtocol::write_removal(const ConsumerRecords& write, const std::string& member_id) {
  append(write.no_current(member_id));
  append(write.no_target(member_id));
  append(write.no_member(member_id));
}

void ConsumerProtocol::remove_members(const ConsumerGroup& group, const MemberIds& members) {
  const ConsumerRecords write(group.id());
  SubscribedTopics topics = group.subscribed_topics();
  Counts regexes;
  for (const std::string& member_id : members) {
    const ConsumerMember& member = *group.find(member_id);
    write_removal(write, member_id);
    count_names(topics, member.metadata, -1);
    if (!member.regex().empty()) count(regexes, member.regex(), 1);
    cancel_timers(group.id(), member_id);
  }
  for (const auto& [regex, leaving] : regexes) {
    if (group.subscribers_of(regex) != leaving) continue;
    append(write.no_regex(regex));
    if (const ResolvedRegex* resolved = group.resolved(regex)) count_regex(topics, *resolved, -1);
  }
  append(write.epoch({group.next_epoch(), metadata_hash(topics)}));
}

void ConsumerProtocol::leave(const ConsumerGroup& group, const wire::LeaveGroupRequest& request,
                             const RequestContext& context) {
  const bool single = context.api_version < kLeavesInBatches;
  std::vector<wire::LeaveGroupRequest::MemberIdentity> leaving = request.members;
  if (single) leaving = {{.member_id = request.member_id}};
  wire::LeaveGroupResponse response;
  MemberIds members;
  for (const auto& identity : leaving) {
    const auto member = leaving_member(group, identity);
    const ErrorCode error = member ? ErrorCode::kNone : member.error().code;
    if (member) members.insert((*member)->id);
    if (single)
      response.error_code = code_of(error);
    else
      response.members.push_back({.member_id = identity.member_id,
                                  .group_instance_id = identity.group_instance_id,
                                  .error_code = code_of(error)});
  }
  step_.reply(context.ticket, std::move(response));
  fence(group, members);
}

}  // namespace millrace::group
