// Looking inside the coordinator: its invariants and what it says of itself.
#include <fmt/ranges.h>

#include <algorithm>

#include "base/assert.h"
#include "group/coordinator.h"
#include "group/state.h"
#include "wire/codec.h"

namespace millrace::group {
namespace {

std::string hex(const ByteBuffer& bytes) {
  std::string text;
  for (uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::string replicated(const ClassicGroup& group) {
  std::string text = fmt::format("classic {}", group.id());
  if (!group.is_in(ClassicState::kEmpty) && !group.is_in(ClassicState::kStable))
    return text + " rebalancing\n";
  text +=
      fmt::format(" {} generation {} type {} protocol {} leader {} since {}\n",
                  state_name(group.state()), group.generation(), group.protocol_type().value_or(""),
                  group.protocol().value_or(""), group.leader().value_or(""), group.changed());
  for (const auto& [id, member] : group.members())
    text +=
        fmt::format("  member {} instance {} client {} {} timeouts {} {} metadata {} has {}\n", id,
                    member.instance_id.value_or(""), member.client_id, member.client_host,
                    member.session_timeout_ms, member.rebalance_timeout_ms,
                    hex(member.metadata_of(group.protocol().value_or(""))), hex(member.assignment));
  return text;
}

std::string replicated(const OwnedPartitions& owned) {
  std::string text;
  for (const auto& [topic_id, partitions] : owned)
    for (const auto& [partition, epoch] : partitions)
      text += fmt::format(" {}-{}@{}", topic_id, partition, epoch);
  return text;
}

std::string replicated(const TargetAssignment& target) {
  std::string text;
  for (const auto& [topic_id, partitions] : target)
    text += fmt::format(" {}-[{}]", topic_id, fmt::join(partitions, ","));
  return text;
}

std::string replicated(const ConsumerMember& member) {
  const CurrentAssignment& current = member.current;
  return fmt::format("  member {} {} epoch {} before {} {} has{} gives up{}\n", member.id,
                     hex(wire::encode_value(member.metadata, 0)), current.member_epoch,
                     current.previous_epoch, state_name(current.state),
                     replicated(current.assigned), replicated(current.revoking));
}

std::string replicated(const ConsumerGroup& group) {
  std::string text =
      fmt::format("consumer {} epoch {} hash {} target {} at {}{}\n", group.id(), group.epoch(),
                  group.metadata_hash(), group.assignment_epoch(), group.assignment_timestamp(),
                  group.has_partition_metadata() ? " with partitions" : "");
  for (const auto& [member_id, member] : group.members()) text += replicated(member);
  for (const auto& [member_id, target] : group.targets())
    text += fmt::format("  target {}{}\n", member_id, replicated(target));
  for (const auto& [regex, resolved] : group.resolved())
    text += fmt::format("  regex {} version {} at {}: {}\n", regex, resolved.version,
                        resolved.timestamp, fmt::join(resolved.topics, " "));
  return text;
}

std::string replicated(std::string_view what, const ShareTopics& topics) {
  std::string text;
  for (const auto& [topic_id, topic] : topics)
    text += fmt::format("  {} {} {}-[{}]\n", what, topic.name, topic_id,
                        fmt::join(topic.partitions, ","));
  return text;
}

std::string replicated(const ShareMember& member) {
  const ShareAssignment& current = member.current;
  return fmt::format("  member {} {} epoch {} before {} {} has{}\n", member.id,
                     hex(wire::encode_value(member.metadata, 0)), current.member_epoch,
                     current.previous_epoch, state_name(current.state),
                     replicated(current.assigned));
}

std::string replicated(const ShareGroup& group) {
  std::string text =
      fmt::format("share {} epoch {} hash {} target {} at {}\n", group.id(), group.epoch(),
                  group.metadata_hash(), group.assignment_epoch(), group.assignment_timestamp());
  for (const auto& [member_id, member] : group.members()) text += replicated(member);
  for (const auto& [member_id, target] : group.targets())
    text += fmt::format("  target {}{}\n", member_id, replicated(target));
  if (const SharePartitions* partitions = group.partitions()) {
    text += replicated("initializing", partitions->initializing);
    text += replicated("initialized", partitions->initialized);
    for (const auto& [topic_id, name] : partitions->deleting)
      text += fmt::format("  deleting {} {}\n", name, topic_id);
  }
  return text;
}

std::string replicated(const streams::Tasks& tasks) {
  std::string text;
  for (const auto& [subtopology, partitions] : tasks)
    text += fmt::format(" {}_[{}]", subtopology, fmt::join(partitions, ","));
  return text;
}

std::string replicated(const streams::EpochTasks& tasks) {
  std::string text;
  for (const auto& [subtopology, partitions] : tasks)
    for (const auto& [partition, epoch] : partitions)
      text += fmt::format(" {}_{}@{}", subtopology, partition, epoch);
  return text;
}

// AllTasks: streams::Assignment, streams::OwnedTasks.
template <class AllTasks>
std::string replicated_tasks(const AllTasks& tasks) {
  return fmt::format("{} standby{} warmup{}", replicated(tasks.active), replicated(tasks.standby),
                     replicated(tasks.warmup));
}

std::string replicated(const StreamsGroup& group) {
  std::string text = fmt::format(
      "streams {} epoch {} hash {} validated {} target {} at {} topology {}\n", group.id(),
      group.epoch(), group.metadata_hash(), group.validated_topology_epoch(),
      group.assignment_epoch(), group.assignment_timestamp(),
      group.topology() ? hex(wire::encode_value(*group.topology(), 0)) : "none");
  for (const auto& [name, value] : group.assignment_configs())
    text += fmt::format("  config {}={}\n", name, value);
  for (const auto& [member_id, member] : group.members()) {
    const streams::CurrentTasks& current = member.current;
    text += fmt::format("  member {} {} epoch {} before {} state {} has{} gives up{}\n", member_id,
                        hex(wire::encode_value(member.metadata, 0)), current.member_epoch,
                        current.previous_epoch, static_cast<int>(current.state),
                        replicated_tasks(current.assigned), replicated_tasks(current.revoking));
  }
  for (const auto& [member_id, target] : group.targets())
    text += fmt::format("  target {}{}\n", member_id, replicated_tasks(target));
  return text;
}

// Kind: ConsumerGroup, ShareGroup, StreamsGroup.
template <class Kind>
void check_sessions(const State& state, const Kind& group) {
  const auto soft = state.soft_groups.find(group.id());
  for (const auto& [member_id, member] : group.members()) {
    const bool runs = soft != state.soft_groups.end() && soft->second.members.contains(member_id) &&
                      soft->second.members.find(member_id)->second.session.is_armed();
    ASSERT(runs, "GC10 {} {}", group.id(), member_id);
  }
  if (soft == state.soft_groups.end()) return;
  for (const auto& [member_id, timers] : soft->second.members) {
    const auto is_queued = [](const Timer* timer) { return timer->queued != Instant::never(); };
    const Timer* all[] = {&timers.session, &timers.rebalance, &timers.join, &timers.sync};
    ASSERT(group.members().contains(member_id) || std::ranges::any_of(all, is_queued), "GC12 {} {}",
           group.id(), member_id);
  }
}

std::string replicated(const CommittedOffset& offset) {
  return fmt::format("{} epoch {} at {} until {} topic {} metadata {}", offset.offset,
                     offset.leader_epoch, offset.commit_timestamp, offset.expire_timestamp,
                     offset.topic_id, offset.metadata);
}

using DescribedGroup = wire::ConsumerGroupDescribeResponse::DescribedGroup;
using DescribedAssignment = wire::ConsumerGroupDescribeResponse::Assignment;

// Topics that are gone have no name, and are left out.
DescribedAssignment described(const TargetAssignment& partitions, const Topics& topics) {
  DescribedAssignment assignment;
  for (const auto& [topic_id, indexes] : partitions)
    if (auto name = topics.name_of(topic_id))
      assignment.topic_partitions.push_back(
          {.topic_id = topic_id, .topic_name = std::move(*name), .partitions = indexes});
  return assignment;
}

wire::ConsumerGroupDescribeResponse::Member described(const ConsumerMember& member,
                                                      const TargetAssignment& target,
                                                      const Topics& topics) {
  // What it still has to give up it has.
  TargetAssignment owned;
  for (const OwnedPartitions* of : {&member.current.assigned, &member.current.revoking})
    for (const auto& [topic_id, partitions] : *of)
      for (const auto& [partition, epoch] : partitions) owned[topic_id].push_back(partition);
  wire::ConsumerGroupDescribeResponse::Member answer;
  answer.member_id = member.id;
  answer.instance_id = member.metadata.instance_id;
  answer.rack_id = member.metadata.rack_id;
  answer.member_epoch = member.current.member_epoch;
  answer.client_id = member.metadata.client_id;
  answer.client_host = member.metadata.client_host;
  answer.subscribed_topic_names = member.metadata.subscribed_topic_names;
  answer.subscribed_topic_regex = member.metadata.subscribed_topic_regex;
  answer.assignment = described(owned, topics);
  answer.target_assignment = described(target, topics);
  answer.member_type = member.uses_classic() ? 0 : 1;
  return answer;
}

}  // namespace

wire::ConsumerGroupDescribeResponse::DescribedGroup Coordinator::describe_consumer_group(
    const std::string& group_id, const Topics& topics) const {
  DescribedGroup answer;
  answer.group_id = group_id;
  const ConsumerGroup* group = state_->find_consumer(group_id);
  if (group == nullptr) {
    answer.error_code = code_of(ErrorCode::kGroupIdNotFound);
    answer.error_message = state_->find(group_id)
                               ? fmt::format("Group {} is not a consumer group.", group_id)
                               : fmt::format("Group {} not found.", group_id);
    return answer;
  }
  answer.group_state = state_name(group->state());
  answer.group_epoch = group->epoch();
  answer.assignment_epoch = group->assignment_epoch();
  const auto most = std::ranges::max_element(group->assignors(), {},
                                             [](const auto& entry) { return entry.second; });
  answer.assignor_name =
      most == group->assignors().end() ? state_->config.consumer_assignors.front() : most->first;
  for (const auto& [member_id, member] : group->members())
    answer.members.push_back(described(member, group->target(member_id), topics));
  return answer;
}

void Coordinator::check_invariants() const {
  for (const auto& [id, group] : state_->groups)
    if (const auto* classic = group.as<ClassicGroup>()) {
      classic->check_invariants(state_->loaded);
    } else if (const auto* consumer = group.as<ConsumerGroup>()) {
      consumer->check_invariants();
      if (state_->loaded) check_sessions(*state_, *consumer);
    } else if (const auto* share = group.as<ShareGroup>()) {
      share->check_invariants();
      if (state_->loaded) check_sessions(*state_, *share);
    } else if (const auto* streams = group.as<StreamsGroup>()) {
      streams->check_invariants();
      if (state_->loaded) check_sessions(*state_, *streams);
    }
  for (const auto& [ticket, deletions] : state_->group_deletions) {
    const auto is_of = [&](const auto& work) { return work.first.first == ticket; };
    const auto under_way = std::ranges::count_if(state_->share_work, is_of);
    ASSERT(std::cmp_equal(under_way, deletions.left), "GC11 {} {}", under_way, deletions.left);
  }
  state_->offsets.check_invariants();
}

std::string Coordinator::describe() const {
  size_t members = 0;
  size_t parked = 0;
  for (const auto& [id, group] : state_->groups) {
    if (const auto* consumer = group.as<ConsumerGroup>()) members += consumer->members().size();
    if (const auto* share = group.as<ShareGroup>()) members += share->members().size();
    if (const auto* streams = group.as<StreamsGroup>()) members += streams->members().size();
    const auto* classic = group.as<ClassicGroup>();
    if (classic == nullptr) continue;
    members += classic->members().size();
    for (const auto& [member_id, member] : classic->members())
      parked += (member.join ? 1 : 0) + (member.sync ? 1 : 0);
  }
  return fmt::format("{} groups, {} members, {} offsets, {} parked requests", state_->groups.size(),
                     members, state_->offsets.size(), parked);
}

std::string Coordinator::describe_replicated() const {
  std::string text;
  for (const auto& [id, group] : state_->groups) {
    if (const auto* classic = group.as<ClassicGroup>()) {
      text += replicated(*classic);
      continue;
    }
    if (const auto* consumer = group.as<ConsumerGroup>()) {
      text += replicated(*consumer);
      continue;
    }
    if (const auto* share = group.as<ShareGroup>()) {
      text += replicated(*share);
      continue;
    }
    text += replicated(*group.as<StreamsGroup>());
  }
  for (const auto& [group, topics] : state_->offsets.committed())
    for (const auto& [topic, partitions] : topics)
      for (const auto& [index, offset] : partitions)
        text += fmt::format("offset {} {}-{}: {}\n", group, topic, index, replicated(offset));
  state_->offsets.for_each_pending(
      [&](std::string_view group, const PartitionRef& partition, const CommittedOffset& offset) {
        text += fmt::format("pending {} {}-{}: {}\n", group, partition.topic, partition.partition,
                            replicated(offset));
      });
  return text;
}

std::optional<CommittedOffset> Coordinator::committed(std::string_view group_id,
                                                      const TopicPartition& partition) const {
  const CommittedOffset* offset =
      state_->offsets.find(group_id, {partition.topic, partition.partition});
  if (offset == nullptr) return std::nullopt;
  return *offset;
}

}  // namespace millrace::group
