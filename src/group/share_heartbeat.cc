// ShareGroupHeartbeat: which group and member it is of, and the order of what follows.
#include <algorithm>

#include "base/log.h"
#include "group/share_protocol.h"

namespace millrace::group {
namespace {

// So long the hash of a group's topics holds when nothing is heard of them: 24 days, Kafka's.
constexpr Duration kFresh = milliseconds(INT32_MAX);

wire::ShareGroupHeartbeatResponse::Assignment to_wire(const TargetAssignment& assigned) {
  wire::ShareGroupHeartbeatResponse::Assignment assignment;
  for (const auto& [topic_id, partitions] : assigned)
    assignment.topic_partitions.push_back({.topic_id = topic_id, .partitions = partitions});
  return assignment;
}

void count_topics(Counts& topics, const ShareMemberMetadata& metadata, int32_t by) {
  for (const std::string& name : metadata.subscribed_topic_names) count(topics, name, by);
}

// What is assigned of a topic, to anybody.
std::set<int32_t> assigned_of(const ShareGroup& group, const Uuid& topic_id) {
  std::set<int32_t> partitions;
  for (const auto& [member_id, target] : group.targets())
    if (const auto topic = target.find(topic_id); topic != target.end())
      partitions.insert(topic->second.begin(), topic->second.end());
  return partitions;
}

}  // namespace

void ShareProtocol::heartbeat(const HeartbeatRequest& request, const RequestContext& context) {
  const size_t records = step_.decision.records.size();
  auto outcome = checked(request, context);
  if (outcome) return step_.reply(context.ticket, std::move(*outcome));
  step_.decision.records.resize(records);
  HeartbeatResponse response;
  response.error_code = code_of(outcome.error().code);
  response.error_message = std::move(outcome.error().message);
  step_.reply(context.ticket, std::move(response));
}

ShareProtocol::Expected<ShareProtocol::HeartbeatResponse> ShareProtocol::checked(
    const HeartbeatRequest& request, const RequestContext& context) {
  RETURN_IF_ERROR(check(request));
  return request.member_epoch == kLeavingEpoch ? leave(request) : beat(request, context);
}

ShareProtocol::Outcome ShareProtocol::check(const HeartbeatRequest& request) const {
  if (is_blank(request.member_id)) return invalid("MemberId can't be empty.");
  if (is_blank(request.group_id)) return invalid("GroupId can't be empty.");
  if (is_given_blank(request.rack_id)) return invalid("RackId can't be empty.");
  if (request.member_epoch == kJoiningEpoch) {
    const auto& names = request.subscribed_topic_names;
    if (!names || names->empty())
      return invalid("SubscribedTopicNames must be set in first request.");
  } else if (request.member_epoch < kLeavingEpoch) {
    return invalid("MemberEpoch is invalid.");
  }
  return {};
}

ShareProtocol::Expected<ShareProtocol::HeartbeatResponse> ShareProtocol::beat(
    const HeartbeatRequest& request, const RequestContext& context) {
  Change change(context);
  RETURN_IF_ERROR(find_group(request.group_id, request.member_epoch == kJoiningEpoch, change));
  RETURN_IF_ERROR(find_member(request, change));
  change_member(request, change);
  update_epoch(change);
  update_target(change);
  reconcile_member(change);
  RETURN_IF_ERROR(step_.check_sizes());
  arm_session(request.group_id, request.member_id);
  initialize_missing(change);
  return answer(request, change);
}

ShareProtocol::HeartbeatResponse ShareProtocol::answer(const HeartbeatRequest& request,
                                                       const Change& change) const {
  HeartbeatResponse response;
  response.member_id = change.member.id;
  response.member_epoch = change.current.member_epoch;
  const Duration interval = topics_.share_times_of(request.group_id)
                                .heartbeat_interval.value_or(state_.config.share_heartbeat);
  response.heartbeat_interval_ms =
      static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(interval).count());
  // A member that tells all gets all: an answer of before may have been lost.
  if (request.member_epoch == kJoiningEpoch || request.subscribed_topic_names ||
      change.member.current.assigned != change.current.assigned)
    response.assignment = to_wire(change.current.assigned);
  return response;
}

ShareProtocol::Expected<const ShareGroup*> ShareProtocol::known_group(
    const std::string& group_id) const {
  const Group* group = state_.find(group_id);
  if (group == nullptr)
    return refuse(ErrorCode::kGroupIdNotFound, fmt::format("Group {} not found.", group_id));
  if (const auto* share = group->as<ShareGroup>()) return share;
  return refuse(ErrorCode::kGroupIdNotFound,
                fmt::format("Group {} is not a share group.", group_id));
}

ShareProtocol::Outcome ShareProtocol::find_group(const std::string& group_id, bool may_create,
                                                 Change& change) {
  if (state_.find(group_id) == nullptr) {
    if (!may_create)
      return refuse(ErrorCode::kGroupIdNotFound,
                    fmt::format("Share group {} not found.", group_id));
    change.group = &change.made.emplace(group_id);
    return {};
  }
  auto known = known_group(group_id);
  if (!known) return std::unexpected(std::move(known).error());
  change.group = *known;
  return {};
}

ShareProtocol::Outcome ShareProtocol::find_member(const HeartbeatRequest& request, Change& change) {
  const ShareGroup& group = *change.group;
  const ShareMember* known = group.find(request.member_id);
  const int32_t limit = state_.config.share_max_size;
  if (known == nullptr && std::cmp_greater_equal(group.members().size(), limit))
    return refuse(
        ErrorCode::kGroupMaxSizeReached,
        fmt::format("The share group has reached its maximum capacity of {} members.", limit));
  change.member.id = request.member_id;
  if (known != nullptr) change.member = *known;
  const int32_t epoch = request.member_epoch;
  if (epoch == kJoiningEpoch) return {};
  if (known == nullptr)
    return refuse(ErrorCode::kUnknownMemberId, fmt::format("Member {} is not a member of group {}.",
                                                           request.member_id, group.id()));
  const ShareAssignment& current = known->current;
  if (epoch > current.member_epoch)
    return refuse(
        ErrorCode::kFencedMemberEpoch,
        fmt::format("The share group member has a greater member epoch ({}) than the one known by "
                    "the group coordinator ({}). The member must abandon all its partitions and "
                    "rejoin.",
                    epoch, current.member_epoch));
  // The answer that told it of the newer epoch may have been lost.
  if (epoch == current.member_epoch || epoch == current.previous_epoch) return {};
  return refuse(
      ErrorCode::kFencedMemberEpoch,
      fmt::format("The share group member has a smaller member epoch ({}) than the one known by "
                  "the group coordinator ({}), and it does not match the previous member epoch "
                  "({}). The member must abandon all its partitions and rejoin.",
                  epoch, current.member_epoch, current.previous_epoch));
}

void ShareProtocol::change_member(const HeartbeatRequest& request, Change& change) {
  ShareMemberMetadata& now = change.metadata;
  now = change.member.metadata;
  if (request.rack_id) now.rack_id = request.rack_id;
  if (const auto& names = request.subscribed_topic_names) {
    const std::set<std::string> distinct(names->begin(), names->end());
    now.subscribed_topic_names.assign(distinct.begin(), distinct.end());
  }
  now.client_id = change.context.client_id;
  now.client_host = change.context.client_host;
  change.subscribed = change.group->subscribed_topics();
  if (now == change.member.metadata) return;
  append(ShareRecords(change.group->id()).member(change.member.id, now));
  const ShareMemberMetadata& before = change.member.metadata;
  change.names_changed = now.subscribed_topic_names != before.subscribed_topic_names;
  count_topics(change.subscribed, before, -1);
  count_topics(change.subscribed, now, 1);
}

// Whether partitions have been initialised, of topics of the group, that nobody is assigned.
bool ShareProtocol::lacks_initialized(const ShareGroup& group) const {
  if (group.partitions() == nullptr) return false;
  return std::ranges::any_of(group.partitions()->initialized, [&](const auto& entry) {
    const auto& [topic_id, topic] = entry;
    return group.subscribed_topics().contains(topic.name) &&
           assigned_of(group, topic_id) != topic.partitions;
  });
}

// The group's epoch rises when members, subscriptions, topics or partitions that were initialised
// change what is to be assigned.
void ShareProtocol::update_epoch(Change& change) {
  const ShareGroup& group = *change.group;
  change.epoch = group.epoch();
  change.bumped = change.names_changed;
  if (group.assignment_epoch() >= group.epoch()) change.bumped |= lacks_initialized(group);
  auto& fresh_until = soft(group.id()).fresh_until;
  if (!change.bumped && fresh_until && step_.now < *fresh_until) return;
  const int64_t hash = state_.topic_hashes.of_group(change.subscribed, topics_);
  change.bumped |= hash != group.metadata_hash();
  if (change.bumped) {
    change.epoch = group.next_epoch();
    append(ShareRecords(group.id()).epoch({change.epoch, hash}));
  }
  fresh_until = step_.now + kFresh;
}

SimpleAssignmentSpec ShareProtocol::assignment_spec(const Change& change) const {
  const ShareGroup& group = *change.group;
  std::map<std::string_view, const ShareMemberMetadata*> members;
  for (const auto& [member_id, member] : group.members()) members[member_id] = &member.metadata;
  members[change.member.id] = &change.metadata;
  SimpleAssignmentSpec spec;
  std::map<std::vector<std::string>, std::shared_ptr<const TopicIds>> known;
  for (const auto& [member_id, metadata] : members) {
    auto& ids = known[metadata->subscribed_topic_names];
    if (!ids) {
      TopicIds made;
      for (const std::string& name : metadata->subscribed_topic_names)
        if (const auto id = topics_.id_of(name)) made.insert(*id);
      ids = std::make_shared<const TopicIds>(std::move(made));
    }
    spec.members.push_back(
        {.id = std::string(member_id), .topics = ids, .before = &group.target(member_id)});
  }
  spec.is_homogeneous = std::ranges::all_of(change.subscribed, [&](const auto& topic) {
    return std::cmp_equal(topic.second, members.size());
  });
  if (group.partitions() != nullptr)
    for (const auto& [topic_id, topic] : group.partitions()->initialized)
      spec.assignable[topic_id].assign(topic.partitions.begin(), topic.partitions.end());
  return spec;
}

void ShareProtocol::update_target(Change& change) {
  const ShareGroup& group = *change.group;
  change.target_epoch = group.assignment_epoch();
  change.target = group.target(change.member.id);
  const AssignmentPace pace{
      .last = group.assignment_timestamp(),
      .interval = topics_.share_times_of(group.id())
                      .assignment_interval.value_or(state_.config.share_assignment_interval)};
  if (group.assignment_epoch() >= change.epoch || !pace.is_due(step_.wall)) return;
  const SimpleAssignmentSpec spec = assignment_spec(change);
  Assignments assignments = assign_simply(spec);
  const ShareRecords write(group.id());
  for (size_t i = 0; i < spec.members.size(); ++i) {
    const std::string& member_id = spec.members[i].id;
    const auto known = group.targets().find(member_id);
    if (known == group.targets().end() || known->second != assignments[i])
      append(write.target(member_id, assignments[i]));
    if (member_id == change.member.id) change.target = std::move(assignments[i]);
  }
  append(write.assignment_epoch(change.epoch, step_.wall));
  LOG_DEBUG("share group {}: a target of epoch {}", group.id(), change.epoch);
  change.target_epoch = change.epoch;
}

// Of its target what the member subscribes to now: the target may be of before.
TargetAssignment ShareProtocol::subscribed_part(const Change& change) const {
  TargetAssignment part = change.target;
  const auto& names = change.metadata.subscribed_topic_names;
  std::erase_if(part, [&](const auto& topic) {
    const auto name = topics_.name_of(topic.first);
    return !name || !std::ranges::binary_search(names, *name);
  });
  return part;
}

void ShareProtocol::reconcile_member(Change& change) {
  const ShareAssignment& before = change.member.current;
  ShareAssignment& now = change.current;
  now = before;
  if (!change.bumped && before.is_reconciled_to(change.target_epoch)) return;
  if (change.target_epoch != before.member_epoch) {
    now = {.member_epoch = change.target_epoch,
           .previous_epoch = before.member_epoch,
           .assigned = subscribed_part(change)};
  } else if (change.bumped) {
    now.assigned = subscribed_part(change);
  }
  if (now != before) append(ShareRecords(change.group->id()).current(change.member.id, now));
}

// --- Members that go.

ShareProtocol::Expected<ShareProtocol::HeartbeatResponse> ShareProtocol::leave(
    const HeartbeatRequest& request) {
  auto group = known_group(request.group_id);
  if (!group) return std::unexpected(std::move(group).error());
  const ShareMember* member = (*group)->find(request.member_id);
  if (member == nullptr)
    return refuse(ErrorCode::kUnknownMemberId, fmt::format("Member {} is not a member of group {}.",
                                                           request.member_id, request.group_id));
  fence(**group, *member, "it leaves");
  HeartbeatResponse response;
  response.member_id = request.member_id;
  response.member_epoch = request.member_epoch;
  return response;
}

void ShareProtocol::fence(const ShareGroup& group, const ShareMember& member,
                          std::string_view reason) {
  LOG_INFO("share group {}: member {} is removed, because {}", group.id(), member.id, reason);
  const ShareRecords write(group.id());
  append(write.no_current(member.id));
  append(write.no_target(member.id));
  append(write.no_member(member.id));
  Counts topics = group.subscribed_topics();
  count_topics(topics, member.metadata, -1);
  append(write.epoch({group.next_epoch(), state_.topic_hashes.of_group(topics, topics_)}));
  soft(group.id()).members[member.id].session.cancel();
}

// --- Timers.

Duration ShareProtocol::session_timeout(std::string_view group_id) const {
  return topics_.share_times_of(group_id).session_timeout.value_or(
      state_.config.share_session_timeout);
}

void ShareProtocol::arm_session(const std::string& group_id, const std::string& member_id) {
  state_.timers.arm(soft(group_id).members[member_id].session,
                    step_.now + session_timeout(group_id),
                    {TimerKind::kMemberSession, group_id, member_id});
}

void ShareProtocol::on_timer(const ShareGroup& group, const TimerOwner& owner) {
  if (const ShareMember* member = group.find(owner.member_id))
    fence(group, *member, "its session is over");
}

}  // namespace millrace::group
