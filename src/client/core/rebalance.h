// Which replicas should move so that brokers carry equally much, with as few moves as possible: the
// plan behind `millrace cluster rebalance`.
// Not here: asking for the moves (AlterPartitionReassignments), the placing of new partitions
// (controller/placement).
// Inputs: where the replicas are, preferred leader first; the brokers that may carry some, with
// their racks.
// Outputs: the partitions whose replicas, or the order of them, change. The same input gives the
// same plan.
// Invariants (rebalance_test):
//  1. A partition keeps its number of replicas, all on different brokers, unless fewer brokers may
//     carry some.
//  2. Nothing stays on a broker that may carry none.
//  3. No move puts two replicas into one rack that were in different ones, while another broker
//     would do.
//  4. Where every replica may move anywhere, the most and the least loaded broker differ by one
//     replica, and by one preferred leader, at most.
// Threads: a function of its arguments.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"

namespace millrace::client::core {

using Replicas = std::vector<int32_t>;
using Assignment = std::map<TopicPartition, Replicas>;

// The rack by the id of each broker that may carry replicas; "" is a rack, too.
using BrokerRacks = std::map<int32_t, std::string>;

Assignment rebalanced(const Assignment& now, const BrokerRacks& brokers);

}  // namespace millrace::client::core
