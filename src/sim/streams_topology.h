// What the application of a simulated streams group does: it reads a topic and counts, keeping
// state; or also writes what it counts anew, into a topic of its own with another number of
// partitions, which a second subtopology reads and keeps state of, too.
// A task is one number here: the partition that it reads, of the second subtopology with
// kOfSecond added.
// Threads: none of its own.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "wire/streams_group_heartbeat.h"

namespace millrace::sim {

struct StreamsTopology {
  static constexpr int32_t kOfSecond = 1000;
  static constexpr const char* kFirst = "counting";
  static constexpr const char* kSecond = "merging";
  static constexpr const char* kFirstState = "streamers-store-changelog";
  static constexpr const char* kSecondState = "streamers-merged-changelog";
  static constexpr const char* kRepartition = "streamers-merge-repartition";
  using Tasks = std::set<int32_t>;

  std::string topic;  // that is read, with so many partitions
  int32_t partitions = 1;
  int16_t replicas = 1;  // of its own topics
  std::map<std::string, std::string> configs;
  bool has_second = false;
  int32_t repartitions = 0;  // as the application says; 0: it leaves that to what it reads

  int32_t second_tasks() const { return repartitions == 0 ? partitions : repartitions; }
  Tasks tasks() const;
  // The coordinator has these made, with so many partitions.
  std::map<std::string, int32_t> internal_topics() const;
  TopicPartition read_by(int32_t task) const;
  wire::streams_group_heartbeat_request::Topology to_wire() const;
};

// Of requests and answers, whose structs are alike.
template <class TaskIds>
StreamsTopology::Tasks tasks_of(const std::vector<TaskIds>& ids) {
  StreamsTopology::Tasks tasks;
  for (const TaskIds& each : ids)
    for (const int32_t partition : each.partitions)
      tasks.insert(each.subtopology_id == StreamsTopology::kSecond
                       ? partition + StreamsTopology::kOfSecond
                       : partition);
  return tasks;
}

template <class TaskIds>
std::vector<TaskIds> ids_of(const StreamsTopology::Tasks& tasks) {
  using T = StreamsTopology;
  std::vector<TaskIds> ids;
  for (const int32_t task : tasks) {
    const char* subtopology = task >= T::kOfSecond ? T::kSecond : T::kFirst;
    if (ids.empty() || ids.back().subtopology_id != subtopology)
      ids.push_back({.subtopology_id = subtopology, .partitions = {}});
    ids.back().partitions.push_back(task % T::kOfSecond);
  }
  return ids;
}

}  // namespace millrace::sim
