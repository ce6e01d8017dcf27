// What of a broker's configuration the group coordinator acts on.
// Not here: parsing (config/), the topic __consumer_offsets and its own configs (node/).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace millrace::group {

// Between the classic and the consumer protocol, while members work.
enum class MigrationPolicy : uint8_t { kDisabled, kUpgrade, kDowngrade, kBidirectional };
// In any case; kDisabled for what is none.
MigrationPolicy migration_policy(std::string_view name);

// Defaults are Kafka's. The comment is the name in server.properties.
struct GroupConfig {
  Duration min_session_timeout = seconds(6);      // group.min.session.timeout.ms
  Duration max_session_timeout = seconds(1800);   // group.max.session.timeout.ms
  Duration initial_rebalance_delay = seconds(3);  // group.initial.rebalance.delay.ms
  int32_t max_size = INT32_MAX;                   // group.max.size
  // A member that has no id yet cannot send heartbeats while its JoinGroup waits; it is forgotten
  // after this long. Fixed in Kafka.
  Duration new_member_join_timeout = seconds(300);
  int32_t offset_metadata_max_size = 4096;  // offset.metadata.max.bytes, in UTF-16 code units
  milliseconds offsets_retention = seconds(7 * 24 * 3600);   // offsets.retention.minutes
  Duration offsets_retention_check_interval = seconds(600);  // ...retention.check.interval.ms
  Duration consumer_session_timeout = seconds(45);           // group.consumer.session.timeout.ms
  Duration consumer_heartbeat = seconds(5);                  // ...consumer.heartbeat.interval.ms
  milliseconds assignment_interval = seconds(1);             // ...consumer.assignment.interval.ms
  int32_t consumer_max_size = INT32_MAX;                     // group.consumer.max.size
  milliseconds consumer_regex_refresh = seconds(600);  // ...consumer.regex.refresh.interval.ms
  // group.consumer.assignors: the first one is the default. All of them are known, one at least.
  std::vector<std::string> consumer_assignors = {"uniform", "range"};
  Duration share_session_timeout = seconds(45);           // group.share.session.timeout.ms
  Duration share_heartbeat = seconds(5);                  // ...share.heartbeat.interval.ms
  milliseconds share_assignment_interval = seconds(1);    // ...share.assignment.interval.ms
  int32_t share_max_size = 200;                           // group.share.max.size
  Duration share_initialize_retry = seconds(30);          // ...share.initialize.retry.interval.ms
  Duration streams_session_timeout = seconds(45);         // group.streams.session.timeout.ms
  Duration streams_heartbeat = seconds(5);                // ...streams.heartbeat.interval.ms
  milliseconds streams_assignment_interval = seconds(1);  // ...streams.assignment.interval.ms
  Duration streams_initial_delay = seconds(3);            // ...streams.initial.rebalance.delay.ms
  int32_t streams_max_size = INT32_MAX;                   // group.streams.max.size
  int32_t streams_standby_replicas = 0;                   // ...streams.num.standby.replicas
  MigrationPolicy migration = MigrationPolicy::kBidirectional;  // ...consumer.migration.policy
};

}  // namespace millrace::group
