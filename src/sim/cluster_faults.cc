#include "sim/cluster_faults.h"

#include <algorithm>

#include "node/controller_host.h"

namespace millrace::sim {
namespace {

constexpr int64_t kDeepestChange = 60;  // of the disk, at which a process dies in the middle
constexpr Range kDownMs{1, 4000};
constexpr Range kCutMs{10, 8000};
constexpr Range kFlapMs{5, 400};
constexpr Range kReplayMs{1, 60};
constexpr Range kPauseMs{100, 12'000};
constexpr Range kBrokenMs{500, 15'000};
constexpr Range kStartAgainMs{300, 700};
constexpr Duration kHuntTime = seconds(8);
constexpr Duration kHuntStep = milliseconds(1);

}  // namespace

ClusterFaults::ClusterFaults(World& world, Network& network, Cluster& cluster,
                             ClusterFaultOptions options)
    : world_(&world),
      network_(&network),
      cluster_(&cluster),
      options_(options),
      replays_(network),
      kinds_{{"kill", &ClusterFaults::kill},
             {"kill-in-the-middle", &ClusterFaults::kill_in_the_middle},
             {"power", &ClusterFaults::lose_power},
             {"power-in-the-middle", &ClusterFaults::lose_power_in_the_middle},
             {"power-of-most", &ClusterFaults::lose_power_of_most},
             {"power-of-all", &ClusterFaults::lose_power_of_all},
             {"kill-new-leaders", &ClusterFaults::kill_new_leaders},
             {"restart", &ClusterFaults::restart},
             {"restart-in-turn", &ClusterFaults::restart_all_in_turn},
             {"pause", &ClusterFaults::pause},
             {"isolate", &ClusterFaults::isolate},
             {"cut-one-way", &ClusterFaults::cut_one_way},
             {"cut-pair", &ClusterFaults::cut_pair},
             {"flap", &ClusterFaults::flap},
             {"halve", &ClusterFaults::halve},
             {"delay", &ClusterFaults::delay},
             {"reset", &ClusterFaults::reset},
             {"clock", &ClusterFaults::step_clock},
             {"slow-disk", &ClusterFaults::slow_disk},
             {"full-disk", &ClusterFaults::fill_disk},
             {"failed-sync", &ClusterFaults::fail_syncs},
             {"broken-directory", &ClusterFaults::break_directory},
             {"wipe", &ClusterFaults::wipe},
             {"replay", &ClusterFaults::replay},
             {"rot", &ClusterFaults::rot}},
      rotting_(NodeId(static_cast<int32_t>(
          world.faults.between({1, static_cast<int64_t>(cluster.bootstrap().size())})))),
      most_struck_(static_cast<size_t>(world.faults.between(
          {1, std::max<int64_t>(1, static_cast<int64_t>(cluster.size()) - 1)}))),
      targets_leaders_(world.faults.chance(0.3)) {
  bool ends_uncleanly = false, wipes = false;
  for (Kind& kind : kinds_) {
    kind.enabled = world_->faults.chance(0.35);
    const std::string_view name = kind.name;
    if (!options_.power_loss && name.starts_with("power")) kind.enabled = false;
    if (!options_.wipes && name == "wipe") kind.enabled = false;
    if (!options_.rots && name == "rot") kind.enabled = false;
    if (name == "broken-directory") kind.enabled = cluster.node(0).log_directories.size() > 1;
    // Where one copy is enough the one that was in sync last may be the one that is wiped.
    if (name.starts_with("power") || name.starts_with("kill") || name == "failed-sync")
      ends_uncleanly |= kind.enabled;
    if (name == "wipe" && ends_uncleanly && !options_.has_spare_copies) kind.enabled = false;
    // The other copy may be the one that goes with its disk.
    if (name == "wipe") wipes = kind.enabled;
    if (name == "rot" && wipes) kind.enabled = false;
  }
}

void ClusterFaults::begin() {
  world_->note("faults " + enabled());
  for (const Kind& kind : kinds_)
    if (kind.enabled) count_fault(kDrawnPrefix, kind.name);
  next();
}

void ClusterFaults::next() {
  world_->after(world_->faults.around(options_.mean_time_between), Owner::kScenario, [this] {
    if (healed_) return;
    strike_once();
    next();
  });
}

void ClusterFaults::strike_once() {
  const Kind& kind = kinds_[world_->faults.below(kinds_.size())];
  Node* node = draw_victim();
  if (!kind.enabled || !node || struck_.size() >= most_struck_) return;
  world_->note(fmt::format("fault: {} of {}", kind.name, node->name));
  count_fault(kStruckPrefix, kind.name);
  (this->*kind.strike)(*node);
}

// Where faults go for leaders: the active controller, or who leads some partition.
ClusterFaults::Node* ClusterFaults::draw_victim() {
  Stream& dice = world_->faults;
  Node* node = &cluster_->node(dice.below(cluster_->size()));
  if (targets_leaders_ && dice.chance(0.5))
    for (const auto& each : cluster_->nodes())
      if (each->can_be_asked() && each->broker.node().controller().quorum().leader == each->id)
        node = each.get();
  return node->can_be_asked() && !struck_.contains(node->id) ? node : nullptr;
}

ClusterFaults::Node& ClusterFaults::draw_other(const Node& node) {
  for (;;) {
    Node& other = cluster_->node(world_->faults.below(cluster_->size()));
    if (other.id != node.id) return other;
  }
}

Duration ClusterFaults::draw_time(Range ms) { return milliseconds(world_->faults.between(ms)); }

void ClusterFaults::heal() {
  healed_ = true;
  network_->heal();
  for (const auto& node : cluster_->nodes())
    if (node->broker.is_running()) node->broker.host().set_clock_error(Duration(0));
  world_->note("everything heals");
}

bool ClusterFaults::is_quiet() const {
  return busy_ == 0 && std::ranges::all_of(cluster_->nodes(),
                                           [](const auto& node) { return node->can_be_asked(); });
}

void ClusterFaults::mend_after(Duration time, std::function<void()> mend) {
  ++busy_;
  world_->after(time, Owner::kScenario, [this, mend = std::move(mend)] {
    mend();
    --busy_;
  });
}

void ClusterFaults::start_later(Node& node, Range ms) {
  struck_.insert(node.id);
  mend_after(draw_time(ms), [this, &node] { start(node); });
}

void ClusterFaults::start(Node& node) {
  struck_.erase(node.id);
  if (node.broker.is_running()) return;
  if (!node.medium.is_sound()) return start_later(node, kStartAgainMs);
  auto started = node.broker.start();
  if (!started)
    world_->violated("ST2", node.name + " does not start again: " + started.error().message);
}

void ClusterFaults::kill(Node& node) {
  node.broker.kill();
  start_later(node, kDownMs);
}

void ClusterFaults::lose_power_of(Node& node) {
  node.broker.lose_power();
  start_later(node, kDownMs);
}

void ClusterFaults::lose_power(Node& node) { lose_power_of(node); }

void ClusterFaults::die_in_the_middle(Node& node, bool with_power) {
  ++busy_;
  struck_.insert(node.id);
  const auto changes = static_cast<uint64_t>(world_->faults.between({1, kDeepestChange}));
  const int life = node.broker.lives();
  auto over = std::make_shared<bool>(false);
  auto dead = [this, &node, with_power, life, over](bool really) {
    if (std::exchange(*over, true)) return;
    --busy_;
    if (!really || life != node.broker.lives() || !node.broker.is_running())
      return static_cast<void>(struck_.erase(node.id));
    world_->note(node.name + " dies");
    if (with_power) return lose_power_of(node);
    kill(node);
  };
  node.broker.kill_at_disk_change(changes, [dead] { dead(true); });
  // It may have nothing more to write.
  world_->after(seconds(10), Owner::kScenario, [&node, dead, over, life] {
    if (*over || life != node.broker.lives()) return dead(false);
    if (node.can_be_asked()) dead(true);
  });
}

void ClusterFaults::kill_in_the_middle(Node& node) { die_in_the_middle(node, false); }
void ClusterFaults::lose_power_in_the_middle(Node& node) { die_in_the_middle(node, true); }

void ClusterFaults::lose_power_of_some(size_t count) {
  const size_t from = world_->faults.below(cluster_->size());
  for (size_t i = 0; i < count; ++i) {
    Node& node = cluster_->node((from + i) % cluster_->size());
    if (node.can_be_asked() && !struck_.contains(node.id)) lose_power_of(node);
  }
}

void ClusterFaults::lose_power_of_most(Node&) { lose_power_of_some(cluster_->size() / 2 + 1); }
void ClusterFaults::lose_power_of_all(Node&) { lose_power_of_some(cluster_->size()); }

// Before the others have more than its name: what it wrote in its epoch is on its medium alone.
void ClusterFaults::kill_new_leaders(Node& node) {
  const LeaderEpoch now = node.broker.node().controller().quorum().epoch;
  Node* leader = cluster_->active_controller();
  if (leader && !struck_.contains(leader->id)) kill(*leader);
  hunt({.after = now,
        .kills = static_cast<int>(world_->faults.between({1, 3})),
        .until = world_->now() + kHuntTime});
}

void ClusterFaults::hunt(Hunt rest) {
  if (rest.kills == 0 || healed_ || world_->now() > rest.until) return;
  for (const auto& node : cluster_->nodes()) {
    if (!node->can_be_asked() || struck_.contains(node->id)) continue;
    const node::QuorumView quorum = node->broker.node().controller().quorum();
    if (quorum.leader != node->id || quorum.epoch <= rest.after) continue;
    rest.after = quorum.epoch;
    --rest.kills;
    kill(*node);
  }
  mend_after(kHuntStep, [this, rest] { hunt(rest); });
}

void ClusterFaults::stop_then_start(Node& node, std::function<void()> then) {
  ++busy_;
  struck_.insert(node.id);
  node.broker.stop([this, &node, then = std::move(then)] {
    mend_after(draw_time(kDownMs), [this, &node, then] {
      start(node);
      then();
    });
    --busy_;
  });
}

void ClusterFaults::restart(Node& node) {
  stop_then_start(node, [] {});
}

void ClusterFaults::restart_all_in_turn(Node&) { restart_from(0); }

void ClusterFaults::restart_from(size_t index) {
  if (index >= cluster_->size() || healed_) return;
  Node& node = cluster_->node(index);
  if (!node.can_be_asked() || struck_.contains(node.id)) return restart_from(index + 1);
  stop_then_start(node, [this, index] {
    mend_after(draw_time({500, 5000}), [this, index] { restart_from(index + 1); });
  });
}

void ClusterFaults::pause(Node& node) {
  const int life = node.broker.lives();
  node.broker.host().pause();
  struck_.insert(node.id);
  mend_after(draw_time(kPauseMs), [this, &node, life] {
    struck_.erase(node.id);
    if (node.broker.is_running() && node.broker.lives() == life) node.broker.host().go_on();
  });
}

void ClusterFaults::isolate(Node& node) {
  struck_.insert(node.id);
  network_->isolate(node.name);
  mend_after(draw_time(kCutMs), [this, &node] {
    struck_.erase(node.id);
    network_->rejoin(node.name);
  });
}

void ClusterFaults::cut_one_way(Node& node) {
  const Network::Way way{node.name, draw_other(node).name};
  network_->cut(way);
  mend_after(draw_time(kCutMs), [this, way] { network_->heal(way); });
}

void ClusterFaults::cut_pair(Node& node) {
  const Network::Way way{node.name, draw_other(node).name};
  const Network::Way back{way.to, way.from};
  network_->cut(way);
  network_->cut(back);
  mend_after(draw_time(kCutMs), [this, way, back] {
    network_->heal(way);
    network_->heal(back);
  });
}

void ClusterFaults::flap(Node& node) {
  flap_again({node.name, draw_other(node).name}, static_cast<int>(world_->faults.between({3, 20})));
}

void ClusterFaults::flap_again(Network::Way way, int times) {
  if (times == 0) return;
  network_->cut(way);
  mend_after(draw_time(kFlapMs), [this, way, times] {
    network_->heal(way);
    if (!healed_) mend_after(draw_time(kFlapMs), [=, this] { flap_again(way, times - 1); });
  });
}

// Two halves of the cluster; clients reach both.
void ClusterFaults::halve(Node& node) {
  std::vector<Network::Way> ways;
  std::set<std::string> side{node.name};
  while (side.size() < (cluster_->size() + 1) / 2) side.insert(draw_other(node).name);
  for (const auto& from : cluster_->nodes())
    for (const auto& to : cluster_->nodes())
      if (side.contains(from->name) != side.contains(to->name))
        ways.push_back({from->name, to->name});
  for (const auto& way : ways) network_->cut(way);
  mend_after(draw_time(kCutMs), [this, ways] {
    for (const auto& way : ways) network_->heal(way);
  });
}

// Errors tell of it, in later lives too.
void ClusterFaults::rot(Node&) {
  Node& node = *cluster_->find(rotting_);
  if (!node.can_be_asked() || !on_rot) return;
  if (!std::exchange(has_rotted_, true)) expect_errors(1);
  on_rot(node);
}

// Whose requests they were does not matter.
void ClusterFaults::replay(Node&) {
  replay_again(static_cast<int>(world_->faults.between({20, 200})));
}

void ClusterFaults::replay_again(int times) {
  if (times == 0 || healed_) return;
  replays_.repeat_one();
  mend_after(draw_time(kReplayMs), [this, times] { replay_again(times - 1); });
}

void ClusterFaults::delay(Node& node) {
  const Network::Way way{node.name, draw_other(node).name};
  network_->slow_down(way, milliseconds(world_->faults.between({20, 1500})));
  mend_after(draw_time(kCutMs), [this, way] { network_->slow_down(way, Duration(0)); });
}

void ClusterFaults::reset(Node& node) {
  if (world_->faults.chance(0.5)) return network_->reset_all(node.name);
  network_->reset_between({node.name, draw_other(node).name});
}

void ClusterFaults::step_clock(Node& node) {
  node.broker.host().set_clock_error(seconds(world_->faults.between({-3500, 3500})));
}

void ClusterFaults::slow_disk(Node& node) {
  node.broker.host().set_mean_disk_time(milliseconds(world_->faults.between({50, 800})));
  mend_after(draw_time(kCutMs), [this, &node] {
    if (node.broker.is_running()) node.broker.host().set_mean_disk_time(options_.disk_time);
  });
}

// Several faults may expect them at once.
void ClusterFaults::expect_errors(int more) {
  errors_expected_ += more;
  world_->expect_errors(errors_expected_ > 0);
}

void ClusterFaults::fill_disk(Node& node) {
  node.medium.capacity_bytes = node.medium.used_bytes() + world_->faults.below(2000);
  expect_errors(1);
  mend_after(draw_time(kCutMs), [this, &node, life = node.broker.lives()] {
    node.medium.capacity_bytes = UINT64_MAX;
    end_life(node, life, false);
    expect_errors(-1);
  });
}

void ClusterFaults::fail_syncs(Node& node) {
  node.medium.sync_failure_chance = 0.5;
  expect_errors(1);
  mend_after(draw_time({10, 2000}), [this, &node, life = node.broker.lives()] {
    node.medium.sync_failure_chance = 0;
    end_life(node, life, options_.power_loss && world_->faults.chance(0.5));
    expect_errors(-1);
  });
}

// One of several, and not the one with the metadata, without which a node stops.
void ClusterFaults::break_directory(Node& node) {
  std::vector<std::string> paths = node.log_directories;
  std::erase_if(paths,
                [&](const auto& path) { return node.metadata_directory.starts_with(path + "/"); });
  if (!node.is_broker || node.medium.has_broken_directory()) return;
  const std::string path = paths[world_->faults.below(paths.size())];
  world_->note(fmt::format("{} of {} fails", path, node.name));
  PROBE("sim.directory_failed");
  node.medium.break_directory(path);
  expect_errors(1);
  mend_after(draw_time(kBrokenMs), [this, &node, path] {
    node.medium.mend_directory(path);
    end_life(node, node.broker.lives(), options_.power_loss && world_->faults.chance(0.5));
    expect_errors(-1);
  });
}

// A directory that went offline, or a controller that gave up, stays so until the next start. What
// else is being done to the node comes to its end first.
void ClusterFaults::end_life(Node& node, int life, bool with_power) {
  if (!node.broker.is_running() || node.broker.lives() != life) return;
  if (!node.can_be_asked() || struck_.contains(node.id))
    return mend_after(draw_time(kStartAgainMs),
                      [=, this, &node] { end_life(node, life, with_power); });
  if (with_power) return lose_power_of(node);
  kill(node);
}

// Somebody else in the ISR has what it has; what was wiped before counts for nothing until it has
// registered anew.
bool ClusterFaults::may_be_wiped(const Node& node) {
  const auto image = cluster_->newest_image();
  if (!node.is_broker || !image || !image->find_broker(node.id)) return false;
  for (const auto& [wiped, epoch] : wiped_)
    if (!image->find_broker(wiped) || image->find_broker(wiped)->epoch <= epoch) return false;
  for (const auto& [name, topic] : image->topics())
    for (const auto& state : topic->partitions) {
      const bool is_in = std::ranges::find(state.isr, node.id) != state.isr.end() ||
                         std::ranges::find(state.elr, node.id) != state.elr.end();
      if (is_in && state.isr.size() < 2) return false;
    }
  return true;
}

void ClusterFaults::wipe(Node& node) {
  if (!may_be_wiped(node)) return;
  wiped_[node.id] = cluster_->newest_image()->find_broker(node.id)->epoch;
  node.broker.kill();
  const bool all = world_->faults.chance(0.5);
  const std::string one = node.log_directories[world_->faults.below(node.log_directories.size())];
  for (const auto& path : node.log_directories)
    if (all || path == one) node.medium.wipe(path);
  PROBE("sim.disk_wiped");
  if (on_wiped) on_wiped(node.id);
  start_later(node, kDownMs);
}

}  // namespace millrace::sim
