// kafka-share-groups --reset-offsets and --delete-offsets.
#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/offset_reset.h"
#include "app/kafka/groups/share_groups.h"
#include "app/kafka/text.h"
#include "app/share_group.h"

namespace millrace::app::kafka::groups {
namespace {

Attempt<std::vector<TopicPartition>> scope(Admin& admin, const Options& options,
                                           const std::string& group) {
  if (options.has("topic")) return partitions_to_reset(admin, options.values("topic"));
  ASSIGN_OR_RETURN(const auto offsets, share_offsets(admin, group));
  std::vector<TopicPartition> partitions;
  for (const auto& [partition, offset] : offsets) partitions.push_back(partition);
  return partitions;
}

Attempt<> move_starts(Admin& admin, const std::string& group, const ResetOffsets& offsets) {
  std::map<TopicPartition, Offset> starts;
  for (const auto& [partition, offset] : offsets) starts[partition] = Offset(offset);
  ASSIGN_OR_RETURN(const auto response,
                   admin.call_group("alterShareGroupOffsets", group, request_to_move(group, starts),
                                    [](const auto& r) { return r.error_code; }));
  ResetErrors errors;
  if (response.error_code != 0)
    for (const auto& [partition, start] : starts) errors[partition] = response.error_code;
  for (const auto& topic : response.responses)
    for (const auto& each : topic.partitions)
      errors[{topic.topic_name, PartitionIndex(each.partition_index)}] = each.error_code;
  return check_reset_errors(errors);
}

// What became of the offsets of topics: of all of them, or of one.
struct DeletedTopics {
  std::optional<Ending> failure;
  std::map<std::string, std::optional<Ending>> topics;
};

DeletedTopics delete_topics(Admin& admin, const std::string& group,
                            const std::set<std::string>& topics) {
  wire::DeleteShareGroupOffsetsRequest request{.group_id = group};
  for (const auto& topic : topics) request.topics.push_back({.topic_name = topic});
  const auto response = admin.call_group("deleteShareGroupOffsets", group, std::move(request),
                                         [](const auto& r) { return r.error_code; });
  DeletedTopics deleted;
  if (!response)
    deleted.failure = response.error();
  else if (response->error_code != 0)
    deleted.failure = exception_of(response->error_code, response->error_message);
  for (const auto& topic : topics)
    deleted.topics[topic] =
        deleted.failure ? *deleted.failure
                        : illegal_argument(fmt::format("Offset deletion result for topic \"{}\" "
                                                       "was not included in the response",
                                                       topic))
                              .error();
  if (deleted.failure) return deleted;
  for (const auto& each : response->responses) {
    auto& outcome = deleted.topics[each.topic_name];
    outcome.reset();
    if (each.error_code != 0) outcome = exception_of(each.error_code, each.error_message);
  }
  for (const auto& [topic, outcome] : deleted.topics)
    if (outcome && !deleted.failure) deleted.failure = outcome;
  return deleted;
}

void print_failure(const Ending& failure) {
  constexpr std::string_view kOfGroups[] = {"InvalidGroupIdException", "GroupIdNotFoundException",
                                            "GroupAuthorizationException",
                                            "GroupNotEmptyException"};
  constexpr std::string_view kOfTopics[] = {"TopicAuthorizationException",
                                            "UnknownTopicOrPartitionException"};
  const auto is_it = [&](auto each) { return failure.is(each); };
  if (std::ranges::any_of(kOfTopics, is_it)) return;
  if (std::ranges::any_of(kOfGroups, is_it))
    print_error(failure.message);
  else
    print_error(fmt::format("Encounter some unknown error: {}", failure.to_string()));
}

}  // namespace

Attempt<ShareOffsets> share_offsets(Admin& admin, const std::string& group) {
  wire::DescribeShareGroupOffsetsRequest request;
  request.groups.push_back({.group_id = group, .topics = std::nullopt});
  ASSIGN_OR_RETURN(
      const auto response,
      admin.call_group("describeShareGroupOffsets", group, std::move(request), [](const auto& r) {
        return r.groups.empty() ? 0 : r.groups[0].error_code;
      }));
  ShareOffsets offsets;
  for (const auto& answered : response.groups) {
    if (answered.error_code != 0)
      return std::unexpected(exception_of(answered.error_code, answered.error_message));
    for (const auto& topic : answered.topics)
      for (const auto& each : topic.partitions) {
        if (each.error_code != 0) continue;
        auto& offset = offsets[{topic.topic_name, PartitionIndex(each.partition_index)}];
        if (each.start_offset < 0) continue;
        offset = ShareOffset{.start = Offset(each.start_offset), .leader_epoch = {}, .lag = {}};
        if (each.leader_epoch >= 0) offset->leader_epoch = each.leader_epoch;
        if (each.lag >= 0) offset->lag = each.lag;
      }
  }
  return offsets;
}

Attempt<> reset_share_group(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const std::string group, options.only_value("group"));
  const auto described = describe_share_group(admin, group);
  const bool absent = !described && described.error().is("GroupIdNotFoundException");
  std::string reason;
  if (!described && !absent)
    reason = described.error().message;
  else if (described && described->state != "Empty" && described->state != "Dead")
    reason = fmt::format("Share group '{}' is not empty.", group);
  if (!reason.empty()) {
    fmt::print(stderr, "{}\n", reason);
    return ended(1);
  }
  ASSIGN_OR_RETURN(const auto partitions, scope(admin, options, group));
  RETURN_IF_ERROR(check_partitions(admin, partitions));
  // No scenario of share groups asks for committed offsets.
  ASSIGN_OR_RETURN(auto offsets, reset_as_told(admin, options, {group, partitions, nullptr}));
  if (options.has("execute")) RETURN_IF_ERROR(move_starts(admin, group, offsets));
  print_reset({{group, std::move(offsets)}});
  return {};
}

Attempt<> delete_share_offsets(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const std::string group, options.only_value("group"));
  const auto topics = options.values("topic");
  const auto deleted = delete_topics(admin, group, {topics.begin(), topics.end()});
  if (deleted.failure) print_failure(*deleted.failure);
  Columns columns({15});
  for (const auto& [topic, outcome] : deleted.topics) columns.fit({topic}, {0});
  fmt::print("\n{}", columns.line({"TOPIC", "STATUS"}));
  for (const auto& [topic, outcome] : deleted.topics)
    fmt::print("\n{}",
               columns.line({topic, outcome ? "Error: " + outcome->message : "Successful"}));
  fmt::print("\n");
  return {};
}

}  // namespace millrace::app::kafka::groups
