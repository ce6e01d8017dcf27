#include "library/listed_offsets.h"

#include <set>
#include <string>

namespace millrace::library {
namespace {

using client::core::Destination;
using client::core::MetadataCache;
using wire::ErrorCode;

constexpr int kLeaderTries = 5;

// The requests by leader; who has none gets an error.
std::map<NodeId, wire::ListOffsetsRequest> requests_for(const Timestamps& timestamps,
                                                        const MetadataCache& known,
                                                        Isolation isolation,
                                                        ListedOffsets& result) {
  std::map<NodeId, wire::ListOffsetsRequest> requests;
  for (const auto& [partition, timestamp] : timestamps) {
    const auto leader = known.leader(partition);
    const auto* topic = known.topic(partition.topic);
    const bool there = topic != nullptr && topic->partitions.contains(partition.partition);
    if (!leader) {
      result[partition].error = wire::code_of(there ? ErrorCode::kLeaderNotAvailable
                                                    : ErrorCode::kUnknownTopicOrPartition);
      continue;
    }
    auto& request = requests[*leader];
    request.replica_id = -1;
    request.isolation_level = static_cast<int8_t>(isolation);
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back(
        {.partition_index = partition.partition.value(), .timestamp = timestamp});
  }
  return requests;
}

}  // namespace

Result<ListedOffsets> list_offsets(Loop& loop, const Timestamps& timestamps, Isolation isolation) {
  ListedOffsets result;
  Timestamps left = timestamps;
  for (int tries = 0; !left.empty() && tries < kLeaderTries; ++tries) {
    if (tries > 0) Loop::pause();
    std::set<std::string> names;
    for (const auto& [partition, timestamp] : left) names.insert(partition.topic);
    ASSIGN_OR_RETURN(const auto known, loop.look_up({.names = {names.begin(), names.end()}}));
    for (auto& [leader, request] : requests_for(left, known, isolation, result)) {
      ASSIGN_OR_RETURN(const auto response, loop.call(Destination::to(leader), std::move(request)));
      for (const auto& topic : response.topics)
        for (const auto& each : topic.partitions)
          result[{topic.name, PartitionIndex(each.partition_index)}] = {
              Offset(each.offset), TimestampMs(each.timestamp), LeaderEpoch(each.leader_epoch),
              each.error_code};
    }
    std::erase_if(left, [&](const auto& each) {
      return !MetadataCache::is_stale_after(static_cast<ErrorCode>(result[each.first].error));
    });
  }
  return result;
}

}  // namespace millrace::library
