// What the life of a broker means for the partitions it holds: who leaves ISRs, who leads instead,
// who may lead again.
// Not here: when a broker is fenced or registered (brokers), the rules of a change
// (partition_change).
#pragma once

#include <vector>

#include "controller/partition_changes.h"

namespace millrace::controller {

// It serves no more: fenced, shutting down or gone.
void leave_partitions(const ClusterView& view, NodeId broker, PartitionChanges& changes);
// Another process is in its place, with these log directories; without a clean stop that one may
// have lost what was acknowledged, so that it is not eligible either (KIP-966). A directory that is
// there no more may have held whatever replica had not been placed yet.
void forget_partitions(const ClusterView& view, NodeId broker, const std::vector<Uuid>& directories,
                       PartitionChanges& changes);
// It serves from now on: partitions that nobody leads may be its.
void rejoin_partitions(const ClusterView& view, NodeId broker, PartitionChanges& changes);
// These directories of it failed (KIP-858).
void leave_directories(const ClusterView& view, NodeId broker, const std::vector<Uuid>& failed,
                       PartitionChanges& changes);

}  // namespace millrace::controller
