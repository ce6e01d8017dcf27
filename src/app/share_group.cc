#include "app/share_group.h"

namespace millrace::app {

Outcome<std::map<TopicPartition, SharePosition>> share_positions(Session& session,
                                                                 const std::string& group) {
  wire::DescribeShareGroupOffsetsRequest request;
  request.groups.push_back({.group_id = group, .topics = std::nullopt});
  auto response = session.call_group(group, std::move(request), [](const auto& r) {
    return r.groups.empty() ? 0 : r.groups[0].error_code;
  });
  if (!response) return std::unexpected(Failure(response.error()));
  const Subject subject{fmt::format("read the offsets of group '{}'", group), {}, group};
  std::map<TopicPartition, SharePosition> positions;
  for (const auto& answered : response->groups) {
    if (answered.error_code != 0)
      return std::unexpected(refusal(subject, answered.error_code, answered.error_message));
    for (const auto& topic : answered.topics)
      for (const auto& each : topic.partitions) {
        if (each.error_code != 0)
          return std::unexpected(refusal(subject, each.error_code, each.error_message));
        if (each.start_offset < 0) continue;
        SharePosition position{.start = Offset(each.start_offset), .lag = std::nullopt};
        if (each.lag >= 0) position.lag = each.lag;
        positions[{topic.topic_name, PartitionIndex(each.partition_index)}] = position;
      }
  }
  return positions;
}

wire::AlterShareGroupOffsetsRequest request_to_move(
    const std::string& group, const std::map<TopicPartition, Offset>& starts) {
  wire::AlterShareGroupOffsetsRequest request{.group_id = group};
  for (const auto& [partition, start] : starts) {
    if (request.topics.empty() || request.topics.back().topic_name != partition.topic)
      request.topics.push_back({.topic_name = partition.topic});
    request.topics.back().partitions.push_back(
        {.partition_index = partition.partition.value(), .start_offset = start.value()});
  }
  return request;
}

Outcome<> move_share_group(Session& session, const std::string& group,
                           const std::map<TopicPartition, Offset>& starts) {
  auto response = session.call_group(group, request_to_move(group, starts),
                                     [](const auto& r) { return r.error_code; });
  if (!response) return std::unexpected(Failure(response.error()));
  Subject subject{fmt::format("move the offsets of group '{}'", group), {}, group};
  if (response->error_code != 0)
    return std::unexpected(refusal(subject, response->error_code, response->error_message));
  for (const auto& topic : response->responses)
    for (const auto& each : topic.partitions) {
      subject.topic = topic.topic_name;
      if (each.error_code != 0)
        return std::unexpected(refusal(subject, each.error_code, each.error_message));
    }
  return {};
}

Outcome<> forget_share_topic(Session& session, const std::string& group, const std::string& topic) {
  wire::DeleteShareGroupOffsetsRequest request{.group_id = group};
  request.topics.push_back({.topic_name = topic});
  auto response =
      session.call_group(group, std::move(request), [](const auto& r) { return r.error_code; });
  if (!response) return std::unexpected(Failure(response.error()));
  const Subject subject{fmt::format("delete offsets of group '{}'", group), topic, group};
  if (response->error_code != 0)
    return std::unexpected(refusal(subject, response->error_code, response->error_message));
  for (const auto& each : response->responses)
    if (each.error_code != 0)
      return std::unexpected(refusal(subject, each.error_code, each.error_message));
  return {};
}

}  // namespace millrace::app
