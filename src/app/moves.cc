#include "app/moves.h"

namespace millrace::app {

wire::AlterPartitionReassignmentsRequest request_of(const Moves& moves, int32_t timeout_ms) {
  wire::AlterPartitionReassignmentsRequest request{.timeout_ms = timeout_ms};
  for (const auto& [partition, replicas] : moves) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back(
        {.partition_index = partition.partition.value(), .replicas = replicas});
  }
  return request;
}

}  // namespace millrace::app
