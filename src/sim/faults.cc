#include "sim/faults.h"

namespace millrace::sim {
namespace {

constexpr Duration kMeanTimeBetween = seconds(2);
constexpr Duration kVerySlowDisk = milliseconds(400);
constexpr int64_t kDeepestChange = 60;  // of the disk, at which a process dies in the middle

}  // namespace

Faults::Faults(World& world, Targets targets, FaultOptions options)
    : world_(&world),
      network_(targets.network),
      medium_(targets.medium),
      broker_(targets.broker),
      rot_(targets.rot),
      options_(options),
      kinds_{{"kill", &Faults::kill},
             {"kill-in-the-middle", &Faults::kill_in_the_middle},
             {"power", &Faults::lose_power},
             {"power-in-the-middle", &Faults::lose_power_in_the_middle},
             {"restart", &Faults::restart},
             {"cut", &Faults::cut_network},
             {"reset", &Faults::reset_connections},
             {"clock", &Faults::step_clock},
             {"slow-disk", &Faults::slow_disk},
             {"full-disk", &Faults::fill_disk},
             {"failed-sync", &Faults::fail_syncs},
             {"failed-read", &Faults::fail_reads},
             {"power-after-quiet", &Faults::lose_power_after_a_quiet_life},
             {"rot", &Faults::rot}} {
  for (Kind& kind : kinds_) {
    kind.enabled = world_->faults.chance(0.4);
    if (!options_.power_loss && std::string_view(kind.name).starts_with("power"))
      kind.enabled = false;
  }
}

void Faults::begin() {
  world_->note("faults " + enabled());
  for (const Kind& kind : kinds_)
    if (kind.enabled) count_fault(kDrawnPrefix, kind.name);
  next();
}

void Faults::next() {
  world_->after(world_->faults.around(kMeanTimeBetween), Owner::kScenario, [this] {
    if (healed_) return;
    const Kind& kind = kinds_[world_->faults.below(kinds_.size())];
    if (kind.enabled && broker_->is_running() && busy_ == 0) {
      world_->note(std::string("fault: ") + kind.name);
      count_fault(kStruckPrefix, kind.name);
      (this->*kind.strike)();
    }
    next();
  });
}

void Faults::heal() {
  healed_ = true;
  if (broker_->is_running()) broker_->host().set_clock_error(Duration(0));
  world_->note("everything heals");
}

void Faults::mend_after(Duration time, std::function<void()> mend) {
  ++busy_;
  world_->after(time, Owner::kScenario, [this, mend = std::move(mend)] {
    mend();
    --busy_;
  });
}

void Faults::start_later() {
  mend_after(milliseconds(world_->faults.between({1, 1500})), [this] { start(); });
}

void Faults::start() {
  if (broker_->is_running()) return;
  auto started = broker_->start();
  if (rot_->forbids_start()) {
    if (started) world_->violated("ST3", "the broker starts on metadata that rotted");
  } else if (!started) {
    world_->violated("ST2", "the broker does not start again: " + started.error().message);
  } else if (on_started) {
    on_started();
  }
}

void Faults::kill() {
  broker_->kill();
  start_later();
}

void Faults::lose_power() {
  broker_->lose_power();
  start_later();
}

void Faults::die_in_the_middle(bool with_power) {
  ++busy_;
  broker_->kill_at_disk_change(static_cast<uint64_t>(world_->faults.between({1, kDeepestChange})),
                               [this, with_power] {
                                 world_->note("the broker dies");
                                 if (with_power)
                                   broker_->lose_power();
                                 else
                                   broker_->kill();
                                 start_later();
                                 --busy_;
                               });
}

void Faults::kill_in_the_middle() { die_in_the_middle(false); }
void Faults::lose_power_in_the_middle() { die_in_the_middle(true); }

void Faults::restart() {
  ++busy_;
  broker_->stop([this] {
    start_later();
    --busy_;
  });
}

void Faults::cut_network() {
  network_->isolate("broker");
  mend_after(milliseconds(world_->faults.between({10, 3000})), [this] { network_->heal(); });
}

void Faults::reset_connections() { network_->reset_all("broker"); }

void Faults::step_clock() {
  broker_->host().set_clock_error(seconds(world_->faults.between({-3500, 3500})));
}

void Faults::slow_disk() {
  broker_->host().set_mean_disk_time(milliseconds(world_->faults.between({50, 500})));
  mend_after(milliseconds(world_->faults.between({100, 3000})), [this] {
    if (broker_->is_running()) broker_->host().set_mean_disk_time(options_.disk_time);
  });
}

void Faults::fill_disk() {
  medium_->capacity_bytes = medium_->used_bytes() + world_->faults.below(2000);
  world_->expect_errors(true);
  mend_after(milliseconds(world_->faults.between({100, 3000})), [this] {
    medium_->capacity_bytes = UINT64_MAX;
    world_->expect_errors(false);
  });
}

// The operator's answer to a directory that went offline: the machine is started again.
void Faults::fail_syncs() {
  medium_->sync_failure_chance = 0.5;
  world_->expect_errors(true);
  mend_after(milliseconds(world_->faults.between({10, 500})), [this] {
    medium_->sync_failure_chance = 0;
    if (options_.power_loss && world_->faults.chance(0.5))
      broker_->lose_power();
    else
      broker_->kill();
    world_->expect_errors(false);
    start_later();
  });
}

void Faults::fail_reads() {
  medium_->read_failure_chance = 0.05;
  world_->expect_errors(true);
  mend_after(milliseconds(world_->faults.between({10, 1000})), [this] {
    medium_->read_failure_chance = 0;
    broker_->kill();
    world_->expect_errors(false);
    start_later();
  });
}

// What a killed process has written and not synced is the next one's to sync, though nobody writes
// there any more.
void Faults::lose_power_after_a_quiet_life() {
  broker_->host().set_mean_disk_time(kVerySlowDisk);
  mend_after(kVerySlowDisk / 2, [this] {
    broker_->kill();
    on_quiet(true);
    mend_after(milliseconds(world_->faults.between({1, 300})), [this] {
      start();
      mend_after(milliseconds(world_->faults.between({500, 3000})), [this] {
        lose_power();
        on_quiet(false);
      });
    });
  });
}

// Half of the time the next life meets it. Then the operator has the data restored from a copy, and
// starts the broker again; what only helps is the broker's own to mend.
void Faults::rot() {
  const bool helps_only = world_->faults.chance(0.4);
  world_->expect_errors(!helps_only);
  if (helps_only)
    rot_->damage_aid();
  else if (world_->faults.chance(0.3))
    rot_->damage_offsets();
  else if (world_->faults.chance(0.3))
    rot_->damage_metadata();
  else
    rot_->damage_batch();
  if (world_->faults.chance(0.5)) kill();
  mend_after(milliseconds(world_->faults.between({1600, 4000})), [this] { repair_rot(); });
}

void Faults::repair_rot() {
  if (rot_->is_there()) {
    broker_->kill();
    rot_->repair();
    start_later();
  }
  world_->expect_errors(false);
}

}  // namespace millrace::sim
