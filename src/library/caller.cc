#include "library/caller.h"

#include <fmt/format.h>

#include <stdexcept>

#include "library/conversions.h"

namespace millrace::library {

using client::core::MetadataCache;
using wire::ErrorCode;

void Caller::refuse_on_loop() const {
  if (loop_.is_here())
    throw std::logic_error("a callback called what blocks: it would wait for itself");
}

NodeId Caller::coordinator(const std::string& group) {
  const auto until = deadline();
  const auto found =
      insist<client::core::FoundCoordinator>([&] { return loop_.find_coordinator(group, until); });
  if (found.error == 0) return found.node;
  throw error_of(found.error, fmt::format("find the coordinator of group '{}'", group),
                 found.message);
}

MetadataCache Caller::look_up(const client::Client::Topics& topics) {
  return insist<MetadataCache>([&] { return loop_.look_up(topics); });
}

std::vector<v0::PartitionInfo> Caller::partitions_of(const std::string& topic, bool create) {
  for (const auto until = deadline();;) {
    const auto known = look_up({.names = {topic}, .create = create});
    const auto found = known.topics().find(topic);
    const auto error =
        found == known.topics().end() ? ErrorCode::kUnknownTopicOrPartition : found->second.error;
    if (error == ErrorCode::kNone) return partitions_in(found->second);
    // Being made; one that shall not be made does not come.
    const bool may_come =
        create ? wire::is_retriable(error) : error == ErrorCode::kLeaderNotAvailable;
    if (!may_come || !Loop::pause_before(until))
      throw error_of(error, fmt::format("look up topic '{}'", topic));
  }
}

ListedOffsets Caller::list_offsets(const Timestamps& timestamps, Isolation isolation) {
  for (const auto until = deadline();;) {
    auto listed =
        insist<ListedOffsets>([&] { return library::list_offsets(loop_, timestamps, isolation); });
    auto failed =
        std::ranges::find_if(listed, [](const auto& each) { return each.second.error != 0; });
    if (failed == listed.end()) return listed;
    const auto error = static_cast<ErrorCode>(failed->second.error);
    const bool may_pass = wire::is_retriable(error) && error != ErrorCode::kUnknownTopicOrPartition;
    if (!may_pass || !Loop::pause_before(until))
      throw error_of(error, fmt::format("look for offsets of {}", failed->first.to_string()));
  }
}

std::map<TopicPartition, Committed> Caller::committed(const std::string& group,
                                                      const Wanted& wanted) {
  for (const auto until = deadline();;) {
    auto answer = insist<CommittedOffsets>([&] {
      return loop_.wait<CommittedOffsets>([&](client::Done<CommittedOffsets> done) {
        fetch_committed(loop_.client(), group, wanted, std::move(done));
      });
    });
    if (answer.error == 0) return std::move(answer.offsets);
    if (!wire::is_retriable(static_cast<ErrorCode>(answer.error)) || !Loop::pause_before(until))
      throw error_of(answer.error, fmt::format("read the committed offsets of group '{}'", group));
  }
}

}  // namespace millrace::library
