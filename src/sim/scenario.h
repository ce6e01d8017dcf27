// One seed: a broker, clients that produce, consume, commit and administer through real requests,
// and faults, all drawn from the seed; then everything heals, the clients finish, and what they
// were told is compared with what is there.
//
// Phases: the topic is made; chaos; heal; drain (within kDrainTime of virtual time: liveness); the
// whole log is read; the broker stops cleanly, starts once more, and it is read again.
// Threads: one; one scenario a process at a time.
#pragma once

#include <cstdint>

#include "sim/outcome.h"

namespace millrace::sim {

Outcome run_scenario(uint64_t seed);

}  // namespace millrace::sim
