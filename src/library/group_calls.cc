#include "library/group_calls.h"

#include <utility>

namespace millrace::library {
namespace {

using client::Done;
using client::core::Destination;
using client::core::Lane;

// Finds the coordinator and calls it; `read` makes an answer of an error code and a response.
template <class Request, class Answer, class Read>
void ask(client::Client& client, const std::string& group, Request request, Read read,
         Done<Answer> done) {
  client.find_coordinator(
      group, [&client, request = std::move(request), read = std::move(read),
              done = std::move(done)](Result<client::core::FoundCoordinator> found) mutable {
        if (!found) return done(std::unexpected(std::move(found).error()));
        if (found->error != 0) return done(read(found->error, {}));
        client.call(Destination::to(found->node, Lane::kCalls), std::move(request),
                    [read = std::move(read), done = std::move(done)](auto response) mutable {
                      if (!response) return done(std::unexpected(std::move(response).error()));
                      done(read(0, std::move(*response)));
                    });
      });
}

CommittedOffsets committed_in(int16_t error, const wire::OffsetFetchResponse& response) {
  CommittedOffsets result{.error = error, .offsets = {}};
  for (const auto& group : response.groups) {
    if (group.error_code != 0) result.error = group.error_code;
    for (const auto& topic : group.topics)
      for (const auto& each : topic.partitions) {
        if (each.error_code != 0 && result.error == 0) result.error = each.error_code;
        if (each.committed_offset < 0) continue;
        result.offsets[{topic.name, PartitionIndex(each.partition_index)}] = {
            Offset(each.committed_offset), LeaderEpoch(each.committed_leader_epoch),
            each.metadata.value_or("")};
      }
  }
  return result;
}

int16_t first_error(int16_t error, const wire::OffsetCommitResponse& response) {
  for (const auto& topic : response.topics)
    for (const auto& each : topic.partitions)
      if (error == 0) error = each.error_code;
  return error;
}

}  // namespace

void fetch_committed(client::Client& client, const std::string& group, const Wanted& wanted,
                     Done<CommittedOffsets> done) {
  wire::OffsetFetchRequest request{.require_stable = true};
  auto& asked = request.groups.emplace_back();
  asked.group_id = group;
  if (!wanted) asked.topics.reset();
  for (const auto& each : wanted.value_or(std::vector<TopicPartition>{})) {
    if (asked.topics->empty() || asked.topics->back().name != each.topic)
      asked.topics->push_back({.name = each.topic});
    asked.topics->back().partition_indexes.push_back(each.partition.value());
  }
  ask(client, group, std::move(request), &committed_in, std::move(done));
}

void commit_offsets(client::Client& client, const std::string& group,
                    const std::map<TopicPartition, Offset>& offsets, Done<int16_t> done) {
  wire::OffsetCommitRequest request{.group_id = group};
  for (const auto& [partition, offset] : offsets) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back({.partition_index = partition.partition.value(),
                                                .committed_offset = offset.value(),
                                                .committed_metadata = ""});
  }
  ask(client, group, std::move(request), &first_error, std::move(done));
}

}  // namespace millrace::library
