// DescribeTopicPartitions (KIP-966): topics by name in order, so many partitions a page, with
// eligible leader replicas.
#include <algorithm>
#include <set>

#include "controller/controller.h"
#include "metadata/node_ids.h"
#include "server/authorized_operations.h"
#include "server/broker_view.h"
#include "server/handlers/handlers.h"
#include "server/topic_creation.h"
#include "wire/describe_topic_partitions.h"

namespace millrace::server {
namespace {

using Request = wire::DescribeTopicPartitionsRequest;
using Response = wire::DescribeTopicPartitionsResponse;
using wire::ErrorCode;

Response::DescribeTopicPartitionsResponsePartition describe(const BrokerView& view, size_t index,
                                                            const metadata::PartitionState& p) {
  const ErrorCode code = view.leader_error(p);
  return {.error_code = wire::code_of(code),
          .partition_index = static_cast<int32_t>(index),
          .leader_id = code == ErrorCode::kNone ? p.leader.value() : kNoNode.value(),
          .leader_epoch = p.leader_epoch.value(),
          .replica_nodes = metadata::numbers_of(p.replicas),
          .isr_nodes = metadata::numbers_of(p.isr),
          .eligible_leader_replicas = metadata::numbers_of(p.elr),
          .last_known_elr = metadata::numbers_of(p.last_known_elr),
          .offline_replicas = view.offline_replicas(p)};
}

// The names to describe, in order, from the cursor on.
std::set<std::string> names_of(const Request& request, const metadata::Image& image) {
  std::set<std::string> names;
  for (const auto& topic : request.topics) names.insert(topic.name);
  if (request.topics.empty())
    for (const auto& [name, topic] : image.topics()) names.insert(name);
  if (request.cursor) names.erase(names.begin(), names.lower_bound(request.cursor->topic_name));
  return names;
}

// A cursor is where an answer to the same request ended.
bool is_cursor_of(const Request& request) {
  if (!request.cursor) return true;
  if (request.cursor->partition_index < 0) return false;
  return request.topics.empty() || std::ranges::any_of(request.topics, [&](const auto& topic) {
           return topic.name == request.cursor->topic_name;
         });
}

Response refused(const Request& request) {
  Response response;
  for (const auto& topic : request.topics)
    response.topics.push_back(
        {.error_code = wire::code_of(ErrorCode::kInvalidRequest), .name = topic.name});
  return response;
}

}  // namespace

void handle_describe_topic_partitions(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  if (!is_cursor_of(*request)) return call.respond(refused(*request));
  const auto image = call.node().image();
  // At least one, as in Kafka: a page of nothing would never end.
  int64_t left = std::clamp<int64_t>(
      request->response_partition_limit, 1,
      std::max<int64_t>(1, call.node().properties().number("max.request.partition.size.limit")));
  const BrokerView view(*image, call.peer().listener);
  Response response;
  for (const std::string& name : names_of(*request, *image)) {
    if (left <= 0) {
      response.next_cursor = {.topic_name = name, .partition_index = 0};
      break;
    }
    auto& result = response.topics.emplace_back();
    result.name = name;
    result.topic_authorized_operations = kTopicOperations;
    result.is_internal = is_internal_topic(name);
    const metadata::Topic* topic = image->find_topic(std::string_view(name));
    if (topic == nullptr) {
      result.error_code =
          wire::code_of(controller::topic_name_problem(name) ? ErrorCode::kInvalidTopicException
                                                             : ErrorCode::kUnknownTopicOrPartition);
      continue;
    }
    result.topic_id = topic->id;
    const bool resumed = request->cursor && request->cursor->topic_name == name;
    size_t index = resumed ? static_cast<size_t>(request->cursor->partition_index) : 0;
    for (; index < topic->partitions.size() && left > 0; ++index, --left)
      result.partitions.push_back(describe(view, index, topic->partitions[index]));
    if (index < topic->partitions.size()) {
      response.next_cursor = {.topic_name = name, .partition_index = static_cast<int32_t>(index)};
      break;
    }
  }
  call.respond(response);
}

}  // namespace millrace::server
