// What became of a seed.
#pragma once

#include <string>
#include <vector>

#include "sim/world.h"

namespace millrace::sim {

struct Outcome {
  std::string failure;  // empty: every invariant held
  uint64_t trace_hash = 0;
  uint64_t events = 0;
  Duration virtual_time{};
  size_t acknowledged = 0;
  int lives = 0;
  std::string knobs;  // what the seed drew
  std::vector<std::string> last_lines;
};

// What a scenario counts itself; the rest its world knows.
struct Tally {
  size_t acknowledged = 0;
  int lives = 0;
  std::string knobs;
};

inline Outcome outcome_of(const World& world, Tally tally) {
  return {.failure = world.failure(),
          .trace_hash = world.trace_hash(),
          .events = world.events_run(),
          .virtual_time = world.now().since_start,
          .acknowledged = tally.acknowledged,
          .lives = tally.lives,
          .knobs = std::move(tally.knobs),
          .last_lines = {world.last_lines().begin(), world.last_lines().end()}};
}

}  // namespace millrace::sim
