#include "app/kafka/groups/offset_deletion.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/offset_reset.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::groups {
namespace {

using wire::ErrorCode;

int16_t take_answer(const wire::OffsetDeleteResponse& response, DeletedOffsets& deleted) {
  int16_t first = response.error_code;
  for (const auto& topic : response.topics)
    for (const auto& each : topic.partitions) {
      if (first == 0) first = each.error_code;
      deleted[{topic.name, each.partition_index}] =
          each.error_code == 0 ? "Successful"
                               : "Error: " + exception_of(each.error_code).to_string();
    }
  if (response.error_code != 0)
    for (auto& [partition, status] : deleted)
      if (status.empty()) status = "Error: " + exception_of(response.error_code).to_string();
  return first;
}

void print_outcome(const std::string& group, int16_t code) {
  switch (static_cast<ErrorCode>(code)) {
    case ErrorCode::kNone:
      fmt::print("Request succeeded for deleting offsets from group {}.\n", group);
      return;
    case ErrorCode::kInvalidGroupId:
    case ErrorCode::kGroupIdNotFound:
    case ErrorCode::kGroupAuthorizationFailed:
    case ErrorCode::kNonEmptyGroup: print_error(exception_of(code).message); return;
    case ErrorCode::kGroupSubscribedToTopic:
    case ErrorCode::kTopicAuthorizationFailed:
    case ErrorCode::kUnknownTopicOrPartition:
      print_error("Encountered some partition-level error, see the follow-up details.");
      return;
    default:
      print_error(fmt::format("Encountered some unknown error: {}",
                              wire::error_name(static_cast<ErrorCode>(code))));
  }
}

}  // namespace

Attempt<DeletedOffsets> offsets_to_delete(Admin& admin, const std::vector<std::string>& topics) {
  DeletedOffsets deleted;
  std::set<std::string> whole;
  for (const auto& text : topics) {
    if (!text.contains(':')) {
      whole.insert(text);
      continue;
    }
    ASSIGN_OR_RETURN(const auto partitions, parse_topic_partitions(text));
    for (const auto& each : partitions) deleted[{each.topic, each.partition.value()}] = "";
  }
  ASSIGN_OR_RETURN(const auto described, admin.describe_each(whole));
  for (const auto& [name, topic] : described) {
    if (!topic) {
      deleted[{name, -1}] = "Error: " + topic.error().to_string();
      continue;
    }
    for (const auto& [index, replicas] : topic->partitions) deleted[{name, index}] = "";
  }
  return deleted;
}

Attempt<> delete_offsets(Admin& admin, const std::string& group, DeletedOffsets deleted) {
  wire::OffsetDeleteRequest request{.group_id = group};
  for (const auto& [partition, status] : deleted) {
    if (partition.second < 0) continue;
    if (request.topics.empty() || request.topics.back().name != partition.first)
      request.topics.push_back({.name = partition.first});
    request.topics.back().partitions.push_back({partition.second});
  }
  ASSIGN_OR_RETURN(const auto response,
                   admin.call_group("offsetDelete", group, std::move(request),
                                    [](const auto& r) { return r.error_code; }));
  print_outcome(group, take_answer(response, deleted));
  Columns columns({15, 10, 15});
  std::map<std::string, std::vector<std::string>> lines;  // sorted by topic and partition as text
  for (const auto& [partition, status] : deleted) {
    const std::string index = std::to_string(partition.second);
    lines[partition.first + index] = {partition.first, partition.second < 0 ? "-" : index, status};
    columns.fit({partition.first}, {0});
  }
  const auto print = [&](std::vector<std::string> cells) {
    const size_t width = 15;
    cells[2].resize(std::max(cells[2].size(), width), ' ');
    fmt::print("\n{}", columns.line(cells));
  };
  print({"TOPIC", "PARTITION", "STATUS"});
  for (const auto& [key, cells] : lines) print(cells);
  fmt::print("\n");
  return {};
}

}  // namespace millrace::app::kafka::groups
