// Somebody who asks the active controller for what it must refuse, as a leader might that was cut
// off for long, or a peer that is wrong: ISRs of an old leader epoch, of an old partition epoch, by
// a process of an old broker epoch, with members of an old broker epoch or that are shutting down.
// What makes such a request wrong stays so, however late it arrives.
//
//   IS9   who shuts down, or has another broker epoch by now, joins no ISR
//   IS10  an ISR changes only from the leader and partition epoch that are current
// Threads: one.
#pragma once

#include <string>

#include "sim/cluster.h"
#include "sim/operator.h"
#include "wire/alter_partition.h"

namespace millrace::sim {

class FalseLeader : public Operator {
 public:
  FalseLeader(const Site& site, Cluster& cluster);

 private:
  using Request = wire::AlterPartitionRequest;
  void act() override;
  // What its leader might ask for: the ISR as it is.
  static Request as_the_leader(const metadata::Image& image, const metadata::Topic& topic,
                               size_t index);
  // What is wrong with it now; empty: it could not be made so.
  std::string spoil(Request& request, const metadata::Image& image);
  std::string add_who_leaves(Request& request, const metadata::Image& image);
  void ask(const env::Address& controller, const Request& request, const std::string& why);

  World* world_;
  Cluster* cluster_;
};

}  // namespace millrace::sim
