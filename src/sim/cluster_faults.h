// What goes wrong in a cluster, and when. A seed enables some kinds of fault and leaves out others,
// and draws how many nodes may be struck at once; a fault takes one node, a pair, a majority or
// all.
// Not here: the faults of one broker alone (sim/faults).
//
// Wipes: a broker's data go with its disk, or one of several, when no partition rests on it alone,
// and what the quorum keeps is elsewhere.
// Threads: one. After heal() nothing new breaks, what is broken is mended, and every node is
// started that is down.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/cluster.h"
#include "sim/replays.h"
#include "sim/swarm.h"

namespace millrace::sim {

struct ClusterFaultOptions {
  bool power_loss = true;
  bool wipes = false;
  bool has_spare_copies = false;  // of what is acknowledged: with synced logs and min ISR above 1
  bool rots = false;              // one medium may lose what it has, where there are other copies
  Duration disk_time = std::chrono::microseconds(200);  // when nothing is wrong
  Duration mean_time_between = seconds(2);
};

class ClusterFaults {
 public:
  ClusterFaults(World& world, Network& network, Cluster& cluster, ClusterFaultOptions options);

  void begin();
  void heal();
  // Nothing that was begun is still under way, and every node runs.
  bool is_quiet() const;
  std::string enabled() const { return names_of_enabled(kinds_); }
  std::function<void(NodeId)> on_wiped;
  // The node's medium may lose something.
  std::function<void(Cluster::Node&)> on_rot;
  // For scripts, too.
  void start(Cluster::Node& node);
  void lose_power_of(Cluster::Node& node);

 private:
  using Node = Cluster::Node;
  using Kind = FaultKind<void (ClusterFaults::*)(Node&)>;
  void next();
  void strike_once();
  Node* draw_victim();
  Node& draw_other(const Node& node);
  Duration draw_time(Range ms);

  void kill(Node& node);
  void kill_in_the_middle(Node& node);
  void lose_power(Node& node);
  void lose_power_in_the_middle(Node& node);
  void lose_power_of_most(Node& node);
  void lose_power_of_all(Node& node);
  void kill_new_leaders(Node& node);
  void restart(Node& node);
  void restart_all_in_turn(Node& node);
  void pause(Node& node);
  void isolate(Node& node);
  void cut_one_way(Node& node);
  void cut_pair(Node& node);
  void flap(Node& node);
  void halve(Node& node);
  void delay(Node& node);
  void reset(Node& node);
  void step_clock(Node& node);
  void slow_disk(Node& node);
  void fill_disk(Node& node);
  void fail_syncs(Node& node);
  void break_directory(Node& node);
  void wipe(Node& node);
  void replay(Node& node);
  void rot(Node& node);
  void replay_again(int times);

  void expect_errors(int more);
  void start_later(Node& node, Range ms);
  void end_life(Node& node, int life, bool with_power);
  // Kills whoever leads the quorum in a newer epoch, so often, as long as there is time.
  struct Hunt {
    LeaderEpoch after;
    int kills = 0;
    Instant until;
  };
  void hunt(Hunt rest);
  void die_in_the_middle(Node& node, bool with_power);
  void lose_power_of_some(size_t count);
  void stop_then_start(Node& node, std::function<void()> then);
  void restart_from(size_t index);
  void flap_again(Network::Way way, int times);
  bool may_be_wiped(const Node& node);
  // `mend` runs when the time is over, whatever has happened to the node meanwhile.
  void mend_after(Duration time, std::function<void()> mend);

  World* world_;
  Network* network_;
  Cluster* cluster_;
  ClusterFaultOptions options_;
  Replays replays_;
  std::vector<Kind> kinds_;
  std::map<NodeId, BrokerEpoch> wiped_;  // with the epoch of the registration before
  std::set<NodeId> struck_;              // whom something is being done to
  NodeId rotting_;                       // whose medium it is
  size_t most_struck_;
  bool targets_leaders_;
  bool has_rotted_ = false;
  bool healed_ = false;
  int busy_ = 0;
  int errors_expected_ = 0;
};

}  // namespace millrace::sim
