// A streams group's topology, and what of it is whose.
#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "group/assignor.h"
#include "group/streams_protocol.h"

namespace millrace::group {
namespace {

// So long the hash of a group's topics holds when nothing is heard of them: 24 days, Kafka's.
constexpr Duration kFresh = milliseconds(INT32_MAX);
constexpr const char* kStandbyReplicas = "num.standby.replicas";

using TaskIds = wire::StreamsGroupHeartbeatRequest::TaskIds;

std::expected<void, Refusal> check_tasks_of(const std::optional<std::vector<TaskIds>>& tasks,
                                            const streams::ConfiguredTopology& topology) {
  if (!tasks) return {};
  for (const TaskIds& each : *tasks) {
    const auto subtopology = topology.subtopologies->find(each.subtopology_id);
    if (subtopology == topology.subtopologies->end())
      return invalid(
          fmt::format("Subtopology {} does not exist in the topology.", each.subtopology_id));
    const int32_t count = subtopology->second.tasks;
    for (const int32_t partition : each.partitions)
      if (partition < 0 || partition >= count)
        return invalid(fmt::format(
            "Task {} for subtopology {} is invalid. Number of tasks for this subtopology: {}",
            partition, each.subtopology_id, count));
  }
  return {};
}

// Of configs as they stand in a record, which may be another's.
int32_t standby_replicas_of(const AssignmentConfigs& configs) {
  int32_t replicas = 0;
  const auto at = configs.find(kStandbyReplicas);
  if (at != configs.end())
    std::from_chars(at->second.data(), at->second.data() + at->second.size(), replicas);
  return std::max(replicas, 0);
}

// One that is not ready has no tasks for anybody.
void add_subtopologies(const streams::ConfiguredTopology& topology, streams::AssignmentSpec& spec) {
  if (!topology.is_ready()) return;
  for (const auto& [id, subtopology] : *topology.subtopologies)
    spec.subtopologies.push_back({.id = id,
                                  .tasks = subtopology.tasks,
                                  .is_stateful = !subtopology.state_changelog_topics.empty()});
}

}  // namespace

StreamsProtocol::Outcome StreamsProtocol::change_topology(const HeartbeatRequest& request,
                                                          Change& change) {
  change.topology = change.group->topology();
  bool is_well_formed = change.group->is_topology_well_formed();
  if (request.topology) {
    auto told = streams::topology_of(*request.topology);
    if (change.topology == nullptr) {
      is_well_formed = streams::is_well_formed(told);
      append(StreamsRecords(change.group->id()).topology(told));
      change.topology = &change.told.emplace(std::move(told));
    } else if (change.topology->epoch <= told.epoch && !streams::is_same(*change.topology, told)) {
      return invalid("Topology updates are not supported yet.");
    }
  }
  // Kafka trips over both.
  if (change.topology == nullptr || !is_well_formed)
    return refuse(ErrorCode::kUnknownServerError, "");
  if (!change.told && change.metadata.topology_epoch < change.topology->epoch)
    change.statuses.push_back(
        {streams::StatusCode::kStaleTopology,
         fmt::format("The member's topology epoch {} is behind the group's topology epoch {}.",
                     change.metadata.topology_epoch, change.topology->epoch)});
  return {};
}

// Looks at the topics when they may have changed.
StreamsProtocol::Outcome StreamsProtocol::configure_topology(Change& change) {
  const StreamsGroup& group = *change.group;
  // Of a group that is refused in the end nothing is kept.
  const auto known = state_.soft_groups.find(group.id());
  const bool is_known = !change.made && !change.told && known != state_.soft_groups.end() &&
                        known->second.streams.configured.has_value();
  change.hash = group.metadata_hash();
  if (is_known) change.configured = &*known->second.streams.configured;
  if (is_known && known->second.fresh_until && step_.now < *known->second.fresh_until) return {};
  change.hash = state_.topic_hashes.of_names(streams::required_topics(*change.topology), topics_);
  change.bumped |= change.hash != group.metadata_hash();
  if (is_known && change.hash == group.metadata_hash()) {
    known->second.fresh_until = step_.now + kFresh;
    return {};
  }
  auto configured = streams::configure(
      *change.topology, [&](std::string_view topic) { return topics_.partition_count(topic); });
  if (!configured) {
    std::string& message = configured.error().message;
    if (message.empty()) return refuse(ErrorCode::kUnknownServerError, "");
    return refuse(ErrorCode::kStreamsInvalidTopology, std::move(message));
  }
  if (configured->problem)
    LOG_INFO("streams group {}: {}", group.id(), configured->problem->detail);
  change.configured = &change.reconfigured.emplace(std::move(*configured));
  return {};
}

StreamsProtocol::Outcome StreamsProtocol::check_tasks(const HeartbeatRequest& request,
                                                      const Change& change) const {
  if (!change.configured->is_ready()) return {};
  RETURN_IF_ERROR(check_tasks_of(request.active_tasks, *change.configured));
  RETURN_IF_ERROR(check_tasks_of(request.standby_tasks, *change.configured));
  return check_tasks_of(request.warmup_tasks, *change.configured);
}

AssignmentConfigs StreamsProtocol::assignment_configs(std::string_view group_id) const {
  const int32_t replicas = topics_.streams_settings_of(group_id).standby_replicas.value_or(
      state_.config.streams_standby_replicas);
  return {{kStandbyReplicas, std::to_string(replicas)}};
}

// The group's epoch rises when members, the topology, its topics or configs change what is to be
// assigned.
void StreamsProtocol::update_epoch(Change& change) {
  const StreamsGroup& group = *change.group;
  const int32_t validated = change.configured->is_ready() ? change.topology->epoch : -1;
  change.configs = assignment_configs(group.id());
  change.bumped |=
      validated != group.validated_topology_epoch() || change.configs != group.assignment_configs();
  change.epoch = group.epoch();
  if (!change.bumped) return;
  change.epoch = group.next_epoch();
  append(StreamsRecords(group.id())
             .epoch({.epoch = change.epoch,
                     .metadata_hash = change.hash,
                     .validated_topology_epoch = validated,
                     .assignment_configs = change.configs}));
}

// Whoever is the first waits for others: tasks are given out once, not with each that comes.
void StreamsProtocol::delay_first_target(const Change& change) {
  const std::string& group_id = change.group->id();
  Timer& timer = soft(group_id).first_target;
  if (!change.group->is_empty() || timer.is_armed()) return;
  const Duration delay = topics_.streams_settings_of(group_id).initial_rebalance_delay.value_or(
      state_.config.streams_initial_delay);
  if (delay <= Duration::zero()) return;
  state_.timers.arm(timer, step_.now + delay, {TimerKind::kFirstTarget, group_id, ""});
}

bool StreamsProtocol::is_target_due(const StreamsGroup& group) const {
  const AssignmentPace pace{.last = group.assignment_timestamp(),
                            .interval = topics_.streams_settings_of(group.id())
                                            .times.assignment_interval.value_or(
                                                state_.config.streams_assignment_interval)};
  return pace.is_due(step_.wall);
}

// `change`: what becomes of the member that sends the heartbeat; null: nobody does.
streams::AssignmentSpec StreamsProtocol::assignment_spec(const StreamsGroup& group,
                                                         const Change* change,
                                                         const AssignmentConfigs& configs) const {
  std::map<std::string_view, const StreamsMemberMetadata*> members;
  for (const auto& [member_id, member] : group.members()) members[member_id] = &member.metadata;
  if (change != nullptr) members[change->member.id] = &change->metadata;
  streams::AssignmentSpec spec;
  spec.standby_replicas = standby_replicas_of(configs);
  for (const auto& [member_id, metadata] : members)
    spec.members.push_back({.id = std::string(member_id),
                            .process_id = metadata->process_id,
                            .before = group.target(member_id)});
  return spec;
}

std::vector<streams::Assignment> StreamsProtocol::write_targets(
    const StreamsGroup& group, int32_t epoch, const streams::AssignmentSpec& spec) {
  std::vector<streams::Assignment> targets = streams::assign_sticky(spec);
  const StreamsRecords write(group.id());
  for (size_t i = 0; i < targets.size(); ++i) {
    const std::string& member_id = spec.members[i].id;
    const auto known = group.targets().find(member_id);
    if (known == group.targets().end() || known->second != targets[i])
      append(write.target(member_id, targets[i]));
  }
  append(write.assignment_epoch(epoch, step_.wall));
  LOG_DEBUG("streams group {}: a target of epoch {}", group.id(), epoch);
  return targets;
}

void StreamsProtocol::update_target(Change& change) {
  const StreamsGroup& group = *change.group;
  change.target_epoch = group.assignment_epoch();
  const auto delayed = [&](const char* why) {
    change.statuses.push_back({streams::StatusCode::kAssignmentDelayed, why});
  };
  if (soft(group.id()).first_target.is_armed())
    return delayed("Assignment delayed due to the configured initial rebalance delay.");
  change.target = group.target(change.member.id);
  if (group.assignment_epoch() >= change.epoch) return;
  if (!is_target_due(group))
    return delayed("Assignment delayed due to the configured assignment interval.");
  streams::AssignmentSpec spec = assignment_spec(group, &change, change.configs);
  add_subtopologies(*change.configured, spec);
  auto targets = write_targets(group, change.epoch, spec);
  const auto self = std::ranges::find(spec.members, change.member.id, &streams::MemberSpec::id);
  change.target = std::move(targets[static_cast<size_t>(self - spec.members.begin())]);
  change.target_epoch = change.epoch;
}

// The time is over that the first member waited for others.
void StreamsProtocol::make_first_target(const StreamsGroup& group) {
  const auto& configured = soft(group.id()).streams.configured;
  if (group.is_empty() || group.epoch() <= group.assignment_epoch() || !configured ||
      !is_target_due(group))
    return;
  streams::AssignmentSpec spec = assignment_spec(group, nullptr, group.assignment_configs());
  add_subtopologies(*configured, spec);
  write_targets(group, group.epoch(), spec);
}

}  // namespace millrace::group
