#include "client/core/heartbeats.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace millrace::client::core {

using wire::ErrorCode;

void HeartbeatPace::sent(Instant now) {
  ASSERT(!under_way_, "two heartbeats at once");
  under_way_ = true;
  at_once_ = false;
  tells_all_ = false;
  sent_ = now;
}

std::optional<Instant> HeartbeatPace::wake() const {
  if (under_way_) return std::nullopt;
  return sent_ + interval_;
}

HeartbeatVerdict verdict_on(ErrorCode error) {
  switch (error) {
    case ErrorCode::kNone: return HeartbeatVerdict::kGoOn;
    case ErrorCode::kCoordinatorLoadInProgress: return HeartbeatVerdict::kLater;
    case ErrorCode::kNotCoordinator:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kRequestTimedOut: return HeartbeatVerdict::kFindCoordinator;
    case ErrorCode::kFencedMemberEpoch:
    case ErrorCode::kUnknownMemberId: return HeartbeatVerdict::kFenced;
    default: return HeartbeatVerdict::kFatal;
  }
}

Error heartbeat_failure(std::string_view protocol, const std::string& group, ErrorCode error,
                        const std::optional<std::string>& message) {
  if (error == ErrorCode::kUnsupportedVersion)
    return {Errc::kUnsupported,
            fmt::format("the cluster does not serve groups of the {} protocol", protocol)};
  std::string what =
      fmt::format("group '{}': the coordinator answers {}", group, wire::error_name(error));
  if (message && !message->empty()) what += fmt::format(": {}", *message);
  return {Errc::kInvalid, std::move(what)};
}

Error heartbeat_failure(std::string_view protocol, const std::string& group, const Error& error) {
  if (error.code == Errc::kUnsupported)
    return {Errc::kUnsupported,
            fmt::format("the cluster does not serve groups of the {} protocol: {}", protocol,
                        error.message)};
  return {error.code, fmt::format("group '{}': {}", group, error.message)};
}

bool AssignedTopics::take(Partitions partitions) {
  return std::exchange(target_, std::move(partitions)) != target_;
}

bool AssignedTopics::learn(const std::map<Uuid, std::string>& names) {
  const auto missing = unnamed();
  bool learned = false;
  for (const auto& [id, name] : names) {
    const bool taken = std::ranges::any_of(names_, [&](const auto& e) { return e.second == name; });
    if (name.empty() || taken || !missing.contains(id)) continue;
    names_[id] = name;
    learned = true;
  }
  return learned;
}

void AssignedTopics::keep_names_of(const Partitions& owned) {
  std::set<Uuid> used;
  for (const auto& each : owned) used.insert(each.topic_id);
  for (const auto& each : target_) used.insert(each.topic_id);
  std::erase_if(names_, [&](const auto& each) { return !used.contains(each.first); });
}

AssignedTopics::Partitions AssignedTopics::named() const {
  Partitions partitions;
  for (const auto& each : target_)
    if (names_.contains(each.topic_id)) partitions.insert(each);
  return partitions;
}

std::set<Uuid> AssignedTopics::unnamed() const {
  std::set<Uuid> topics;
  for (const auto& each : target_)
    if (!names_.contains(each.topic_id)) topics.insert(each.topic_id);
  return topics;
}

TopicPartition AssignedTopics::name_of(const TopicIdPartition& partition) const {
  const auto name = names_.find(partition.topic_id);
  ASSERT(name != names_.end(), "topic {} has no name", partition.topic_id);
  return {name->second, partition.partition};
}

std::set<TopicPartition> AssignedTopics::names_of(const Partitions& partitions) const {
  std::set<TopicPartition> names;
  for (const auto& each : partitions) names.insert(name_of(each));
  return names;
}

}  // namespace millrace::client::core
