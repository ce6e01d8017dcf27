// How fast a reassignment may be, as configs of the brokers and topics that it touches (KIP-73,
// KIP-542).
// Not here: the reassignment. Threads, errors: those of app/kafka/admin.h.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "app/kafka/admin.h"
#include "app/kafka/reassignment_json.h"

namespace millrace::app::kafka {

struct BrokerMoves {
  Reassignments current;  // what moves already
  Assignment proposed;
  Assignment now;  // of the proposed partitions
};

// Of the partitions' replicas, from where and to where they move.
Attempt<> throttle_between_brokers(Admin& admin, const BrokerMoves& which,
                                   int64_t bytes_per_second);
Attempt<> throttle_between_directories(Admin& admin, const DirectoryMoves& moves,
                                       int64_t bytes_per_second);

// Of all brokers and those of the plan, and of its topics.
Attempt<> clear_throttles(Admin& admin, const ReassignmentPlan& plan);

}  // namespace millrace::app::kafka
