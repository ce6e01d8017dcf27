// kafka-streams-groups --reset-offsets and --delete-offsets.
#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/offset_deletion.h"
#include "app/kafka/groups/offset_reset.h"
#include "app/kafka/groups/streams_groups.h"
#include "app/kafka/java_order.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::groups {
namespace {

Attempt<std::vector<TopicPartition>> scope(Admin& admin, const Options& options,
                                           const std::string& group) {
  std::vector<TopicPartition> partitions;
  if (options.has("all-input-topics")) {
    ASSIGN_OR_RETURN(const auto offsets, committed_by_streams(admin, group, false));
    for (const auto& [partition, offset] : offsets) partitions.push_back(partition);
    return partitions;
  }
  if (options.has("input-topic")) {
    ASSIGN_OR_RETURN(partitions, partitions_to_reset(admin, options.values("input-topic")));
    RETURN_IF_ERROR(check_partitions(admin, partitions));
    const auto known = committed_offsets(admin, group);
    if (!known) return std::unexpected(executed_at_run_time(known.error()));
    const auto is_known = [&](const auto& each) { return known->contains(each); };
    if (std::ranges::all_of(partitions, is_known)) return partitions;
    print_error(fmt::format("One or more topics are not part of the group '{}'.", group));
    return std::vector<TopicPartition>{};
  }
  if (!options.has("from-file"))
    return usage("One of the reset scopes should be defined: --all-topics, --topic.");
  return partitions;
}

Attempt<ResetOffsets> reset_inactive(Admin& admin, const Options& options,
                                     const std::string& group) {
  ASSIGN_OR_RETURN(const auto partitions, scope(admin, options, group));
  ASSIGN_OR_RETURN(auto offsets, reset_as_told(admin, options, {group, partitions, [&] {
                                                                  return committed_by_streams(
                                                                      admin, group, true);
                                                                }}));
  if (options.has("execute")) RETURN_IF_ERROR(commit_reset(admin, group, offsets));
  return offsets;
}

void delete_own_topics(Admin& admin, const Options& options, const std::string& group) {
  std::vector<std::string> topics;
  if (options.has("delete-all-internal-topics"))
    topics = internal_topics(admin, {group})[group];
  else
    topics = options.values("delete-internal-topic");
  if (topics.empty()) return;
  const auto failed = admin.delete_topics(topics);
  if (failed && failed->empty()) return;
  const Ending failure = failed ? failed->front().second : failed.error();
  if (failure.is("UnknownTopicOrPartitionException")) {
    print_error(fmt::format(
        "Deleting internal topics for group '{}' failed because the topics do not exist.", group));
    return;
  }
  print_error(fmt::format("Deleting internal topics for group '{}' failed due to {}", group,
                          executed(failure).message));
  fmt::print(stderr, "{}\n", executed(failure).to_string());
}

Attempt<ResetOffsets> reset_group(Admin& admin, const Options& options, const std::string& group) {
  const auto described = describe_streams_group(admin, group);
  if (!described) {
    if (!described.error().is("GroupIdNotFoundException"))
      return std::unexpected(executed_at_run_time(described.error()));
    return reset_inactive(admin, options, group);
  }
  if (described->group_state != "Empty" && described->group_state != "Dead") {
    print_inactive_only(group, described->group_state);
    return ResetOffsets{};
  }
  ASSIGN_OR_RETURN(auto offsets, reset_inactive(admin, options, group));
  if (options.has("execute")) delete_own_topics(admin, options, group);
  return offsets;
}

constexpr std::string_view kLine = "\n{:<30} {:<30} {:<10} {:<15}";

void print_table(const ResetGroups& groups) {
  if (!groups.empty()) fmt::print(kLine, "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
  for (const auto& [group, offsets] : groups)
    for (const auto& [partition, offset] : offsets)
      fmt::print(kLine, group, partition.topic, partition.partition.value(), offset);
  fmt::print("\n");
}

}  // namespace

Attempt<CommittedOffsets> committed_by_streams(Admin& admin, const std::string& group,
                                               bool repartitions) {
  const auto described = describe_streams_group(admin, group);
  if (!described) return std::unexpected(executed_at_run_time(described.error()));
  std::set<std::string> sources;
  if (described->topology->subtopologies)
    for (const auto& each : *described->topology->subtopologies) {
      sources.insert(each.source_topics.begin(), each.source_topics.end());
      if (!repartitions) continue;
      for (const auto& topic : each.repartition_source_topics) sources.insert(topic.name);
    }
  auto offsets = committed_offsets(admin, group);
  if (!offsets) return std::unexpected(executed_at_run_time(offsets.error()));
  std::erase_if(*offsets, [&](const auto& each) { return !sources.contains(each.first.topic); });
  return offsets;
}

Attempt<> reset_streams_groups(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(auto names, chosen_groups(admin, options, streams_groups_only()));
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  sort_as_hash_map(names, [](const auto& each) { return std::string_view(each); });
  ResetGroups groups;
  for (const auto& name : names) {
    ASSIGN_OR_RETURN(auto offsets, reset_group(admin, options, name));
    groups.emplace_back(name, std::move(offsets));
  }
  if (options.has("export"))
    print_reset_csv(groups, options.values("group").size() != 1);
  else
    print_table(groups);
  return {};
}

Attempt<> delete_streams_offsets(Admin& admin, const Options& options) {
  const std::string group = options.values("group").front();
  DeletedOffsets offsets;
  if (options.has("all-input-topics")) {
    ASSIGN_OR_RETURN(const auto committed, committed_by_streams(admin, group, false));
    for (const auto& [partition, offset] : committed)
      offsets[{partition.topic, partition.partition.value()}] = "";
  } else {
    ASSIGN_OR_RETURN(offsets, offsets_to_delete(admin, options.values("input-topic")));
  }
  return delete_offsets(admin, group, std::move(offsets));
}

}  // namespace millrace::app::kafka::groups
