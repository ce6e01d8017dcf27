// The hash of the topics that a group subscribes to: when it changes, partitions are assigned anew.
// It stands in the group's records, so it is Kafka's, bit by bit (KIP-1101): XXH3-64 over ids,
// names, partitions and racks of each topic, and over those of all topics. Internal to group/.
#pragma once

#include <cstdint>
#include <map>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "group/topics.h"

namespace millrace::group {

// 0: there is no such topic.
int64_t topic_hash(std::string_view name, const Topics& topics);
// Of the topics' hashes in the order of their names; 0: there are none.
int64_t group_hash(const std::vector<int64_t>& topic_hashes);

// The hashes of topics that groups subscribe to, kept until the topics change.
class TopicHashes {
 public:
  // Of a group that subscribes to the topics that are keys of a map.
  template <class T>
  int64_t of_group(const std::map<std::string, T, std::less<>>& subscribed, const Topics& topics) {
    return of_names(std::views::keys(subscribed), topics);
  }
  // Names ascend.
  template <class Names>
  int64_t of_names(const Names& names, const Topics& topics) {
    std::vector<int64_t> hashes;
    for (const std::string& name : names)
      if (topics.id_of(name)) hashes.push_back(of_topic(name, topics));
    return group_hash(hashes);
  }
  void forget(const std::string& name) { hashes_.erase(name); }

 private:
  int64_t of_topic(const std::string& name, const Topics& topics);

  std::map<std::string, int64_t, std::less<>> hashes_;
};

}  // namespace millrace::group
