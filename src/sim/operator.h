// Somebody who changes a cluster again and again, as chance has it. What he is answered he does not
// look at: what must hold of the cluster is checked by the oracles.
// Not here: what he asks for (sim/reassigner, sim/log_mover, sim/voter_changer).
// Threads: one.
#pragma once

#include <iterator>
#include <map>
#include <string>

#include "sim/client.h"

namespace millrace::sim {

class Operator {
 public:
  virtual ~Operator() = default;

  void start() { later(); }
  // What was asked for goes on, nothing more is.
  void finish() { finishing_ = true; }

 protected:
  Operator(const Site& site, const std::string& name, Duration mean_pause)
      : client_(site, name),
        dice_(site.host->world().workload.next()),
        host_(site.host),
        mean_pause_(mean_pause) {}

  // Asks for one change, and calls later() when it is answered.
  virtual void act() = 0;
  void later() {
    host_->shard(0).after(dice_.around(mean_pause_) + milliseconds(1), [this] {
      if (!finishing_) act();
    });
  }
  template <class Map>
  const auto& any_of(const Map& entries) {
    return *std::next(entries.begin(), static_cast<ptrdiff_t>(dice_.below(entries.size())));
  }

  Client client_;
  Stream dice_;

 private:
  Host* host_;
  Duration mean_pause_;
  bool finishing_ = false;
};

}  // namespace millrace::sim
