#include "app/cluster.h"

#include <algorithm>

#include "app/cluster_health.h"
#include "app/cluster_moves.h"
#include "app/cluster_voters.h"
#include "app/connect.h"
#include "app/quorum.h"

namespace millrace::app {
namespace {

using client::core::Destination;
using wire::ErrorCode;

struct ClusterOptions {
  Target target;
  bool versions = false;
  bool partitions = false;
  std::vector<int32_t> brokers;
  std::vector<std::string> topics;
};

json::array brokers_of(const wire::DescribeClusterResponse& cluster) {
  json::array rows;
  for (const auto& each : cluster.brokers) {
    json::object row{{"id", each.broker_id},
                     {"host", each.host},
                     {"port", each.port},
                     {"rack", nullptr},
                     {"controller", each.broker_id == cluster.controller_id},
                     {"fenced", each.is_fenced}};
    if (each.rack) row["rack"] = *each.rack;
    rows.push_back(std::move(row));
  }
  return rows;
}

json::array features_of(const wire::ApiVersionsResponse& broker) {
  json::array rows;
  for (const auto& each : broker.supported_features) {
    json::object row{{"feature", each.name},
                     {"finalized", nullptr},
                     {"supported_min", each.min_version},
                     {"supported_max", each.max_version}};
    for (const auto& level : broker.finalized_features)
      if (level.name == each.name) row["finalized"] = level.max_version_level;
    rows.push_back(std::move(row));
  }
  return rows;
}

json::array versions_of(const wire::ApiVersionsResponse& broker) {
  json::array rows;
  for (const auto& each : broker.api_keys) {
    const wire::ApiInfo* known = wire::find_api(each.api_key);
    const auto ours = client::core::spoken_versions(static_cast<wire::ApiKey>(each.api_key));
    json::object row{{"key", each.api_key},
                     {"api", known ? json::string(known->name) : json::string("?")},
                     {"min", each.min_version},
                     {"max", each.max_version},
                     {"used", nullptr}};
    const int16_t used = std::min(each.max_version, ours.max);
    if (known && used >= std::max(each.min_version, ours.min)) row["used"] = used;
    rows.push_back(std::move(row));
  }
  return rows;
}

json::object replica_of(const wire::describe_quorum_response::ReplicaState& replica,
                        std::string_view role) {
  return {{"id", replica.replica_id},
          {"role", role},
          {"log_end", replica.log_end_offset},
          {"directory_id", replica.replica_directory_id.to_string()}};
}

// The controllers' quorum; null when the broker does not tell.
json::value quorum_of(Session& session) {
  const auto quorum = describe_quorum(session);
  if (!quorum) return nullptr;
  const auto& partition = quorum->partition;
  json::array replicas;
  for (const auto& each : partition.current_voters)
    replicas.push_back(
        replica_of(each, each.replica_id == partition.leader_id ? "leader" : "voter"));
  for (const auto& each : partition.observers) replicas.push_back(replica_of(each, "observer"));
  return json::object{{"leader", partition.leader_id},
                      {"leader_epoch", partition.leader_epoch},
                      {"high_watermark", partition.high_watermark},
                      {"replicas", std::move(replicas)}};
}

void print_cluster(const json::object& cluster, bool with_versions) {
  print_object(OutputFormat::kTable, {{"cluster_id", cluster.at("cluster_id")},
                                      {"controller", cluster.at("controller")}});
  constexpr std::string_view kBrokers[] = {"id", "host", "port", "rack", "controller", "fenced"};
  constexpr std::string_view kFeatures[] = {"feature", "finalized", "supported_min",
                                            "supported_max"};
  constexpr std::string_view kReplicas[] = {"id", "role", "log_end", "directory_id"};
  constexpr std::string_view kVersions[] = {"key", "api", "min", "max", "used"};
  fmt::print("\n");
  print_rows(OutputFormat::kTable, cluster.at("brokers").as_array(), kBrokers);
  if (const auto* quorum = cluster.if_contains("quorum"); quorum && quorum->is_object()) {
    fmt::print("\n");
    print_rows(OutputFormat::kTable, quorum->at("replicas").as_array(), kReplicas);
  }
  fmt::print("\n");
  print_rows(OutputFormat::kTable, cluster.at("features").as_array(), kFeatures);
  if (!with_versions) return;
  fmt::print("\n");
  print_rows(OutputFormat::kTable, cluster.at("versions").as_array(), kVersions);
}

Outcome<> describe(const ClusterOptions& options, Session& session) {
  auto cluster = session.call_any(wire::DescribeClusterRequest{});
  if (!cluster) return std::unexpected(Failure(cluster.error()));
  if (cluster->error_code != 0)
    return std::unexpected(
        refusal({"describe the cluster", {}, {}}, cluster->error_code, cluster->error_message));
  auto broker = session.api_versions(kNoNode);
  if (!broker) return std::unexpected(Failure(broker.error()));
  const json::value quorum = quorum_of(session);
  // A broker of a KRaft cluster names any broker as the controller; the quorum knows better.
  if (quorum.is_object()) cluster->controller_id = quorum.at("leader").to_number<int32_t>();
  json::object object{{"cluster_id", cluster->cluster_id}, {"controller", cluster->controller_id},
                      {"brokers", brokers_of(*cluster)},   {"quorum", quorum},
                      {"features", features_of(*broker)},  {"versions", versions_of(*broker)}};
  if (options.target.format() == OutputFormat::kJson)
    print_object(OutputFormat::kJson, object);
  else
    print_cluster(object, options.versions);
  return {};
}

json::object directory_of(NodeId broker,
                          const wire::describe_log_dirs_response::DescribeLogDirsResult& result) {
  json::array partitions;
  int64_t size = 0;
  for (const auto& topic : result.topics)
    for (const auto& each : topic.partitions) {
      size += each.partition_size;
      partitions.push_back(json::object{{"broker", broker.value()},
                                        {"log_dir", result.log_dir},
                                        {"topic", topic.name},
                                        {"partition", each.partition_index},
                                        {"size", each.partition_size},
                                        {"lag", each.offset_lag},
                                        {"future", each.is_future_key}});
    }
  json::object row{{"broker", broker.value()},
                   {"log_dir", result.log_dir},
                   {"error", nullptr},
                   {"replicas", partitions.size()},
                   {"size", size},
                   {"usable", nullptr},
                   {"total", nullptr},
                   {"partitions", std::move(partitions)}};
  if (result.error_code != 0) row["error"] = reason(result.error_code);
  if (result.total_bytes >= 0) row["total"] = result.total_bytes;
  if (result.usable_bytes >= 0) row["usable"] = result.usable_bytes;
  return row;
}

Outcome<wire::DescribeLogDirsRequest> log_dirs_request(const ClusterOptions& options,
                                                       Session& session) {
  wire::DescribeLogDirsRequest request;
  if (options.topics.empty()) {
    request.topics.reset();
    return request;
  }
  auto known = session.look_up({.names = options.topics});
  if (!known) return std::unexpected(Failure(known.error()));
  for (const auto& name : options.topics) {
    const auto* topic = known->topic(name);
    if (topic == nullptr)
      return std::unexpected(refusal({fmt::format("find topic '{}'", name), name, {}},
                                     wire::code_of(ErrorCode::kUnknownTopicOrPartition)));
    auto& asked = request.topics->emplace_back();
    asked.topic = name;
    for (const auto& [index, info] : topic->partitions) asked.partitions.push_back(index.value());
  }
  return request;
}

Outcome<> log_dirs(const ClusterOptions& options, Session& session) {
  auto known = session.look_up({});
  if (!known) return std::unexpected(Failure(known.error()));
  auto request = log_dirs_request(options, session);
  if (!request) return std::unexpected(request.error());
  json::array directories, partitions;
  for (const auto& [node, address] : known->brokers()) {
    if (!options.brokers.empty() &&
        std::ranges::find(options.brokers, node.value()) == options.brokers.end())
      continue;
    auto response = session.call(Destination::to(node), *request);
    if (!response) return std::unexpected(Failure(response.error()));
    if (response->error_code != 0)
      return std::unexpected(
          refusal({fmt::format("describe the log directories of broker {}", node), {}, {}},
                  response->error_code));
    for (const auto& result : response->results) {
      directories.push_back(directory_of(node, result));
      for (const auto& each : directories.back().at("partitions").as_array())
        partitions.push_back(each);
    }
  }
  constexpr std::string_view kDirectories[] = {"broker", "log_dir", "replicas", "size",
                                               "usable", "total",   "error"};
  constexpr std::string_view kPartitions[] = {"broker", "log_dir", "topic", "partition", "size"};
  const bool by_partition = options.partitions && options.target.format() == OutputFormat::kTable;
  if (by_partition)
    print_rows(options.target.format(), partitions, kPartitions);
  else
    print_rows(options.target.format(), directories, kDirectories);
  return {};
}

}  // namespace

void add_cluster_commands(Command& root) {
  auto cluster =
      root.add("cluster", {"Shows and changes the cluster: nodes, quorum, leaders, replicas.", ""});
  add_health_commands(cluster);
  add_move_commands(cluster);
  add_voter_commands(cluster);
  auto options = std::make_shared<ClusterOptions>();

  auto describing = cluster.add(
      "describe", {"Shows the cluster: its id, brokers, controller, quorum and features.",
                   "millrace cluster describe --versions"});
  describing.flag("--versions", options->versions,
                  "The versions of each API that a broker serves, and the one used here");
  add_target(describing, options->target);
  describing.runs([options] {
    return with_session(options->target, [&](Session& s) { return describe(*options, s); });
  });

  auto directories =
      cluster.add("log-dirs", {"Shows the log directories of brokers and what is in them.",
                               "millrace cluster log-dirs --partitions --topic orders"});
  directories.option("--broker", options->brokers, "Only this broker; repeatable");
  directories.option("--topic", options->topics, "Only what this topic takes; repeatable");
  directories.flag("--partitions", options->partitions, "A line for each partition");
  add_target(directories, options->target);
  directories.runs([options] {
    return with_session(options->target, [&](Session& s) { return log_dirs(*options, s); });
  });
}

}  // namespace millrace::app
