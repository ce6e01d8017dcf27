// Partitions as commands take them: a topic, and some of its partitions or all.
#pragma once

#include <string>
#include <vector>

#include "app/failure.h"
#include "app/session.h"

namespace millrace::app {

// The partitions of the topic that are named, or all of them when none is. A topic or a partition
// that is not there is a failure.
Outcome<std::vector<TopicPartition>> partitions_of(Session& session, const std::string& topic,
                                                   const std::vector<int32_t>& named);

}  // namespace millrace::app
