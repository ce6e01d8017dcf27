// Judges each change that the controllers of a simulated cluster have committed by what was before
// it.
//
//   IS7  a process that registers is in no ISR; in no ELR either with a replica that went with its
//        disk
//   IS9  who joins an ISR is registered, unfenced and not shutting down
//   MD5  the epoch of a process is the offset of its registration, and grows
// Not here: what a change means for the data (sim/replica_oracle).
// Threads: one.
#pragma once

#include <set>

#include "sim/committed_records.h"

namespace millrace::sim {

class ControllerOracle {
 public:
  explicit ControllerOracle(World& world) : world_(&world) {}

  void take(const CommittedRecords::Step& step);
  void disk_was_wiped(NodeId node) { wiped_.insert(node); }

 private:
  void check_joining(const CommittedRecords::Step& step, const wire::PartitionChangeRecord& change);
  void check_registration(const CommittedRecords::Step& step,
                          const wire::RegisterBrokerRecord& registration);

  World* world_;
  std::set<NodeId> wiped_;  // since the process before registered
};

}  // namespace millrace::sim
