#include "app/kafka/reassignment_admin.h"

#include <fmt/format.h>

#include "app/kafka/json_file.h"

namespace millrace::app::kafka {
namespace {

using wire::ErrorCode;

constexpr int32_t kTimeoutMs = 30'000;

template <class Topics>
auto& topic_in(Topics& topics, const std::string& name, std::string Topics::value_type::* field) {
  if (topics.empty() || topics.back().*field != name) topics.emplace_back().*field = name;
  return topics.back();
}

Attempt<> ask_directories(Admin& admin, NodeId broker, const wire::DescribeLogDirsRequest& request,
                          DirectoriesOf& into) {
  constexpr std::string_view kCall = "describeReplicaLogDirs";
  ASSIGN_OR_RETURN(const auto to, admin.broker(broker, kCall));
  ASSIGN_OR_RETURN(const auto response, admin.call(kCall, to, request));
  for (const auto& directory : response.results) {
    const auto error = static_cast<ErrorCode>(directory.error_code);
    if (error == ErrorCode::kKafkaStorageError) continue;  // nothing is told of one that is gone
    if (error != ErrorCode::kNone)
      return thrown(
          "java.lang.IllegalStateException",
          fmt::format("The error {} for log directory {} in the response from broker {} "
                      "is illegal",
                      exception_of(directory.error_code).type, directory.log_dir, broker.value()));
    for (const auto& topic : directory.topics)
      for (const auto& each : topic.partitions) {
        const auto found =
            into.find({broker.value(), {topic.name, PartitionIndex(each.partition_index)}});
        if (found == into.end()) continue;
        (each.is_future_key ? found->second.future : found->second.current) = directory.log_dir;
      }
  }
  return {};
}

std::unexpected<Ending> move_refused(const BrokerReplica& replica) {
  return thrown(kAdminCommandFailedException,
                fmt::format("Failed to alter dir for {}", replica.to_string()));
}

Attempt<> ask_moves(Admin& admin, NodeId broker, wire::AlterReplicaLogDirsRequest request,
                    std::set<BrokerReplica>& begun) {
  constexpr std::string_view kCall = "alterReplicaLogDirs";
  ASSIGN_OR_RETURN(const auto to, admin.broker(broker, kCall));
  ASSIGN_OR_RETURN(const auto response, admin.call(kCall, to, std::move(request)));
  for (const auto& topic : response.results)
    for (const auto& each : topic.partitions) {
      const BrokerReplica replica{broker.value(),
                                  {topic.topic_name, PartitionIndex(each.partition_index)}};
      const auto error = static_cast<ErrorCode>(each.error_code);
      if (error == ErrorCode::kNone)
        begun.insert(replica);
      else if (error != ErrorCode::kReplicaNotAvailable)
        return move_refused(replica);
    }
  return {};
}

}  // namespace

std::string BrokerReplica::to_string() const {
  return fmt::format("{}-{}", partition.to_string(), broker);
}

Attempt<Reassignments> list_reassignments(
    Admin& admin, const std::optional<std::set<TopicPartition>>& partitions) {
  wire::ListPartitionReassignmentsRequest request{.timeout_ms = kTimeoutMs};
  request.topics.reset();
  if (partitions) {
    using Topic = wire::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
    request.topics.emplace();
    for (const auto& each : *partitions)
      topic_in(*request.topics, each.topic, &Topic::name)
          .partition_indexes.push_back(each.partition.value());
  }
  ASSIGN_OR_RETURN(const auto response,
                   admin.call("listPartitionReassignments", std::move(request)));
  if (response.error_code != 0)
    return std::unexpected(exception_of(response.error_code, response.error_message));
  Reassignments found;
  for (const auto& topic : response.topics)
    for (const auto& each : topic.partitions)
      found[{topic.name, PartitionIndex(each.partition_index)}] = {
          each.replicas, each.adding_replicas, each.removing_replicas};
  return found;
}

Refused reassign(Admin& admin, const Moves& moves, bool may_change_replication_factor) {
  auto request = request_of(moves, kTimeoutMs);
  request.allow_replication_factor_change = may_change_replication_factor;
  const auto response = admin.call("alterPartitionReassignments", std::move(request));
  Refused refused;
  if (!response || response->error_code != 0) {
    const Ending why =
        response ? exception_of(response->error_code, response->error_message) : response.error();
    for (const auto& [partition, replicas] : moves) refused[partition] = why;
    return refused;
  }
  for (const auto& topic : response->responses)
    for (const auto& each : topic.partitions)
      if (each.error_code != 0)
        refused[{topic.name, PartitionIndex(each.partition_index)}] =
            exception_of(each.error_code, each.error_message);
  return refused;
}

Attempt<DirectoriesOf> replica_directories(Admin& admin, const std::set<BrokerReplica>& replicas) {
  DirectoriesOf found;
  std::map<NodeId, wire::DescribeLogDirsRequest> requests;
  for (const auto& each : replicas) {
    found[each];
    auto [request, is_new] = requests.try_emplace(NodeId(each.broker));
    if (is_new) request->second.topics.emplace();
    using Topic = wire::describe_log_dirs_request::DescribableLogDirTopic;
    topic_in(*request->second.topics, each.partition.topic, &Topic::topic)
        .partitions.push_back(each.partition.partition.value());
  }
  for (const auto& [broker, request] : requests)
    RETURN_IF_ERROR(ask_directories(admin, broker, request, found));
  return found;
}

Attempt<std::set<BrokerReplica>> move_directories(Admin& admin, const DirectoryMoves& moves) {
  std::map<NodeId, std::map<std::string, std::set<TopicPartition>>> by_broker;
  for (const auto& [replica, directory] : moves)
    by_broker[NodeId(replica.broker)][directory].insert(replica.partition);
  std::set<BrokerReplica> begun;
  for (const auto& [broker, directories] : by_broker) {
    wire::AlterReplicaLogDirsRequest request;
    for (const auto& [path, partitions] : directories) {
      auto& directory = request.dirs.emplace_back();
      directory.path = path;
      using Topic = wire::alter_replica_log_dirs_request::AlterReplicaLogDirTopic;
      for (const auto& each : partitions)
        topic_in(directory.topics, each.topic, &Topic::name)
            .partitions.push_back(each.partition.value());
    }
    const BrokerReplica first{broker.value(), *directories.begin()->second.begin()};
    if (const auto asked = ask_moves(admin, broker, std::move(request), begun); !asked)
      return asked.error().is("AdminCommandFailedException") ? std::unexpected(asked.error())
                                                             : move_refused(first);
  }
  return begun;
}

}  // namespace millrace::app::kafka
