// The clock, the dice and the calendar of a simulation: virtual time, events in the order that the
// seed gives them, and a trace whose hash tells two runs apart.
// Not here: what the events do (sim/host, sim/disk, sim/network), scenarios (sim/scenario).
//
// Time moves from event to event, never by itself. Events of one instant run in an order drawn from
// the seed; an event belongs to an owner (one life of one host), and dies unrun with it.
// Randomness: one stream for each concern, so that one more draw for the network does not change
// what the disk does.
// Threads: one; a process runs one world at a time, for the log sink is global.
// Invariants:
//   ST6 two runs of a seed have the same trace_hash().
//   ST5 no more than kMaxEvents events run (a livelock ends the seed, with an error).
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/shard.h"

namespace millrace::sim {

struct Range {
  int64_t least, most;
};

// A reproducible stream of random numbers.
class Stream final : public env::Random {
 public:
  explicit Stream(uint64_t seed) : state_(seed) {}
  uint64_t next() override;
  bool chance(double probability);
  // One of them, the ends included.
  int64_t between(Range range);
  // Mostly short, sometimes long: exponential with this mean.
  Duration around(Duration mean);

 private:
  uint64_t state_;
};

// Who an event belongs to. Owner 0 is the scenario itself, which never dies.
enum class Owner : uint32_t { kScenario = 0 };

class World {
 public:
  static constexpr uint64_t kMaxEvents = 20'000'000;

  explicit World(uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  uint64_t seed() const { return seed_; }
  Instant now() const { return now_; }
  Owner new_owner() { return static_cast<Owner>(++last_owner_); }
  void at(Instant when, Owner owner, env::Work work);
  void after(Duration delay, Owner owner, env::Work work) {
    at(now_ + delay, owner, std::move(work));
  }
  // The owner is dead: its events are destroyed unrun, later ones are not taken.
  void drop(Owner owner);
  bool is_alive(Owner owner) const;
  // The owner stands still (SIGSTOP): what falls due meanwhile runs when it goes on.
  void pause(Owner owner) { paused_[owner]; }
  void go_on(Owner owner);

  // Runs events up to `until`, or until the first failure.
  void run_until(Instant until);
  void run_for(Duration time) { run_until(now_ + time); }

  // What went wrong: the first is kept, with the name of the invariant.
  void violated(const std::string& invariant, const std::string& detail);
  const std::string& failure() const { return failure_; }
  bool has_failed() const { return !failure_.empty(); }

  // Into the trace, and into the last lines that a failure prints.
  void note(std::string line);
  void mix(uint64_t value);
  uint64_t trace_hash() const { return hash_; }
  uint64_t events_run() const { return events_run_; }
  const std::deque<std::string>& last_lines() const { return lines_; }
  // Error lines are violations unless a fault of this kind was injected.
  void expect_errors(bool expected) { errors_expected_ = expected; }

  Stream schedule, network, disk, faults, workload;

 private:
  struct Key {
    Instant when;
    uint64_t tie;
    uint64_t sequence;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Event {
    Owner owner;
    env::Work work;
  };
  bool hold(const Key& key, Event& event);
  static void take_log_line(log::Level level, std::string_view line);

  uint64_t seed_;
  Instant now_;
  std::map<Key, Event> events_;
  std::map<Owner, std::map<Key, Event>> paused_;  // with what fell due since
  std::vector<bool> dead_;
  uint64_t last_sequence_ = 0;
  uint32_t last_owner_ = 0;
  uint64_t hash_ = 14695981039346656037ULL;
  uint64_t events_run_ = 0;
  std::string failure_;
  std::deque<std::string> lines_;
  bool errors_expected_ = false;
};

}  // namespace millrace::sim
