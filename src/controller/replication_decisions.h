// Decisions about single partitions: ISRs as their leaders see them (AlterPartition), elections
// that somebody or the clock asks for, directories that brokers put replicas in.
// Not here: the rules of a change (partition_change), reassignments (reassignment), what the life
// of brokers means for partitions (broker_decisions).
// Invariant: RD1 an ISR changes only as the leader of the current epoch asks, from the partition
// epoch that is current; who joins it is registered, unfenced, not shutting down, and of the broker
// epoch under which it caught up (KIP-497, KIP-704, KIP-841, KIP-903).
#pragma once

#include "controller/cluster_view.h"
#include "controller/decided.h"
#include "wire/alter_partition.h"
#include "wire/assign_replicas_to_dirs.h"
#include "wire/elect_leaders.h"

namespace millrace::controller {

// Versions 2 and 3: an ISR without epochs is one whose epochs nobody checks.
Decided<wire::AlterPartitionResponse> alter_partition(const ClusterView& view,
                                                      const wire::AlterPartitionRequest& request);

// KIP-460: preferred or unclean, of the partitions named or of all.
Decided<wire::ElectLeadersResponse> elect_leaders(const ClusterView& view,
                                                  const wire::ElectLeadersRequest& request);

// Which directory a broker has each replica in (KIP-858).
Decided<wire::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
    const ClusterView& view, const wire::AssignReplicasToDirsRequest& request);

// As many as the clock may change in one decision.
inline constexpr size_t kMaxElections = 1000;
// Gives back partitions to their first replicas.
Records elect_preferred_leaders(const ClusterView& view);
// Gives a leader to partitions without one whose topics rather lose data than wait.
Records elect_unclean_leaders(const ClusterView& view);

}  // namespace millrace::controller
