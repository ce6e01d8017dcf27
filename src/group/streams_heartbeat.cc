// StreamsGroupHeartbeat: which group and member it is of, and the order of what follows.
#include <algorithm>

#include "base/log.h"
#include "group/records.h"
#include "group/streams_protocol.h"

namespace millrace::group {
namespace {

using TaskIds = wire::StreamsGroupHeartbeatRequest::TaskIds;
using OptionalTasks = std::optional<std::vector<TaskIds>>;

bool is_given_any(const OptionalTasks& tasks) { return !tasks || !tasks->empty(); }

// Whether the member has nothing beyond what it was given.
template <class Has>
bool is_within(const OptionalTasks& tasks, const Has& has) {
  return tasks && std::ranges::all_of(*tasks, [&](const TaskIds& each) {
           return has.contains(each.subtopology_id) &&
                  std::ranges::all_of(each.partitions, [&](int32_t partition) {
                    return streams::contains(has, each.subtopology_id, partition);
                  });
         });
}

streams::Tasks tasks_of(const std::vector<TaskIds>& ids) {
  streams::Tasks tasks;
  for (const TaskIds& each : ids)
    if (!each.partitions.empty())
      tasks[each.subtopology_id].insert(each.partitions.begin(), each.partitions.end());
  return tasks;
}

std::optional<streams::Assignment> owned_of(const wire::StreamsGroupHeartbeatRequest& request) {
  if (!request.active_tasks || !request.standby_tasks || !request.warmup_tasks) return std::nullopt;
  return streams::Assignment{tasks_of(*request.active_tasks), tasks_of(*request.standby_tasks),
                             tasks_of(*request.warmup_tasks)};
}

void take_metadata(const wire::StreamsGroupHeartbeatRequest& request, StreamsMemberMetadata& to) {
  if (request.rack_id) to.rack_id = request.rack_id;
  if (request.rebalance_timeout_ms != -1) to.rebalance_timeout_ms = request.rebalance_timeout_ms;
  if (request.topology) to.topology_epoch = request.topology->epoch;
  if (request.process_id) to.process_id = *request.process_id;
  if (request.user_endpoint)
    to.user_endpoint = {.host = request.user_endpoint->host, .port = request.user_endpoint->port};
  if (!request.client_tags) return;
  std::map<std::string, std::string> tags;
  for (const auto& tag : *request.client_tags) tags[tag.key] = tag.value;
  to.client_tags.clear();
  for (auto& [key, value] : tags) to.client_tags.push_back({.key = key, .value = value});
}

constexpr const char* kAllTasks = "If one task-type is non-null, all must be non-null.";

}  // namespace

void StreamsProtocol::heartbeat(const HeartbeatRequest& request, const RequestContext& context) {
  const size_t records = step_.decision.records.size();
  auto outcome = checked(request, context);
  if (outcome) return step_.reply(context.ticket, std::move(*outcome));
  step_.decision.records.resize(records);
  StreamsHeartbeatAnswer refused;
  refused.response.error_code = code_of(outcome.error().code);
  if (!outcome.error().message.empty())
    refused.response.error_message = std::move(outcome.error().message);
  step_.reply(context.ticket, std::move(refused));
}

StreamsProtocol::Expected<StreamsHeartbeatAnswer> StreamsProtocol::checked(
    const HeartbeatRequest& request, const RequestContext& context) {
  RETURN_IF_ERROR(check(request));
  return request.member_epoch == kLeavingEpoch ? leave(request) : beat(request, context);
}

StreamsProtocol::Outcome StreamsProtocol::check(const HeartbeatRequest& request) const {
  if (request.instance_id) return invalid("Static membership is not yet supported.");
  if (request.task_offsets) return invalid("TaskOffsets are not supported yet.");
  if (request.task_end_offsets) return invalid("TaskEndOffsets are not supported yet.");
  if (request.warmup_tasks && !request.warmup_tasks->empty())
    return invalid("WarmupTasks are not supported yet.");
  if (request.topology)
    for (const auto& subtopology : request.topology->subtopologies)
      if (!subtopology.source_topic_regex.empty())
        return invalid("Regular expressions for source topics are not supported yet.");
  if (is_blank(request.member_id)) return invalid("MemberId can't be empty.");
  if (is_blank(request.group_id)) return invalid("GroupId can't be empty.");
  if (is_given_blank(request.rack_id)) return invalid("RackId can't be empty.");
  if (request.member_epoch == kJoiningEpoch) {
    RETURN_IF_ERROR(check_joining(request));
  } else if (request.member_epoch == kLeavingStaticEpoch) {
    return invalid("InstanceId can't be null.");
  } else if (request.member_epoch < kLeavingStaticEpoch) {
    return invalid(fmt::format("MemberEpoch is {}, but must be greater than or equal to -2.",
                               request.member_epoch));
  }
  const bool says_any = request.active_tasks || request.standby_tasks || request.warmup_tasks;
  const bool says_all = request.active_tasks && request.standby_tasks && request.warmup_tasks;
  if (says_any && !says_all) return invalid(kAllTasks);
  if (request.member_epoch != kJoiningEpoch && request.topology)
    return invalid("Topology can only be provided when (re-)joining.");
  return {};
}

StreamsProtocol::Outcome StreamsProtocol::check_joining(const HeartbeatRequest& request) const {
  if (request.rebalance_timeout_ms == -1)
    return invalid("RebalanceTimeoutMs must be provided in first request.");
  if (is_given_any(request.active_tasks))
    return invalid("ActiveTasks must be empty when (re-)joining.");
  if (is_given_any(request.standby_tasks))
    return invalid("StandbyTasks must be empty when (re-)joining.");
  if (is_given_any(request.warmup_tasks))
    return invalid("WarmupTasks must be empty when (re-)joining.");
  if (!request.topology) return invalid("Topology must be non-null when (re-)joining.");
  for (const auto& subtopology : request.topology->subtopologies)
    for (const auto& topic : subtopology.state_changelog_topics)
      if (topic.partitions != 0)
        return refuse(ErrorCode::kStreamsInvalidTopology,
                      fmt::format("Changelog topic {} must have an undefined partition count, but "
                                  "it is set to {}.",
                                  topic.name, topic.partitions));
  return {};
}

StreamsProtocol::Expected<StreamsHeartbeatAnswer> StreamsProtocol::beat(
    const HeartbeatRequest& request, const RequestContext& context) {
  Change change(context);
  RETURN_IF_ERROR(find_group(request, change));
  RETURN_IF_ERROR(find_member(request, change));
  change_member(request, change);
  RETURN_IF_ERROR(change_topology(request, change));
  RETURN_IF_ERROR(configure_topology(change));
  RETURN_IF_ERROR(check_tasks(request, change));
  update_epoch(change);
  delay_first_target(change);
  update_target(change);
  RETURN_IF_ERROR(reconcile_member(change));
  RETURN_IF_ERROR(step_.check_sizes());
  time_revocation(change);
  arm(TimerKind::kMemberSession, request.group_id, request.member_id,
      session_timeout(request.group_id));
  return answer(request, change);
}

// An empty classic group makes room. One that is full takes nobody who joins, be it again.
StreamsProtocol::Outcome StreamsProtocol::find_group(const HeartbeatRequest& request,
                                                     Change& change) {
  const bool joins = request.member_epoch == kJoiningEpoch;
  const Group* group = state_.find(request.group_id);
  if (group == nullptr && !joins)
    return refuse(ErrorCode::kGroupIdNotFound,
                  fmt::format("Streams group {} not found.", request.group_id));
  const auto* classic = group ? group->as<ClassicGroup>() : nullptr;
  const bool makes_room = joins && classic != nullptr && classic->is_in(ClassicState::kEmpty);
  if (makes_room) append(group_metadata_tombstone(request.group_id));
  if (group == nullptr || makes_room) {
    change.group = &change.made.emplace(request.group_id);
  } else {
    change.group = group->as<StreamsGroup>();
    if (change.group == nullptr)
      return refuse(ErrorCode::kGroupIdNotFound,
                    fmt::format("Group {} is not a streams group.", request.group_id));
  }
  const int32_t limit = state_.config.streams_max_size;
  if (joins && std::cmp_greater_equal(change.group->members().size(), limit))
    return refuse(
        ErrorCode::kGroupMaxSizeReached,
        fmt::format("The streams group has reached its maximum capacity of {} members.", limit));
  return {};
}

StreamsProtocol::Outcome StreamsProtocol::find_member(const HeartbeatRequest& request,
                                                      Change& change) {
  const StreamsMember* known = change.group->find(request.member_id);
  if (known == nullptr && request.member_epoch != kJoiningEpoch)
    return refuse(ErrorCode::kUnknownMemberId, fmt::format("Member {} is not a member of group {}.",
                                                           request.member_id, change.group->id()));
  change.member.id = request.member_id;
  if (known != nullptr) change.member = *known;
  change.owned = owned_of(request);
  return check_epoch(request, change.member);
}

StreamsProtocol::Outcome StreamsProtocol::check_epoch(const HeartbeatRequest& request,
                                                      const StreamsMember& member) const {
  const streams::CurrentTasks& current = member.current;
  const int32_t epoch = request.member_epoch;
  if (epoch == kJoiningEpoch || epoch == current.member_epoch) return {};
  constexpr const char* kFenced =
      "The streams group member has a {} member epoch ({}) than the one known by the group "
      "coordinator ({}). The member must abandon all its partitions and rejoin.";
  if (epoch > current.member_epoch)
    return refuse(ErrorCode::kFencedMemberEpoch,
                  fmt::format(kFenced, "greater", epoch, current.member_epoch));
  // The answer that told it of the newer epoch may have been lost.
  const bool is_late = epoch == current.previous_epoch &&
                       is_within(request.active_tasks, current.assigned.active) &&
                       is_within(request.standby_tasks, current.assigned.standby) &&
                       is_within(request.warmup_tasks, current.assigned.warmup);
  if (is_late) return {};
  return refuse(ErrorCode::kFencedMemberEpoch,
                fmt::format(kFenced, "smaller", epoch, current.member_epoch));
}

void StreamsProtocol::change_member(const HeartbeatRequest& request, Change& change) {
  StreamsMemberMetadata& now = change.metadata;
  now = change.member.metadata;
  take_metadata(request, now);
  now.client_id = change.context.client_id;
  now.client_host = change.context.client_host;
  if (now == change.member.metadata && change.group->find(request.member_id) != nullptr) return;
  append(StreamsRecords(change.group->id()).member(change.member.id, now));
  change.bumped = true;
}

StreamsProtocol::Outcome StreamsProtocol::reconcile_member(Change& change) {
  change.current = change.member.current;
  if (change.current.is_reconciled_to(change.target_epoch)) return {};
  auto next = streams::reconcile({.current = change.member.current,
                                  .process_id = change.metadata.process_id,
                                  .owners = change.group->owners(),
                                  .target_epoch = change.target_epoch,
                                  .target = change.target,
                                  .owned = change.owned});
  if (!next)
    return refuse(ErrorCode::kFencedMemberEpoch,
                  "The streams group member is in a unknown state. The member must abandon all its "
                  "tasks and rejoin.");
  if (*next == change.current) return {};
  change.current = std::move(*next);
  append(StreamsRecords(change.group->id()).current(change.member.id, change.current));
  return {};
}

void StreamsProtocol::time_revocation(const Change& change) {
  if (change.current == change.member.current) return;
  const std::string& group_id = change.group->id();
  MemberTimers& timers = soft(group_id).members[change.member.id];
  if (change.current.state != streams::MemberState::kUnrevokedTasks)
    return timers.rebalance.cancel();
  timers.rebalance_epoch = change.current.member_epoch;
  arm(TimerKind::kMemberRebalance, group_id, change.member.id,
      milliseconds(change.metadata.rebalance_timeout_ms));
}

// --- Members that go.

StreamsProtocol::Expected<StreamsHeartbeatAnswer> StreamsProtocol::leave(
    const HeartbeatRequest& request) {
  const Group* known = state_.find(request.group_id);
  const auto* group = known ? known->as<StreamsGroup>() : nullptr;
  if (group == nullptr)
    return refuse(ErrorCode::kGroupIdNotFound,
                  known ? fmt::format("Group {} is not a streams group.", request.group_id)
                        : fmt::format("Group {} not found.", request.group_id));
  auto& shutdown_by = soft(request.group_id).streams.shutdown_by;
  if (request.shutdown_application && !shutdown_by) shutdown_by = request.member_id;
  const StreamsMember* member = group->find(request.member_id);
  if (member == nullptr)
    return refuse(ErrorCode::kUnknownMemberId, fmt::format("Member {} is not a member of group {}.",
                                                           request.member_id, request.group_id));
  fence(*group, *member, "it leaves");
  StreamsHeartbeatAnswer answer;
  answer.response.member_id = request.member_id;
  answer.response.member_epoch = request.member_epoch;
  return answer;
}

void StreamsProtocol::fence(const StreamsGroup& group, const StreamsMember& member,
                            std::string_view reason) {
  LOG_INFO("streams group {}: member {} is removed, because {}", group.id(), member.id, reason);
  const StreamsRecords write(group.id());
  append(write.no_current(member.id));
  append(write.no_target(member.id));
  append(write.no_member(member.id));
  append(write.epoch({.epoch = group.next_epoch(),
                      .metadata_hash = group.metadata_hash(),
                      .validated_topology_epoch = group.validated_topology_epoch(),
                      .assignment_configs = group.assignment_configs()}));
  GroupSoft& soft_group = soft(group.id());
  soft_group.members[member.id].session.cancel();
  soft_group.members[member.id].rebalance.cancel();
  if (group.members().size() == 1) soft_group.streams.shutdown_by.reset();
}

// --- Timers.

Duration StreamsProtocol::session_timeout(std::string_view group_id) const {
  return topics_.streams_settings_of(group_id).times.session_timeout.value_or(
      state_.config.streams_session_timeout);
}

void StreamsProtocol::arm(TimerKind kind, const std::string& group_id, const std::string& member_id,
                          Duration delay) {
  Timer* timer = timer_of(soft(group_id).members[member_id], kind);
  state_.timers.arm(*timer, step_.now + delay, {kind, group_id, member_id});
}

void StreamsProtocol::on_loaded(const StreamsGroup& group) {
  for (const auto& [member_id, member] : group.members()) {
    arm(TimerKind::kMemberSession, group.id(), member_id, session_timeout(group.id()));
    if (member.current.state != streams::MemberState::kUnrevokedTasks) continue;
    soft(group.id()).members[member_id].rebalance_epoch = member.current.member_epoch;
    arm(TimerKind::kMemberRebalance, group.id(), member_id,
        milliseconds(member.metadata.rebalance_timeout_ms));
  }
}

void StreamsProtocol::on_timer(const StreamsGroup& group, const TimerOwner& owner) {
  if (owner.kind == TimerKind::kFirstTarget) return make_first_target(group);
  const StreamsMember* member = group.find(owner.member_id);
  if (member == nullptr) return;
  if (owner.kind == TimerKind::kMemberSession) return fence(group, *member, "its session is over");
  if (owner.kind != TimerKind::kMemberRebalance) return;
  if (member->current.member_epoch == soft(group.id()).members[member->id].rebalance_epoch)
    fence(group, *member, "it does not give up its tasks");
}

}  // namespace millrace::group
