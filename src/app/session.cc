#include "app/session.h"

#include <algorithm>
#include <set>

namespace millrace::app {
namespace {

using client::core::Destination;
using wire::ErrorCode;

constexpr int kLeaderTries = 5;

client::ClientOptions options_of(const Connect& connect, std::vector<env::Address> bootstrap) {
  const auto timeout = std::chrono::seconds(std::max(1, connect.timeout_seconds));
  return {.bootstrap = std::move(bootstrap),
          .client_id = connect.client_id,
          .software_version = MILLRACE_VERSION,
          .connect_timeout = std::min<Duration>(timeout, std::chrono::seconds(10)),
          .request_timeout = timeout};
}

}  // namespace

Outcome<std::unique_ptr<Session>> Session::open(const Connect& connect) {
  auto bootstrap = client::parse_bootstrap(connect.bootstrap);
  if (!bootstrap)
    return std::unexpected(
        Failure(bootstrap.error().message, "--bootstrap takes HOST:PORT, several between commas"));
  return std::unique_ptr<Session>(new Session(connect, std::move(*bootstrap)));
}

Session::Session(const Connect& connect, std::vector<env::Address> bootstrap)
    : connect_(connect),
      loop_(options_of(connect, std::move(bootstrap)), library::Loop::Process::kOurs) {}

library::Loop::Deadline Session::coordinator_deadline() const {
  return std::chrono::steady_clock::now() + std::chrono::seconds(connect_.timeout_seconds);
}

Result<NodeId> Session::coordinator(const std::string& group) {
  ASSIGN_OR_RETURN(const auto found, loop_.find_coordinator(group, coordinator_deadline()));
  if (found.error == 0) return found.node;
  return fail(Errc::kNotFound, fmt::format("cannot find the coordinator of group '{}': {}", group,
                                           reason(found.error, found.message)));
}

Outcome<Session::ByLeader> Session::by_leader(const std::vector<TopicPartition>& partitions) {
  std::set<std::string> names;
  for (const auto& each : partitions) names.insert(each.topic);
  auto known = look_up({.names = {names.begin(), names.end()}});
  if (!known) return std::unexpected(Failure(known.error()));
  ByLeader result;
  for (const auto& each : partitions) {
    const auto* topic = known->topic(each.topic);
    const Subject subject{fmt::format("reach topic '{}'", each.topic), each.topic, {}};
    if (topic == nullptr) {
      const auto& all = known->topics();
      const auto found = all.find(each.topic);
      return std::unexpected(
          refusal(subject, wire::code_of(found == all.end() ? ErrorCode::kUnknownTopicOrPartition
                                                            : found->second.error)));
    }
    if (!topic->partitions.contains(each.partition))
      return std::unexpected(
          Failure(fmt::format("topic '{}' has no partition {}: it has {}, from 0", each.topic,
                              each.partition, topic->partitions.size()),
                  fmt::format("millrace topic describe {}", each.topic)));
    auto leader = known->leader(each);
    if (!leader)
      return std::unexpected(
          refusal({fmt::format("reach partition {}", each.to_string()), each.topic, {}},
                  wire::code_of(ErrorCode::kLeaderNotAvailable)));
    result[*leader].push_back(each);
  }
  return result;
}

Result<> Session::ask_leader(NodeId leader, const Timestamps& timestamps,
                             std::map<TopicPartition, ListedOffset>& into) {
  wire::ListOffsetsRequest request{.replica_id = -1, .timeout_ms = connect_.timeout_seconds * 1000};
  for (const auto& [partition, timestamp] : timestamps) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back(
        {.partition_index = partition.partition.value(), .timestamp = timestamp});
  }
  ASSIGN_OR_RETURN(const auto response, call(Destination::to(leader), std::move(request)));
  for (const auto& topic : response.topics)
    for (const auto& each : topic.partitions)
      into[{topic.name, PartitionIndex(each.partition_index)}] = {
          Offset(each.offset), TimestampMs(each.timestamp), each.error_code};
  return {};
}

Outcome<std::map<TopicPartition, ListedOffset>> Session::list_offsets(
    const Timestamps& timestamps) {
  std::map<TopicPartition, ListedOffset> result;
  Timestamps left = timestamps;
  for (int tries = 0; !left.empty() && tries < kLeaderTries; ++tries) {
    if (tries > 0) pause();
    std::vector<TopicPartition> partitions;
    for (const auto& [partition, timestamp] : left) partitions.push_back(partition);
    auto leaders = by_leader(partitions);
    if (!leaders) return std::unexpected(std::move(leaders).error());
    for (const auto& [leader, led] : *leaders) {
      Timestamps part;
      for (const auto& each : led) part[each] = left[each];
      if (auto asked = ask_leader(leader, part, result); !asked)
        return std::unexpected(Failure(asked.error()));
    }
    std::erase_if(left, [&](const auto& each) {
      const auto found = result.find(each.first);
      return found != result.end() && !client::core::MetadataCache::is_stale_after(
                                          static_cast<ErrorCode>(found->second.error));
    });
  }
  for (const auto& [partition, listed] : result)
    if (listed.error != 0)
      return std::unexpected(
          refusal({fmt::format("list the offsets of {}", partition.to_string()), partition.topic},
                  listed.error));
  return result;
}

Outcome<std::map<TopicPartition, ListedOffset>> Session::list_existing(
    const Timestamps& timestamps) {
  std::set<std::string> names;
  for (const auto& [partition, timestamp] : timestamps) names.insert(partition.topic);
  auto known = look_up({.names = {names.begin(), names.end()}});
  if (!known) return std::unexpected(Failure(known.error()));
  Timestamps existing = timestamps;
  std::erase_if(existing, [&](const auto& each) {
    const auto* topic = known->topic(each.first.topic);
    return topic == nullptr || !topic->partitions.contains(each.first.partition);
  });
  return list_offsets(existing);
}

}  // namespace millrace::app
