// An administrator who moves partitions: gives them other replicas, more of them or fewer, and
// sometimes takes back what he asked for (KIP-455). What he is answered he does not look at: that
// partitions arrive, and that nothing is lost on the way, is checked by sim/replica_oracle.
// Threads: one.
#pragma once

#include <map>

#include "sim/operator.h"

namespace millrace::sim {

struct ReassignerOptions {
  std::map<std::string, int32_t> topics;  // with how many partitions each has
  int brokers = 1;                        // their ids are 1 and so on
  int64_t least_replicas = 1;
};

class Reassigner : public Operator {
 public:
  Reassigner(const Site& site, ReassignerOptions options);

 private:
  void act() override;
  std::vector<int32_t> draw_replicas();

  ReassignerOptions options_;
};

}  // namespace millrace::sim
