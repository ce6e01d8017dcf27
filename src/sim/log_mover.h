// An administrator who moves replicas between the log directories of their brokers (KIP-113). What
// he is answered he does not look at: that moves come to their end, and that nothing is lost on the
// way, is checked by sim/replica_oracle.
// Threads: one.
#pragma once

#include <map>

#include "sim/operator.h"

namespace millrace::sim {

struct LogMoverOptions {
  std::map<std::string, int32_t> topics;     // with how many partitions each has
  std::vector<std::string> log_directories;  // of every broker
};

class LogMover : public Operator {
 public:
  LogMover(const Site& site, LogMoverOptions options);

 private:
  void act() override;

  std::vector<env::Address> brokers_;
  LogMoverOptions options_;
};

}  // namespace millrace::sim
