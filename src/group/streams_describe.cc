// StreamsGroupDescribe.
#include <algorithm>

#include "group/coordinator.h"
#include "group/state.h"

namespace millrace::group {
namespace {

using Response = wire::StreamsGroupDescribeResponse;

template <class Partitions>
std::vector<int32_t> indexes_of(const Partitions& partitions) {
  std::vector<int32_t> indexes;
  for (const auto& each : partitions) {
    if constexpr (requires { each.first; })
      indexes.push_back(each.first);
    else
      indexes.push_back(each);
  }
  return indexes;
}

template <class SomeTasks>
std::vector<Response::TaskIds> ids_of(const SomeTasks& tasks) {
  std::vector<Response::TaskIds> ids;
  for (const auto& [subtopology, partitions] : tasks)
    ids.push_back({.subtopology_id = subtopology, .partitions = indexes_of(partitions)});
  return ids;
}

template <class AllTasks>
Response::Assignment described(const AllTasks& tasks) {
  return {.active_tasks = ids_of(tasks.active),
          .standby_tasks = ids_of(tasks.standby),
          .warmup_tasks = ids_of(tasks.warmup)};
}

Response::Member described(const StreamsMember& member, const streams::Assignment& target) {
  const StreamsMemberMetadata& metadata = member.metadata;
  Response::Member answer;
  answer.member_id = member.id;
  answer.member_epoch = member.current.member_epoch;
  answer.instance_id = metadata.instance_id;
  answer.rack_id = metadata.rack_id;
  answer.client_id = metadata.client_id;
  answer.client_host = metadata.client_host;
  answer.topology_epoch = metadata.topology_epoch;
  answer.process_id = metadata.process_id;
  if (metadata.user_endpoint)
    answer.user_endpoint = {.host = metadata.user_endpoint->host,
                            .port = metadata.user_endpoint->port};
  for (const auto& tag : metadata.client_tags)
    answer.client_tags.push_back({.key = tag.key, .value = tag.value});
  answer.assignment = described(member.current.assigned);
  answer.target_assignment = described(target);
  return answer;
}

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::ranges::sort(names);
  return names;
}

std::vector<Response::TopicInfo> described(std::vector<streams::TopicInfo> infos) {
  std::ranges::sort(infos, {}, &streams::TopicInfo::name);
  std::vector<Response::TopicInfo> answer;
  for (const streams::TopicInfo& info : infos) {
    auto& topic = answer.emplace_back();
    topic.name = info.name;
    topic.partitions = info.partitions;
    topic.replication_factor = info.replication_factor;
    for (const auto& config : info.topic_configs)
      topic.topic_configs.push_back({.key = config.key, .value = config.value});
  }
  return answer;
}

std::vector<Response::TopicInfo> described(const streams::InternalTopics& topics) {
  std::vector<Response::TopicInfo> answer;
  for (const auto& [name, internal] : topics) {
    auto& topic = answer.emplace_back();
    topic.name = name;
    topic.partitions = internal.partitions;
    topic.replication_factor = internal.replication_factor;
    for (const auto& [key, value] : internal.configs)
      topic.topic_configs.push_back({.key = key, .value = value});
  }
  return answer;
}

// As the members told it.
Response::Topology described(const streams::Topology& topology) {
  Response::Topology answer;
  answer.epoch = topology.epoch;
  auto& subtopologies = answer.subtopologies.emplace();
  for (const streams::Subtopology& each : topology.subtopologies) {
    auto& subtopology = subtopologies.emplace_back();
    subtopology.subtopology_id = each.subtopology_id;
    subtopology.source_topics = sorted(each.source_topics);
    subtopology.repartition_sink_topics = sorted(each.repartition_sink_topics);
    subtopology.state_changelog_topics = described(each.state_changelog_topics);
    subtopology.repartition_source_topics = described(each.repartition_source_topics);
  }
  std::ranges::sort(subtopologies, {}, &Response::Subtopology::subtopology_id);
  return answer;
}

// With the numbers of partitions that were found for it.
Response::Topology described(const streams::ConfiguredTopology& topology) {
  Response::Topology answer;
  answer.epoch = topology.epoch;
  auto& subtopologies = answer.subtopologies.emplace();
  for (const auto& [id, each] : *topology.subtopologies) {
    auto& subtopology = subtopologies.emplace_back();
    subtopology.subtopology_id = id;
    subtopology.source_topics.assign(each.source_topics.begin(), each.source_topics.end());
    subtopology.repartition_sink_topics.assign(each.repartition_sink_topics.begin(),
                                               each.repartition_sink_topics.end());
    subtopology.state_changelog_topics = described(each.state_changelog_topics);
    subtopology.repartition_source_topics = described(each.repartition_source_topics);
  }
  return answer;
}

}  // namespace

wire::StreamsGroupDescribeResponse::DescribedGroup Coordinator::describe_streams_group(
    const std::string& group_id) const {
  wire::StreamsGroupDescribeResponse::DescribedGroup answer;
  answer.group_id = group_id;
  const StreamsGroup* group = state_->find_streams(group_id);
  if (group == nullptr) {
    answer.error_code = code_of(ErrorCode::kGroupIdNotFound);
    answer.error_message = state_->find(group_id)
                               ? fmt::format("Group {} is not a streams group.", group_id)
                               : fmt::format("Group {} not found.", group_id);
    return answer;
  }
  answer.group_state = state_name(group->state());
  answer.group_epoch = group->epoch();
  answer.assignment_epoch = group->assignment_epoch();
  const auto soft = state_->soft_groups.find(group_id);
  if (soft != state_->soft_groups.end() && soft->second.streams.configured &&
      soft->second.streams.configured->is_ready())
    answer.topology = described(*soft->second.streams.configured);
  else if (group->topology() != nullptr)
    answer.topology = described(*group->topology());
  for (const auto& [member_id, member] : group->members())
    answer.members.push_back(described(member, group->target(member_id)));
  return answer;
}

}  // namespace millrace::group
