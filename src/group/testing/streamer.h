// A member of a streams group (KIP-1071) as a client is one, for tests.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "group/streams/topology.h"
#include "group/testing/host.h"

namespace millrace::group::testing {

using StreamsBeat = wire::StreamsGroupHeartbeatResponse;
using StreamsRequest = wire::StreamsGroupHeartbeatRequest;
using OwnTasks = std::map<std::string, std::set<int32_t>>;

// Reads t0, counts in a store, whose changelog is "store".
inline StreamsRequest::Topology counting() {
  StreamsRequest::Topology topology;
  topology.epoch = 1;
  auto& subtopology = topology.subtopologies.emplace_back();
  subtopology.subtopology_id = "0";
  subtopology.source_topics = {"t0"};
  subtopology.state_changelog_topics = {
      {.name = "store", .topic_configs = {{.key = "cleanup.policy", .value = "compact"}}}};
  return topology;
}

inline void add_topic(Host& host, const std::string& name, int32_t partitions) {
  host.topics.ids[name] = Uuid::of_words({9, std::hash<std::string>{}(name)});
  host.topics.counts[name] = partitions;
  ++host.topics.version_now;
  host.machine->on_topics_changed({.names = {name}, .any_created = true}, host.topics);
}

inline OwnTasks tasks_of(const std::optional<std::vector<StreamsBeat::TaskIds>>& ids) {
  OwnTasks tasks;
  if (ids)
    for (const auto& each : *ids)
      tasks[each.subtopology_id].insert(each.partitions.begin(), each.partitions.end());
  return tasks;
}

inline std::vector<StreamsRequest::TaskIds> ids_of(const OwnTasks& tasks) {
  std::vector<StreamsRequest::TaskIds> ids;
  for (const auto& [subtopology, partitions] : tasks)
    ids.push_back(
        {.subtopology_id = subtopology, .partitions = {partitions.begin(), partitions.end()}});
  return ids;
}

class Streamer {
 public:
  Streamer(Host& host, std::string member_id, std::string process = "")
      : id(std::move(member_id)), process_id(std::move(process)), host_(host) {
    if (process_id.empty()) process_id = "process-of-" + id;
  }

  StreamsBeat join() {
    epoch = 0;
    active.clear();
    standby.clear();
    return send(says());
  }
  // Has what it was told, and says so.
  StreamsBeat beat() { return send(says()); }
  StreamsBeat leave() {
    auto request = says();
    request.member_epoch = -1;
    return host_.streams_beat(request).response;
  }
  StreamsRequest says() const {
    StreamsRequest request;
    request.group_id = "st";
    request.member_id = id;
    request.member_epoch = epoch;
    request.endpoint_information_epoch = endpoint_epoch;
    request.active_tasks = ids_of(active);
    request.standby_tasks = ids_of(standby);
    request.warmup_tasks.emplace();
    if (epoch != 0) return request;
    request.rebalance_timeout_ms = 60'000;
    request.topology = topology;
    request.process_id = process_id;
    if (!endpoint.empty()) request.user_endpoint = {.host = endpoint, .port = 80};
    return request;
  }
  StreamsBeat send(const StreamsRequest& request) {
    StreamsHeartbeatAnswer answer = host_.streams_beat(request);
    missing = answer.missing_topics;
    const StreamsBeat& beat = answer.response;
    if (beat.error_code != 0) return beat;
    epoch = beat.member_epoch;
    endpoint_epoch = beat.endpoint_information_epoch;
    if (beat.active_tasks) active = tasks_of(beat.active_tasks);
    if (beat.standby_tasks) standby = tasks_of(beat.standby_tasks);
    return beat;
  }
  std::set<int32_t> tasks() const { return of(active); }
  std::set<int32_t> standbys() const { return of(standby); }

  std::string id;
  std::string process_id;
  std::string endpoint;
  StreamsRequest::Topology topology = counting();
  int32_t epoch = 0;
  int32_t endpoint_epoch = 0;
  OwnTasks active;
  OwnTasks standby;
  std::vector<wire::CreateTopicsRequest::CreatableTopic> missing;

 private:
  static std::set<int32_t> of(const OwnTasks& tasks) {
    const auto subtopology = tasks.find("0");
    return subtopology == tasks.end() ? std::set<int32_t>{} : subtopology->second;
  }

  Host& host_;
};

inline ErrorCode error_of(const StreamsBeat& beat) {
  return static_cast<ErrorCode>(beat.error_code);
}
inline std::string words_of(const StreamsBeat& beat) {
  return fmt::format("{} {}", wire::error_name(error_of(beat)), beat.error_message.value_or(""));
}
// "3 Internal topics are missing: store" a line.
inline std::string statuses_of(const StreamsBeat& beat) {
  std::string text;
  for (const auto& status : *beat.status)
    text +=
        fmt::format("{}{} {}", text.empty() ? "" : "\n", status.status_code, status.status_detail);
  return text;
}

inline wire::StreamsGroupDescribeResponse::DescribedGroup described_streams(const Host& host) {
  return host.machine->describe_streams_group("st");
}

}  // namespace millrace::group::testing
