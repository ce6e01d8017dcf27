// What of a broker's configuration the share coordinator acts on.
// Not here: parsing (config/), the topic __share_group_state and its own configs (server/).
#pragma once

#include <cstdint>

#include "base/time.h"

namespace millrace::share {

// Defaults are Kafka's. The comment is the name in server.properties.
struct CoordinatorConfig {
  // share.coordinator.snapshot.update.records.per.snapshot
  int32_t updates_per_snapshot = 500;
  // share.coordinator.cold.partition.snapshot.interval.ms
  milliseconds cold_snapshot_interval = seconds(300);
  // share.coordinator.state.topic.prune.interval.ms
  milliseconds prune_interval = seconds(300);
};

}  // namespace millrace::share
