// What a member of a streams group is told: its tasks, how the group is, who else has which
// partitions; and the topics that are to be made.
#include <algorithm>

#include "group/streams_protocol.h"

namespace millrace::group {
namespace {

using Response = wire::StreamsGroupHeartbeatResponse;
using streams::InternalTopics;

// A request to make topics of which nothing is heard is over by then: no request is forwarded for
// longer.
constexpr Duration kLongestCreation = seconds(60);
// So long what was found of the topics holds when nothing is heard of them: 24 days, Kafka's.
constexpr Duration kFresh = milliseconds(INT32_MAX);

std::vector<Response::TaskIds> to_wire(const streams::Tasks& tasks) {
  std::vector<Response::TaskIds> ids;
  for (const auto& [subtopology, partitions] : tasks)
    ids.push_back(
        {.subtopology_id = subtopology, .partitions = {partitions.begin(), partitions.end()}});
  return ids;
}

streams::Tasks without_epochs(const streams::EpochTasks& tasks) {
  streams::Tasks plain;
  for (const auto& [subtopology, partitions] : tasks)
    for (const auto& [partition, epoch] : partitions) plain[subtopology].insert(partition);
  return plain;
}

wire::CreateTopicsRequest::CreatableTopic to_create(const streams::InternalTopic& topic) {
  wire::CreateTopicsRequest::CreatableTopic made;
  made.name = topic.name;
  made.num_partitions = topic.partitions;
  made.replication_factor = topic.replication_factor == 0 ? -1 : topic.replication_factor;
  for (const auto& [name, value] : topic.configs)
    made.configs.push_back({.name = name, .value = value});
  return made;
}

// The partitions that a task reads: its own number of each topic that has as many.
std::vector<Response::TopicPartition> partitions_of(const streams::Tasks& tasks,
                                                    const streams::ConfiguredTopology& topology,
                                                    const Topics& topics) {
  std::vector<Response::TopicPartition> all;
  for (const auto& [id, partitions] : tasks) {
    const auto subtopology = topology.subtopologies->find(id);
    if (subtopology == topology.subtopologies->end()) continue;
    std::set<std::string> names = subtopology->second.source_topics;
    for (const auto& [name, topic] : subtopology->second.repartition_source_topics)
      names.insert(name);
    for (const std::string& name : names) {
      const int32_t count = topics.partition_count(name);
      Response::TopicPartition read{.topic = name};
      std::ranges::copy_if(partitions, std::back_inserter(read.partitions),
                           [&](int32_t partition) { return partition < count; });
      if (!read.partitions.empty()) all.push_back(std::move(read));
    }
  }
  return all;
}

Response::EndpointToPartitions endpoint_of(const StreamsMemberMetadata::Endpoint& endpoint,
                                           const streams::OwnedTasks& tasks,
                                           const streams::ConfiguredTopology& topology,
                                           const Topics& topics) {
  Response::EndpointToPartitions found;
  found.user_endpoint = {.host = endpoint.host, .port = endpoint.port};
  if (!topology.subtopologies) return found;
  found.active_partitions = partitions_of(without_epochs(tasks.active), topology, topics);
  found.standby_partitions = partitions_of(tasks.standby, topology, topics);
  return found;
}

}  // namespace

Duration StreamsProtocol::heartbeat_interval(std::string_view group_id) const {
  return topics_.streams_settings_of(group_id).times.heartbeat_interval.value_or(
      state_.config.streams_heartbeat);
}

StreamsHeartbeatAnswer StreamsProtocol::answer(const HeartbeatRequest& request, Change& change) {
  GroupSoft& known = soft(request.group_id);
  if (change.reconfigured) {
    known.streams.configured = std::move(*change.reconfigured);
    change.configured = &*known.streams.configured;
    known.fresh_until = step_.now + kFresh;
  }
  if (request.shutdown_application && !known.streams.shutdown_by)
    known.streams.shutdown_by = request.member_id;
  StreamsHeartbeatAnswer answer;
  HeartbeatResponse& response = answer.response;
  response.member_id = change.member.id;
  response.member_epoch = change.current.member_epoch;
  response.heartbeat_interval_ms = static_cast<int32_t>(
      std::chrono::duration_cast<milliseconds>(heartbeat_interval(request.group_id)).count());
  // A member that says that it has something else is told again, other than by Apache Kafka: an
  // answer of before may have been lost.
  const streams::OwnedTasks& assigned = change.current.assigned;
  const streams::Assignment told{without_epochs(assigned.active), assigned.standby,
                                 assigned.warmup};
  if (has_news(request, change) || (change.owned && *change.owned != told)) {
    response.active_tasks = to_wire(told.active);
    response.standby_tasks = to_wire(told.standby);
    response.warmup_tasks = to_wire(told.warmup);
  }
  add_endpoints(request, change, response);
  add_missing_topics(change, answer);
  add_statuses(change, response);
  return answer;
}

bool StreamsProtocol::has_news(const HeartbeatRequest& request, const Change& change) {
  return request.member_epoch == kJoiningEpoch ||
         change.member.current.assigned != change.current.assigned;
}

// A change of who reads what raises the epoch of that knowledge; who knows another one is told all.
// Of a group that is just being made nothing is kept, as in Apache Kafka: the next heartbeat tells
// it again.
void StreamsProtocol::add_endpoints(const HeartbeatRequest& request, const Change& change,
                                    HeartbeatResponse& response) {
  int32_t& known = soft(request.group_id).streams.endpoint_epoch;
  int32_t epoch = change.made ? 0 : known;
  if (has_news(request, change) && change.metadata.user_endpoint) ++epoch;
  if (!change.made) response.endpoint_information_epoch = known = epoch;
  if (epoch == request.endpoint_information_epoch) return;
  auto& all = response.partitions_by_user_endpoint.emplace();
  const auto add = [&](const StreamsMemberMetadata& metadata, const streams::OwnedTasks& tasks) {
    if (metadata.user_endpoint)
      all.push_back(endpoint_of(*metadata.user_endpoint, tasks, *change.configured, topics_));
  };
  for (const auto& [member_id, member] : change.group->members())
    if (member_id != change.member.id) add(member.metadata, member.current.assigned);
  add(change.metadata, change.current.assigned);
}

void StreamsProtocol::add_missing_topics(const Change& change, StreamsHeartbeatAnswer& answer) {
  StreamsSoft& known = soft(change.group->id()).streams;
  const auto is_over = [&](const auto& entry) { return entry.second.until <= step_.now; };
  std::erase_if(known.creations, is_over);
  for (const auto& [name, topic] : change.configured->missing) {
    if (known.creations.contains(name)) continue;
    answer.missing_topics.push_back(to_create(topic));
    known.creations[name] = {.until = step_.now + kLongestCreation};
  }
}

// Of three topics that could not be made.
std::string StreamsProtocol::creation_errors(const StreamsSoft& soft,
                                             const InternalTopics& topics) const {
  constexpr size_t kShown = 3;
  std::string text;
  size_t failed = 0;
  for (const auto& [name, creation] : soft.creations) {
    if (creation.error.empty() || !topics.contains(name)) continue;
    if (failed++ < kShown)
      text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", name, creation.error);
  }
  if (failed > kShown) text += fmt::format(" and {} more", failed - kShown);
  return text.empty() ? text : fmt::format("; Creation failed: {}.", text);
}

void StreamsProtocol::add_statuses(const Change& change, HeartbeatResponse& response) {
  const StreamsSoft& known = soft(change.group->id()).streams;
  const auto add = [&](const streams::Status& status) {
    response.status->push_back(
        {.status_code = static_cast<int8_t>(status.code), .status_detail = status.detail});
  };
  for (const streams::Status& status : change.statuses) add(status);
  if (auto problem = change.configured->problem) {
    problem->detail += creation_errors(known, change.configured->missing);
    add(*problem);
  }
  if (known.shutdown_by)
    add({streams::StatusCode::kShutdownApplication,
         fmt::format("Streams group member {} encountered a fatal error and requested a shutdown "
                     "for the entire application.",
                     *known.shutdown_by)});
}

void StreamsProtocol::note_topics(const std::string& group_id,
                                  const std::vector<StreamsTopicOutcome>& outcomes) {
  const auto known = state_.soft_groups.find(group_id);
  if (known == state_.soft_groups.end()) return;
  auto& creations = known->second.streams.creations;
  const Instant until = step_.now + 2 * heartbeat_interval(group_id);
  for (const auto& [name, error] : outcomes) {
    creations.erase(name);
    if (!error.empty()) creations[name] = {.until = until, .error = error};
  }
}

}  // namespace millrace::group
