// The hash of the topics that a group subscribes to: when it changes, partitions are assigned anew.
// It stands in the group's records, so it is Kafka's, bit by bit (KIP-1101): XXH3-64 over ids,
// names, partitions and racks of each topic, and over those of all topics. Internal to group/.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "group/topics.h"

namespace millrace::group {

// 0: there is no such topic.
int64_t topic_hash(std::string_view name, const Topics& topics);
// Of the topics' hashes in the order of their names; 0: there are none.
int64_t group_hash(const std::vector<int64_t>& topic_hashes);

}  // namespace millrace::group
