#include "app/kafka/reassignment_throttles.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "app/kafka/java_order.h"
#include "app/kafka/resource_configs.h"

namespace millrace::app::kafka {
namespace {

using Type = ConfigResourceType;

constexpr std::string_view kLeaderRate = "leader.replication.throttled.rate";
constexpr std::string_view kFollowerRate = "follower.replication.throttled.rate";
constexpr std::string_view kDirectoryRate = "replica.alter.log.dirs.io.max.bytes.per.second";
constexpr std::string_view kLeaderReplicas = "leader.replication.throttled.replicas";
constexpr std::string_view kFollowerReplicas = "follower.replication.throttled.replicas";

// A partition's way from brokers to brokers.
struct Move {
  std::set<int32_t> from;
  std::set<int32_t> to;
};
using MovesByPartition = std::map<TopicPartition, Move>;

std::set<int32_t> without(const std::vector<int32_t>& brokers, const std::set<int32_t>& which) {
  std::set<int32_t> left(brokers.begin(), brokers.end());
  std::erase_if(left, [&](int32_t each) { return which.contains(each); });
  return left;
}

MovesByPartition moves_of(const BrokerMoves& which) {
  MovesByPartition moves;
  for (const auto& [partition, each] : which.current) {
    const std::set<int32_t> adding(each.adding.begin(), each.adding.end());
    moves[partition] = {.from = without(each.replicas, adding), .to = adding};
  }
  for (const auto& [partition, replicas] : which.proposed) {
    auto [move, is_new] = moves.try_emplace(partition);
    if (is_new) {
      const auto& there = which.now.at(partition);
      move->second.from = {there.begin(), there.end()};
    }
    move->second.to = without(replicas, move->second.from);
  }
  return moves;
}

// "PARTITION:BROKER" of each, in the order of texts.
std::string throttled(const MovesByPartition& moves, const std::string& topic,
                      std::set<int32_t> Move::* brokers) {
  std::set<std::string> texts;
  for (const auto& [partition, move] : moves)
    if (partition.topic == topic)
      for (const int32_t each : move.*brokers)
        texts.insert(fmt::format("{}:{}", partition.partition, each));
  return fmt::format("{}", fmt::join(texts, ","));
}

ConfigResource broker(int32_t id) { return {Type::kBroker, std::to_string(id)}; }

template <class T>
std::vector<T> as_hash_set(const std::set<T>& values) {
  std::vector<T> list(values.begin(), values.end());
  sort_as_hash_map(list, [](const T& each) {
    if constexpr (std::is_integral_v<T>)
      return static_cast<int64_t>(each);
    else
      return std::string_view(each);
  });
  return list;
}

}  // namespace

Attempt<> throttle_between_brokers(Admin& admin, const BrokerMoves& which,
                                   int64_t bytes_per_second) {
  const auto moves = moves_of(which);
  std::set<std::string> topics;
  std::set<int32_t> brokers;
  for (const auto& [partition, move] : moves) {
    topics.insert(partition.topic);
    brokers.insert(move.from.begin(), move.from.end());
    brokers.insert(move.to.begin(), move.to.end());
  }
  std::vector<ConfigAlteration> of_topics, of_brokers;
  for (const auto& topic : topics)
    of_topics.push_back({{Type::kTopic, topic},
                         {{std::string(kLeaderReplicas), throttled(moves, topic, &Move::from)},
                          {std::string(kFollowerReplicas), throttled(moves, topic, &Move::to)}}});
  const std::string rate = std::to_string(bytes_per_second);
  for (const int32_t each : brokers)
    of_brokers.push_back(
        {broker(each), {{std::string(kLeaderRate), rate}, {std::string(kFollowerRate), rate}}});
  RETURN_IF_ERROR(as_executed(alter_configs(admin, of_topics)));
  RETURN_IF_ERROR(as_executed(alter_configs(admin, of_brokers)));
  fmt::print("The inter-broker throttle limit was set to {} B/s\n", rate);
  return {};
}

Attempt<> throttle_between_directories(Admin& admin, const DirectoryMoves& moves,
                                       int64_t bytes_per_second) {
  std::set<int32_t> brokers;
  for (const auto& [replica, directory] : moves) brokers.insert(replica.broker);
  const std::string rate = std::to_string(bytes_per_second);
  std::vector<ConfigAlteration> alterations;
  for (const int32_t each : brokers)
    alterations.push_back({broker(each), {{std::string(kDirectoryRate), rate}}});
  RETURN_IF_ERROR(as_executed(alter_configs(admin, alterations)));
  fmt::print("The replica-alter-dir throttle limit was set to {} B/s\n", rate);
  return {};
}

Attempt<> clear_throttles(Admin& admin, const ReassignmentPlan& plan) {
  ASSIGN_OR_RETURN(const auto known, as_executed(admin.brokers()));
  std::set<int32_t> brokers;
  std::set<std::string> topics;
  for (const auto& [node, address] : known) brokers.insert(node.value());
  for (const auto& [partition, replicas] : plan.partitions) {
    brokers.insert(replicas.begin(), replicas.end());
    topics.insert(partition.topic);
  }
  const auto tell = [](std::string_view level, std::string_view of, const auto& which) {
    fmt::print("Clearing {}-level throttles on {}{} {}\n", level, of, which.size() == 1 ? "" : "s",
               fmt::join(as_hash_set(which), ","));
  };
  std::vector<ConfigAlteration> of_brokers, of_topics;
  for (const int32_t each : brokers)
    of_brokers.push_back({broker(each),
                          {{std::string(kLeaderRate), std::nullopt},
                           {std::string(kFollowerRate), std::nullopt},
                           {std::string(kDirectoryRate), std::nullopt}}});
  for (const auto& topic : topics)
    of_topics.push_back({{Type::kTopic, topic},
                         {{std::string(kLeaderReplicas), std::nullopt},
                          {std::string(kFollowerReplicas), std::nullopt}}});
  tell("broker", "broker", brokers);
  RETURN_IF_ERROR(as_executed(alter_configs(admin, of_brokers)));
  tell("topic", "topic", topics);
  return as_executed(alter_configs(admin, of_topics));
}

}  // namespace millrace::app::kafka
