// AlterPartitionReassignments and ListPartitionReassignments (KIP-455, KIP-860): a partition moves
// to other brokers. The ones that are added catch up first, then the others leave
// (partition_change).
// Not here: that completion, which any change of the ISR may bring.
// Invariant: RE1 one that is cancelled leaves none of those that it was adding; one that replaces
// another takes the place of its additions and removals (reassignment_test).
#pragma once

#include "controller/cluster_view.h"
#include "controller/decided.h"
#include "wire/alter_partition_reassignments.h"
#include "wire/list_partition_reassignments.h"

namespace millrace::controller {

Decided<wire::AlterPartitionReassignmentsResponse> alter_partition_reassignments(
    const ClusterView& view, const wire::AlterPartitionReassignmentsRequest& request);

wire::ListPartitionReassignmentsResponse list_partition_reassignments(
    const ClusterView& view, const wire::ListPartitionReassignmentsRequest& request);

}  // namespace millrace::controller
