// A topic's configuration as the data path reads it: typed, made when the metadata says so, shared
// by the topic's partitions and replaced as a whole when a config changes.
// Not here: names, defaults and checks of configs (config).
// Threads: immutable, any.
#pragma once

#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "config/properties.h"
#include "record/produce_validation.h"
#include "storage/log.h"

namespace millrace::node {

// leader. or follower.replication.throttled.replicas: whose bytes count, and are limited (KIP-73).
class ThrottledReplicas {
 public:
  // "*", or entries "partition:broker"; what is neither is passed over.
  static ThrottledReplicas parse(std::string_view text);
  bool contains(PartitionIndex partition, NodeId broker) const;
  friend bool operator==(const ThrottledReplicas&, const ThrottledReplicas&) = default;

 private:
  bool all_ = false;
  std::set<std::pair<PartitionIndex, NodeId>> replicas_;
};

struct TopicSettings {
  storage::LogOptions log;
  record::ProduceRules produce;  // but for what a request brings: version, time, names
  int32_t min_insync_replicas = 1;
  ThrottledReplicas leader_throttled;    // with the broker that leads
  ThrottledReplicas follower_throttled;  // with the broker that follows
};

// Of the topic's logs.
storage::SharedLogOptions log_options_of(const std::shared_ptr<const TopicSettings>& settings);

std::shared_ptr<const TopicSettings> topic_settings(const config::NodeProperties& node,
                                                    const config::Values& overrides);

}  // namespace millrace::node
