#include "app/partition_list.h"

#include <fmt/format.h>

namespace millrace::app {

Outcome<std::vector<TopicPartition>> partitions_of(Session& session, const std::string& topic,
                                                   const std::vector<int32_t>& named) {
  auto known = session.look_up({.names = {topic}});
  if (!known) return std::unexpected(Failure(known.error()));
  const auto* found = known->topic(topic);
  if (found == nullptr) {
    auto heard = known->topics().find(topic);
    const auto code = heard == known->topics().end() ? wire::ErrorCode::kUnknownTopicOrPartition
                                                     : heard->second.error;
    return std::unexpected(
        refusal({fmt::format("use topic '{}'", topic), topic, {}}, wire::code_of(code)));
  }
  std::vector<TopicPartition> partitions;
  for (int32_t index : named) {
    if (!found->partitions.contains(PartitionIndex(index)))
      return std::unexpected(
          Failure(fmt::format("topic '{}' has no partition {}: it has {}, from 0", topic, index,
                              found->partitions.size()),
                  fmt::format("millrace topic describe {}", topic)));
    partitions.push_back({topic, PartitionIndex(index)});
  }
  if (named.empty())
    for (const auto& [index, info] : found->partitions) partitions.push_back({topic, index});
  return partitions;
}

}  // namespace millrace::app
