// One seed of a cluster: several brokers, voters among them or apart, clients, and faults of every
// kind drawn from the seed; then everything heals, and clients, replicas and quorum are compared.
// Not here: one broker alone (sim/scenario), what is checked (sim/oracle, sim/quorum_oracle,
// sim/replica_oracle).
//
// Phases: the cluster comes up; chaos; heal; drain (within kDrainTime of virtual time: liveness);
// everything whole again (IS13); all is read and compared; all machines lose their power at once,
// come back, and all is read and compared again.
// Threads: one; one scenario a process at a time.
#pragma once

#include <cstdint>

#include "sim/outcome.h"

namespace millrace::sim {

Outcome run_cluster_scenario(uint64_t seed);

}  // namespace millrace::sim
