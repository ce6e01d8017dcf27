// Which directories a node keeps its data in.
// Not here: what is in them (storage/log_directory).
#pragma once

#include <string>
#include <vector>

#include "config/properties.h"

namespace millrace::config {

// log.dirs, else log.dir.
std::vector<std::string> log_directories(const NodeProperties& node);
// Of the metadata log: metadata.log.dir, else the first log directory; "" when there is none.
std::string metadata_directory(const NodeProperties& node);
// All of them: that of the metadata log first, as Apache Kafka formats them.
std::vector<std::string> all_directories(const NodeProperties& node);

}  // namespace millrace::config
