// Values of the public interface as those of the client, and back.
#pragma once

#include <millrace/record.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/core/consumed_record.h"
#include "client/core/metadata_cache.h"

namespace millrace::library {

inline TopicPartition inner(const v0::TopicPartition& partition) {
  return {partition.topic, PartitionIndex(partition.partition)};
}
inline v0::TopicPartition outer(const TopicPartition& partition) {
  return {partition.topic, partition.partition.value()};
}
std::vector<TopicPartition> inner(const std::vector<v0::TopicPartition>& partitions);
// Of any range of TopicPartition.
template <class Range>
std::vector<v0::TopicPartition> outer_list(const Range& partitions) {
  std::vector<v0::TopicPartition> list;
  for (const auto& each : partitions) list.push_back(outer(each));
  return list;
}
inline std::set<v0::TopicPartition> outer(const std::set<TopicPartition>& partitions) {
  const auto list = outer_list(partitions);
  return {list.begin(), list.end()};
}

client::core::OutgoingRecord inner(v0::ProducerRecord record, uint64_t tag);
v0::ConsumerRecord outer(const client::core::ConsumedRecord& record);
std::vector<v0::PartitionInfo> partitions_in(const client::core::TopicInfo& topic);

}  // namespace millrace::library
