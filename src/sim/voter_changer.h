// An administrator who changes the voters of a dynamic quorum, one at a time (KIP-853). What he is
// answered he does not look at: which sets followed each other is checked by sim/quorum_oracle.
// Threads: one.
#pragma once

#include <string>

#include "raft/types.h"
#include "sim/operator.h"

namespace millrace::sim {

class VoterChanger : public Operator {
 public:
  struct Options {
    std::string cluster_id;
    raft::VoterSet candidates;  // who may be a voter
  };
  VoterChanger(const Site& site, Options options);

 private:
  void act() override;
  void add(NodeId id, const raft::Voter& voter);
  void remove(NodeId id, const raft::Voter& voter);

  Options options_;
};

}  // namespace millrace::sim
