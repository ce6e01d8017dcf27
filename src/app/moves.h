// Partitions that shall have other replicas, as a request says it (KIP-455).
// Not here: who asks for it, and what is printed (cluster_moves.cc, kafka/reassign_partitions.cc).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "wire/alter_partition_reassignments.h"

namespace millrace::app {

// Nothing: what moves goes back.
using Moves = std::map<TopicPartition, std::optional<std::vector<int32_t>>>;

wire::AlterPartitionReassignmentsRequest request_of(const Moves& moves, int32_t timeout_ms);

}  // namespace millrace::app
