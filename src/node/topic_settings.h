// A topic's configuration as the data path reads it: typed, made when the metadata says so, shared
// by the topic's partitions and replaced as a whole when a config changes.
// Not here: names, defaults and checks of configs (config).
// Threads: immutable, any.
#pragma once

#include <memory>

#include "config/properties.h"
#include "record/produce_validation.h"
#include "storage/log.h"

namespace millrace::node {

struct TopicSettings {
  storage::LogOptions log;
  record::ProduceRules produce;  // but for what a request brings: version, time, names
};

std::shared_ptr<const TopicSettings> topic_settings(const config::NodeProperties& node,
                                                    const config::Values& overrides);

}  // namespace millrace::node
