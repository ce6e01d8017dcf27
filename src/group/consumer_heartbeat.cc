// ConsumerGroupHeartbeat: which group and member it is of, and the order of what follows.
#include <algorithm>

#include "base/log.h"
#include "group/consumer_protocol.h"
#include "group/records.h"

namespace millrace::group {
namespace {

constexpr int16_t kMemberNamesItself = 1;  // KIP-1082

// Whether the member owns nothing beyond what it was assigned.
bool is_within(const OwnedTopics* owned, const OwnedPartitions& assigned) {
  if (owned == nullptr) return false;
  return std::ranges::all_of(*owned, [&](const auto& topic) {
    return assigned.contains(topic.topic_id) &&
           std::ranges::all_of(topic.partitions, [&](int32_t partition) {
             return contains(assigned, topic.topic_id, partition);
           });
  });
}

wire::ConsumerGroupHeartbeatResponse::Assignment to_wire(const OwnedPartitions& assigned) {
  wire::ConsumerGroupHeartbeatResponse::Assignment assignment;
  for (const auto& [topic_id, partitions] : assigned) {
    auto& topic = assignment.topic_partitions.emplace_back();
    topic.topic_id = topic_id;
    for (const auto& [partition, epoch] : partitions) topic.partitions.push_back(partition);
  }
  return assignment;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void take_metadata(const wire::ConsumerGroupHeartbeatRequest& request, MemberMetadata& to) {
  if (request.instance_id) to.instance_id = request.instance_id;
  if (request.rack_id) to.rack_id = request.rack_id;
  if (request.rebalance_timeout_ms != -1) to.rebalance_timeout_ms = request.rebalance_timeout_ms;
  if (request.server_assignor) to.server_assignor = request.server_assignor;
  if (request.subscribed_topic_names) {
    auto& names = to.subscribed_topic_names;
    names = *request.subscribed_topic_names;
    std::ranges::sort(names);
    const auto repeated = std::ranges::unique(names);
    names.erase(repeated.begin(), repeated.end());
  }
  if (request.subscribed_topic_regex) to.subscribed_topic_regex = request.subscribed_topic_regex;
  to.classic_member_metadata.reset();
}

}  // namespace

void ConsumerProtocol::heartbeat(const HeartbeatRequest& request, const RequestContext& context) {
  const size_t records = step_.decision.records.size();
  auto outcome = checked(request, context);
  if (outcome) return step_.reply(context.ticket, std::move(*outcome));
  step_.decision.records.resize(records);
  HeartbeatResponse response;
  response.error_code = code_of(outcome.error().code);
  response.error_message = std::move(outcome.error().message);
  step_.reply(context.ticket, std::move(response));
}

ConsumerProtocol::Expected<ConsumerProtocol::HeartbeatResponse> ConsumerProtocol::checked(
    const HeartbeatRequest& request, const RequestContext& context) {
  RETURN_IF_ERROR(check(request, context.api_version));
  return request.member_epoch < 0 ? leave_group(request) : beat(request, context);
}

ConsumerProtocol::Outcome ConsumerProtocol::check(const HeartbeatRequest& request,
                                                  int16_t version) const {
  const int32_t epoch = request.member_epoch;
  const bool has_id =
      version >= kMemberNamesItself || epoch > kJoiningEpoch || epoch == kLeavingEpoch;
  if (has_id && is_blank(request.member_id)) return invalid("MemberId can't be empty.");
  if (is_blank(request.group_id)) return invalid("GroupId can't be empty.");
  if (is_given_blank(request.instance_id)) return invalid("InstanceId can't be empty.");
  if (is_given_blank(request.rack_id)) return invalid("RackId can't be empty.");
  if (epoch == kJoiningEpoch) {
    if (request.rebalance_timeout_ms == -1)
      return invalid("RebalanceTimeoutMs must be provided in first request.");
    if (!request.topic_partitions || !request.topic_partitions->empty())
      return invalid("TopicPartitions must be empty when (re-)joining.");
    if (!request.subscribed_topic_names && !request.subscribed_topic_regex)
      return invalid(
          "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when "
          "(re-)joining.");
  } else if (epoch == kLeavingStaticEpoch) {
    if (!request.instance_id) return invalid("InstanceId can't be null.");
  } else if (epoch < kLeavingStaticEpoch) {
    return invalid("MemberEpoch is invalid.");
  }
  const auto& assignors = state_.config.consumer_assignors;
  if (request.server_assignor &&
      std::ranges::find(assignors, *request.server_assignor) == assignors.end())
    return refuse(ErrorCode::kUnsupportedAssignor,
                  fmt::format("ServerAssignor {} is not supported. Supported assignors: {}.",
                              *request.server_assignor, joined(assignors)));
  return {};
}

ConsumerProtocol::Expected<ConsumerProtocol::HeartbeatResponse> ConsumerProtocol::beat(
    const HeartbeatRequest& request, const RequestContext& context) {
  Change change(context);
  change.owned = request.topic_partitions ? &*request.topic_partitions : nullptr;
  change.may_create = request.member_epoch == kJoiningEpoch;
  const std::string member_id =
      request.member_id.empty() ? context.fresh_id.to_string() : request.member_id;
  RETURN_IF_ERROR(find_group(request.group_id, change));
  RETURN_IF_ERROR(check_size(*change.group, request.member_id));
  RETURN_IF_ERROR(find_member({member_id, request.member_epoch, request.instance_id}, change));
  change.metadata = change.member.metadata;
  take_metadata(request, change.metadata);
  change.metadata.client_id = context.client_id;
  change.metadata.client_host = context.client_host;
  RETURN_IF_ERROR(change_member(change));
  update_epoch(change, change.names_changed || (change.regex_changed && change.regex_resolved));
  update_target(change);
  RETURN_IF_ERROR(reconcile_member(change));
  RETURN_IF_ERROR(step_.check_sizes());
  time_revocation(change);
  finish_upgrade(change);
  arm(TimerKind::kMemberSession, *change.group, change.member.id,
      session_timeout(request.group_id));
  return answer(request, change);
}

ConsumerProtocol::HeartbeatResponse ConsumerProtocol::answer(const HeartbeatRequest& request,
                                                             const Change& change) const {
  HeartbeatResponse response;
  response.member_id = change.member.id;
  response.member_epoch = change.current.member_epoch;
  const Duration interval = topics_.times_of(request.group_id)
                                .heartbeat_interval.value_or(state_.config.consumer_heartbeat);
  response.heartbeat_interval_ms =
      static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(interval).count());
  // A member that tells all gets all: an answer of before may have been lost.
  const bool tells_all = request.rebalance_timeout_ms != -1 && request.topic_partitions &&
                         (request.subscribed_topic_names || request.subscribed_topic_regex);
  if (request.member_epoch == kJoiningEpoch || tells_all ||
      change.member.current.assigned != change.current.assigned)
    response.assignment = to_wire(change.current.assigned);
  return response;
}

ConsumerProtocol::Outcome ConsumerProtocol::find_group(const std::string& group_id,
                                                       Change& change) {
  Group* group = state_.find(group_id);
  if (group == nullptr && !change.may_create)
    return refuse(ErrorCode::kGroupIdNotFound,
                  fmt::format("Consumer group {} not found.", group_id));
  if (group == nullptr) {
    change.group = &change.made.emplace(group_id);
    return {};
  }
  change.group = group->as<ConsumerGroup>();
  if (change.group != nullptr) return {};
  auto* classic = group->as<ClassicGroup>();
  if (classic == nullptr || !change.may_create)
    return refuse(ErrorCode::kGroupIdNotFound,
                  fmt::format("Group {} is not a consumer group.", group_id));
  if (!classic->is_in(ClassicState::kEmpty)) return upgrade(*classic, change);
  append(group_metadata_tombstone(group_id));
  change.group = &change.made.emplace(group_id);
  return {};
}

ConsumerProtocol::Outcome ConsumerProtocol::check_size(const ConsumerGroup& group,
                                                       std::string_view member_id) const {
  const int32_t limit = state_.config.consumer_max_size;
  if (std::cmp_less(group.members().size(), limit) || group.find(member_id) != nullptr) return {};
  return refuse(
      ErrorCode::kGroupMaxSizeReached,
      fmt::format("The consumer group has reached its maximum capacity of {} members.", limit));
}

ConsumerProtocol::Outcome ConsumerProtocol::check_epoch(const ConsumerMember& member, int32_t epoch,
                                                        const OwnedTopics* owned) const {
  const CurrentAssignment& current = member.current;
  if (epoch == kJoiningEpoch || epoch == current.member_epoch) return {};
  constexpr const char* kFenced =
      "The consumer group member has a {} member epoch ({}) than the one known by the group "
      "coordinator ({}). The member must abandon all its partitions and rejoin.";
  if (epoch > current.member_epoch)
    return refuse(ErrorCode::kFencedMemberEpoch,
                  fmt::format(kFenced, "greater", epoch, current.member_epoch));
  // The answer that told it of the newer epoch may have been lost.
  if (epoch == current.previous_epoch && is_within(owned, current.assigned)) return {};
  return refuse(ErrorCode::kFencedMemberEpoch,
                fmt::format(kFenced, "smaller", epoch, current.member_epoch));
}

ConsumerProtocol::Outcome ConsumerProtocol::find_member(const Identity& identity, Change& change) {
  if (identity.instance_id) return find_static_member(identity, change);
  const ConsumerMember* known = change.group->find(identity.member_id);
  if (known == nullptr && !change.may_create)
    return refuse(ErrorCode::kUnknownMemberId, fmt::format("Member {} is not a member of group {}.",
                                                           identity.member_id, change.group->id()));
  if (known != nullptr)
    change.member = *known;
  else
    change.member.id = identity.member_id;
  if (change.is_classic) return {};
  return check_epoch(change.member, identity.epoch, change.owned);
}

ConsumerProtocol::Outcome ConsumerProtocol::find_static_member(const Identity& identity,
                                                               Change& change) {
  const std::string& instance = *identity.instance_id;
  const ConsumerMember* known = change.group->static_member(instance);
  if (!change.may_create) {
    if (known == nullptr)
      return refuse(ErrorCode::kUnknownMemberId,
                    fmt::format("Instance id {} is unknown.", instance));
    if (known->id != identity.member_id)
      return refuse(ErrorCode::kFencedInstanceId,
                    fmt::format("Static member {} with instance id {} was fenced by member {}.",
                                identity.member_id, instance, known->id));
    change.member = *known;
    if (change.is_classic) return {};
    return check_epoch(*known, identity.epoch, change.owned);
  }
  change.member.id = identity.member_id;
  if (known == nullptr) {
    if (const ConsumerMember* same = change.group->find(identity.member_id)) change.member = *same;
    return {};
  }
  const bool is_free = change.is_classic || known->uses_classic() ||
                       known->current.member_epoch == kLeavingStaticEpoch;
  if (!is_free)
    return refuse(ErrorCode::kUnreleasedInstanceId,
                  fmt::format("Static member {} with instance id {} cannot join the group because "
                              "the instance id is owned by {} member.",
                              identity.member_id, instance, known->id));
  replace_member(*known, change);
  return {};
}

// The new member takes over what the old one had: nobody else is disturbed.
void ConsumerProtocol::replace_member(const ConsumerMember& old, Change& change) {
  const ConsumerRecords write(change.group->id());
  change.member.metadata = old.metadata;
  change.member.current = old.current;
  change.member.current.member_epoch = 0;
  change.member.current.previous_epoch = 0;
  LOG_INFO("group {}: member {} takes the place of {}", change.group->id(), change.member.id,
           old.id);
  write_removal(write, old.id);
  append(write.member(change.member.id, change.member.metadata));
  append(write.target(change.member.id, change.group->target(old.id)));
  append(write.current(change.member.id, change.member.current));
}

ConsumerProtocol::Outcome ConsumerProtocol::change_member(Change& change) {
  write_metadata(change);
  change.epoch = change.group->epoch();
  return change_regex(change);
}

ConsumerProtocol::Outcome ConsumerProtocol::reconcile_member(Change& change) {
  change.current = change.member.current;
  if (!change.subscription_changed() && change.current.is_reconciled_to(change.target_epoch))
    return {};
  static const TargetAssignment nothing;
  auto next = reconcile({.group = *change.group,
                         .topics = topics_,
                         .metadata = change.metadata,
                         .current = change.current,
                         .target_epoch = change.target_epoch,
                         .target = change.target ? *change.target : nothing,
                         .subscription_changed = change.subscription_changed(),
                         .owned = change.owned});
  if (!next) return std::unexpected(std::move(next).error());
  if (*next == change.current) return {};
  change.current = std::move(*next);
  append(ConsumerRecords(change.group->id()).current(change.member.id, change.current));
  return {};
}

void ConsumerProtocol::time_revocation(const Change& change) {
  if (change.current == change.member.current) return;
  MemberTimers& timers = timers_of(change.group->id(), change.member.id);
  if (change.current.state != MemberState::kUnrevokedPartitions) return timers.rebalance.cancel();
  timers.rebalance_epoch = change.current.member_epoch;
  arm(TimerKind::kMemberRebalance, *change.group, change.member.id,
      milliseconds(change.metadata.rebalance_timeout_ms));
}

// --- Timers.

Timer* timer_of(MemberTimers& timers, TimerKind kind) {
  switch (kind) {
    case TimerKind::kMemberSession: return &timers.session;
    case TimerKind::kMemberRebalance: return &timers.rebalance;
    case TimerKind::kMemberJoin: return &timers.join;
    case TimerKind::kMemberSync: return &timers.sync;
    default: return nullptr;
  }
}

Duration ConsumerProtocol::session_timeout(std::string_view group_id) const {
  return topics_.times_of(group_id).session_timeout.value_or(
      state_.config.consumer_session_timeout);
}

MemberTimers& ConsumerProtocol::timers_of(const std::string& group_id, std::string_view member_id) {
  auto& members = soft(group_id).members;
  auto at = members.find(member_id);
  if (at == members.end()) at = members.emplace(std::string(member_id), MemberTimers{}).first;
  return at->second;
}

void ConsumerProtocol::arm(TimerKind kind, const ConsumerGroup& group, std::string_view member_id,
                           Duration delay) {
  MemberTimers& timers = timers_of(group.id(), member_id);
  Timer* timer = timer_of(timers, kind);
  state_.timers.arm(*timer, step_.now + delay, {kind, group.id(), std::string(member_id)});
}

void ConsumerProtocol::cancel_timers(const std::string& group_id, std::string_view member_id) {
  MemberTimers& timers = timers_of(group_id, member_id);
  for (Timer* timer : {&timers.session, &timers.rebalance, &timers.join, &timers.sync})
    timer->cancel();
}

void ConsumerProtocol::on_loaded(const ConsumerGroup& group) {
  for (const auto& [member_id, member] : group.members()) {
    arm(TimerKind::kMemberSession, group, member_id, session_timeout(group.id()));
    if (member.current.state != MemberState::kUnrevokedPartitions) continue;
    timers_of(group.id(), member_id).rebalance_epoch = member.current.member_epoch;
    arm(TimerKind::kMemberRebalance, group, member_id,
        milliseconds(member.metadata.rebalance_timeout_ms));
  }
}

void ConsumerProtocol::on_timer(const ConsumerGroup& group, const TimerOwner& owner) {
  if (owner.kind == TimerKind::kRegex) return resolve_regexes(group);
  const ConsumerMember* member = group.find(owner.member_id);
  if (member == nullptr) return;
  if (owner.kind == TimerKind::kMemberSession)
    return fence(group, member->id, "its session is over");
  if (owner.kind == TimerKind::kMemberJoin)
    return fence(group, member->id, "it did not join again");
  if (owner.kind == TimerKind::kMemberSync) return fence(group, member->id, "it did not sync");
  if (member->current.member_epoch == timers_of(group.id(), member->id).rebalance_epoch)
    fence(group, member->id, "it does not give up its partitions");
}

}  // namespace millrace::group
