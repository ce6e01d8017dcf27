#include "app/kafka/reassignment_status.h"

#include <fmt/format.h>

namespace millrace::app::kafka {
namespace {

// The replicas that a partition has; none where there is no such partition.
Attempt<std::vector<int32_t>> replicas_of(const Admin::Described& described,
                                          const TopicPartition& partition) {
  const auto& topic = described.at(partition.topic);
  if (!topic) {
    if (topic.error().is("UnknownTopicOrPartitionException")) return std::vector<int32_t>{};
    return std::unexpected(executed(topic.error()));
  }
  const auto index = partition.partition.value();
  const auto count = static_cast<int32_t>(topic->partitions.size());
  if (index > count) return std::vector<int32_t>{};
  const auto found = topic->partitions.find(index);
  if (found == topic->partitions.end())
    return thrown("java.lang.IndexOutOfBoundsException",
                  fmt::format("Index {} out of bounds for length {}", index, count));
  return found->second.replicas;
}

std::set<BrokerReplica> replicas_in(const ReassignmentPlan& plan) {
  std::set<BrokerReplica> replicas;
  for (const auto& [replica, directory] : plan.directories) replicas.insert(replica);
  return replicas;
}

std::string state_of(const BrokerReplica& replica, const ReplicaDirectories& now,
                     const std::string& target) {
  const std::string name = replica.partition.to_string();
  if (!now.current)
    return fmt::format(
        "Partition {} is not found in any live log dir on broker {}. There is "
        "likely an offline log directory on the broker.",
        name, replica.broker);
  if (!now.future && now.current == target)
    return fmt::format("Reassignment of replica {} completed successfully.", replica.to_string());
  if (!now.future)
    return fmt::format("Partition {} on broker {} is not being moved from log dir {} to {}.", name,
                       replica.broker, *now.current, target);
  if (now.future == target)
    return fmt::format("Reassignment of replica {} is still in progress.", replica.to_string());
  return fmt::format("Partition {} on broker {} is being moved to log dir {} instead of {}.", name,
                     replica.broker, *now.future, target);
}

}  // namespace

Attempt<bool> tell_partitions(Admin& admin, const ReassignmentPlan& plan) {
  ASSIGN_OR_RETURN(const auto current, as_executed(list_reassignments(admin, std::nullopt)));
  std::set<std::string> still;
  for (const auto& [partition, replicas] : plan.partitions)
    if (!current.contains(partition)) still.insert(partition.topic);
  ASSIGN_OR_RETURN(const auto described, as_executed(admin.describe_each(still)));
  std::map<TopicPartition, std::string> lines;
  for (const auto& [partition, wanted] : plan.partitions) {
    const std::string name = partition.to_string();
    if (current.contains(partition)) {
      lines[partition] = fmt::format("Reassignment of partition {} is still in progress.", name);
      continue;
    }
    ASSIGN_OR_RETURN(const auto replicas, replicas_of(described, partition));
    lines[partition] =
        replicas == wanted
            ? fmt::format("Reassignment of partition {} is completed.", name)
            : fmt::format(
                  "There is no active reassignment of partition {}, but replica set is {} "
                  "rather than {}.",
                  name, fmt::join(replicas, ","), fmt::join(wanted, ","));
  }
  fmt::print("Status of partition reassignment:\n");
  for (const auto& [partition, line] : lines) fmt::print("{}\n", line);
  return !current.empty();
}

Attempt<bool> tell_directories(Admin& admin, const ReassignmentPlan& plan) {
  ASSIGN_OR_RETURN(const auto found, as_executed(replica_directories(admin, replicas_in(plan))));
  bool is_moving = false;
  std::string text;
  for (const auto& [replica, target] : plan.directories) {
    const auto& now = found.at(replica);
    is_moving = is_moving || !now.current || now.future;
    text += fmt::format("{}{}", text.empty() ? "" : "\n", state_of(replica, now, target));
  }
  fmt::print("{}\n", text);
  return is_moving;
}

Attempt<DirectoryMoves> moving_replicas(Admin& admin, const ReassignmentPlan& plan) {
  ASSIGN_OR_RETURN(const auto found, as_executed(replica_directories(admin, replicas_in(plan))));
  DirectoryMoves moving;
  for (const auto& [replica, now] : found)
    if (now.current && now.future) moving[replica] = *now.current;
  return moving;
}

}  // namespace millrace::app::kafka
