// What goes wrong in a scenario, and when: the kinds of fault that the seed enables (sim/swarm).
//
// Threads: one. After heal() nothing new breaks, what is broken is mended, and the broker is
// started if it is down.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/broker.h"
#include "sim/rot.h"
#include "sim/swarm.h"

namespace millrace::sim {

struct FaultOptions {
  bool power_loss = true;  // allowed; not with durability=page-cache, which promises nothing then
  Duration disk_time = std::chrono::microseconds(200);  // when nothing is wrong
};

class Faults {
 public:
  struct Targets {
    Network* network;
    Medium* medium;
    Broker* broker;
    Rot* rot;
  };
  Faults(World& world, Targets targets, FaultOptions options);

  void begin();
  void heal();
  std::function<void()> on_started;  // the broker runs again
  // No producer begins anything new from now on; false: they may again.
  std::function<void(bool)> on_quiet;
  // Nothing that was begun is still under way.
  bool is_quiet() const { return busy_ == 0; }
  std::string enabled() const { return names_of_enabled(kinds_); }

 private:
  using Kind = FaultKind<void (Faults::*)()>;
  void next();
  void kill();
  void kill_in_the_middle();
  void lose_power();
  void lose_power_in_the_middle();
  void restart();
  void cut_network();
  void reset_connections();
  void step_clock();
  void slow_disk();
  void fill_disk();
  void fail_syncs();
  void fail_reads();
  void lose_power_after_a_quiet_life();
  void rot();
  void repair_rot();

  // The broker is down: starts it after a while, again and again until it runs.
  void start_later();
  void start();
  void mend_after(Duration time, std::function<void()> mend);
  void die_in_the_middle(bool with_power);

  World* world_;
  Network* network_;
  Medium* medium_;
  Broker* broker_;
  Rot* rot_;
  FaultOptions options_;
  std::vector<Kind> kinds_;
  bool healed_ = false;
  int busy_ = 0;
};

}  // namespace millrace::sim
