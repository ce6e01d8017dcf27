// kafka-consumer-groups --reset-offsets and --delete-offsets.
#include <fmt/format.h>

#include "app/kafka/groups/consumer_groups.h"
#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/offset_deletion.h"
#include "app/kafka/groups/offset_reset.h"
#include "app/kafka/java_order.h"

namespace millrace::app::kafka::groups {
namespace {

Attempt<CommittedOffsets> committed(Admin& admin, const std::string& group) {
  auto offsets = committed_offsets(admin, group);
  if (!offsets) return std::unexpected(executed_at_run_time(offsets.error()));
  return offsets;
}

Attempt<std::vector<TopicPartition>> scope(Admin& admin, const Options& options,
                                           const std::string& group) {
  std::vector<TopicPartition> partitions;
  if (options.has("all-topics")) {
    ASSIGN_OR_RETURN(const auto offsets, committed(admin, group));
    for (const auto& [partition, offset] : offsets) partitions.push_back(partition);
    return partitions;
  }
  if (options.has("topic")) return partitions_to_reset(admin, options.values("topic"));
  if (!options.has("from-file"))
    return usage("One of the reset scopes should be defined: --all-topics, --topic.");
  return partitions;
}

Attempt<ResetOffsets> reset_group(Admin& admin, const Options& options, const std::string& group) {
  const auto described = describe_consumer_group(admin, group);
  if (!described && !described.error().is("GroupIdNotFoundException"))
    return std::unexpected(executed_at_run_time(described.error()));
  if (described && described->state != "Empty" && described->state != "Dead") {
    print_inactive_only(group, described->state);
    return ResetOffsets{};
  }
  ASSIGN_OR_RETURN(const auto partitions, scope(admin, options, group));
  RETURN_IF_ERROR(check_partitions(admin, partitions));
  ASSIGN_OR_RETURN(
      auto offsets,
      reset_as_told(admin, options, {group, partitions, [&] { return committed(admin, group); }}));
  if (options.has("execute") && !options.has("dry-run"))
    RETURN_IF_ERROR(commit_reset(admin, group, offsets));
  return offsets;
}

}  // namespace

Attempt<> reset_consumer_groups(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto names, chosen_groups(admin, options, consumer_groups_only()));
  ResetGroups groups;
  for (const auto& name : std::set<std::string>(names.begin(), names.end())) {
    ASSIGN_OR_RETURN(auto offsets, reset_group(admin, options, name));
    groups.emplace_back(name, std::move(offsets));
  }
  sort_as_hash_map(groups, [](const auto& each) { return std::string_view(each.first); });
  if (options.has("export"))
    print_reset_csv(groups, options.values("group").size() != 1);
  else
    print_reset(groups);
  return {};
}

Attempt<> delete_consumer_offsets(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const std::string group, options.only_value("group"));
  ASSIGN_OR_RETURN(auto offsets, offsets_to_delete(admin, options.values("topic")));
  return delete_offsets(admin, group, std::move(offsets));
}

}  // namespace millrace::app::kafka::groups
