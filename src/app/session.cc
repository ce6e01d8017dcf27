#include "app/session.h"

#include "base/log.h"

namespace millrace::app {
namespace {

using client::core::Destination;
using wire::ErrorCode;

constexpr int kLeaderTries = 5;

}  // namespace

Outcome<std::unique_ptr<Session>> Session::open(const Connect& connect) {
  auto bootstrap = client::parse_bootstrap(connect.bootstrap);
  if (!bootstrap)
    return std::unexpected(
        Failure(bootstrap.error().message, "--bootstrap takes HOST:PORT, several between commas"));
  return std::unique_ptr<Session>(new Session(connect, std::move(*bootstrap)));
}

Session::Session(const Connect& connect, std::vector<env::Address> bootstrap)
    : connect_(connect), host_(1) {
  log::set_level(log::Level::kOff);
  const auto timeout = std::chrono::seconds(std::max(1, connect.timeout_seconds));
  client_ = std::make_unique<client::Client>(
      host_, host_.shard(0),
      client::ClientOptions{
          .bootstrap = std::move(bootstrap),
          .client_id = connect.client_id,
          .software_version = MILLRACE_VERSION,
          .connect_timeout = std::min<Duration>(timeout, std::chrono::seconds(10)),
          .request_timeout = timeout});
  loop_ = std::jthread([this] { host_.run(); });
}

Session::~Session() {
  run([this] { client_.reset(); });
  host_.stop();
}

void Session::run(std::function<void()> work) {
  std::promise<void> done;
  shard().post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

// Asleep, since what is waited for happens in another process, which tells nobody.
void Session::pause() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

bool Session::Patience::wait() {
  if (std::chrono::steady_clock::now() >= end_) return false;
  pause();
  return true;
}

Session::Patience Session::patience_for_coordinator() const {
  return Patience(std::chrono::steady_clock::now() +
                  std::chrono::seconds(connect_.timeout_seconds));
}

bool Session::is_about_coordinator(int16_t code) {
  const auto error = static_cast<ErrorCode>(code);
  return error == ErrorCode::kCoordinatorNotAvailable || error == ErrorCode::kNotCoordinator ||
         error == ErrorCode::kCoordinatorLoadInProgress;
}

Result<client::core::MetadataCache> Session::look_up(const client::Client::Topics& topics) {
  auto response = wait<wire::MetadataResponse>([&](client::Done<wire::MetadataResponse> done) {
    client_->refresh(topics, std::move(done));
  });
  if (!response) return std::unexpected(std::move(response).error());
  client::core::MetadataCache copy;
  run([&] { copy = client_->metadata(); });
  return copy;
}

Result<NodeId> Session::coordinator(const std::string& group) {
  for (Patience patience = patience_for_coordinator();;) {
    // Old versions have one key, newer ones several: a request of either kind holds both.
    ASSIGN_OR_RETURN(auto found, wait<client::core::FoundCoordinator>([&](auto done) {
                       client_->find_coordinator(group, std::move(done));
                     }));
    if (found.error == 0) return found.node;
    if (is_about_coordinator(found.error) && patience.wait()) continue;
    return fail(Errc::kNotFound, fmt::format("cannot find the coordinator of group '{}': {}", group,
                                             reason(found.error, found.message)));
  }
}

Result<wire::ApiVersionsResponse> Session::api_versions(NodeId node) {
  return wait<wire::ApiVersionsResponse>([&](client::Done<wire::ApiVersionsResponse> done) {
    client_->api_versions(Destination::to(node), std::move(done));
  });
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
