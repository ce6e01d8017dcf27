// What the coordinator knows of the world beyond its own log, as of the call it is given to:
// topics, and what is configured of a group.
// Not here: the metadata itself (metadata/image.h, node/image_topics.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace millrace::group {

// Of one group, where it differs from GroupConfig: as a consumer or as a share group.
struct GroupTimes {
  std::optional<Duration> session_timeout;          // consumer.session.timeout.ms, share...
  std::optional<Duration> heartbeat_interval;       // consumer.heartbeat.interval.ms, ...
  std::optional<milliseconds> assignment_interval;  // consumer.assignment.interval.ms, ...
};

// The same of a streams group.
struct StreamsSettings {
  GroupTimes times;
  std::optional<Duration> initial_rebalance_delay;  // streams.initial.rebalance.delay.ms
  std::optional<int32_t> standby_replicas;          // streams.num.standby.replicas
};

class Topics {
 public:
  virtual ~Topics() = default;
  virtual std::optional<Uuid> id_of(std::string_view name) const = 0;
  virtual std::optional<std::string> name_of(const Uuid& id) const = 0;
  virtual bool has_partition(std::string_view name, PartitionIndex partition) const = 0;
  virtual int32_t partition_count(std::string_view name) const = 0;  // 0: no such topic
  // Of the brokers that have a replica, as far as they have one; in any order.
  virtual std::vector<std::string> racks_of(std::string_view name,
                                            PartitionIndex partition) const = 0;
  virtual void for_each_name(const std::function<void(const std::string&)>& visit) const = 0;
  // Grows with every change of the metadata.
  virtual int64_t version() const = 0;
  // Of the largest batch that __consumer_offsets takes: its max.message.bytes.
  virtual int64_t max_batch_bytes() const = 0;
  virtual GroupTimes times_of(std::string_view group_id) const = 0;
  virtual GroupTimes share_times_of(std::string_view group_id) const = 0;
  virtual StreamsSettings streams_settings_of(std::string_view group_id) const = 0;
};

}  // namespace millrace::group
