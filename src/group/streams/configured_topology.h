// A topology with the topics that there are (KIP-1071): how many tasks each subtopology has, how
// many partitions its own topics need, which of those are missing, or why tasks cannot run.
// Not here: making topics (group/streams_protocol wishes it, server/handlers does it).
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "group/streams/topology.h"

namespace millrace::group::streams {

// What a heartbeat's answer says of the group beside its error. The numbers are the protocol's.
enum class StatusCode : int8_t {
  kStaleTopology = 0,
  kMissingSourceTopics = 1,
  kIncorrectlyPartitionedTopics = 2,
  kMissingInternalTopics = 3,
  kShutdownApplication = 4,
  kAssignmentDelayed = 5
};

struct Status {
  StatusCode code = StatusCode::kStaleTopology;
  std::string detail;
  friend bool operator==(const Status&, const Status&) = default;
};

// A topic of the application's own.
struct InternalTopic {
  std::string name;
  int32_t partitions = 0;
  int16_t replication_factor = 0;  // 0: the cluster's default
  std::map<std::string, std::string> configs;
  friend bool operator==(const InternalTopic&, const InternalTopic&) = default;
};
using InternalTopics = std::map<std::string, InternalTopic, std::less<>>;

struct ConfiguredSubtopology {
  int32_t tasks = 0;  // the most partitions that a topic has which it reads
  std::set<std::string> source_topics;
  InternalTopics repartition_source_topics;
  std::set<std::string> repartition_sink_topics;
  InternalTopics state_changelog_topics;
};

struct ConfiguredTopology {
  int32_t epoch = 0;
  // Nothing: that could not be found out, as the problem says.
  std::optional<std::map<std::string, ConfiguredSubtopology, std::less<>>> subtopologies;
  InternalTopics missing;
  std::optional<Status> problem;  // why no tasks can run

  bool is_ready() const { return !problem.has_value(); }
};

// Why a topology is refused for good. Without words: of what Apache Kafka takes for its own error.
struct InvalidTopology {
  std::string message;
};

// Partitions of a topic; 0: there is none.
using PartitionCount = std::function<int32_t(std::string_view topic)>;

// More tasks no topology has: what the coordinator computes for each member and writes of it stays
// within bounds, whatever a member says.
inline constexpr int64_t kMaxTasks = 100'000;

// The topology is well formed (topology.h).
std::expected<ConfiguredTopology, InvalidTopology> configure(const Topology& topology,
                                                             const PartitionCount& count);

}  // namespace millrace::group::streams
