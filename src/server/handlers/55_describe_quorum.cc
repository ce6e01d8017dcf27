// DescribeQuorum (KIP-595, KIP-853): the quorum of the metadata log, which is a quorum of one: this
// node leads it, and is never behind itself.
#include "server/handlers/handlers.h"
#include "wire/describe_quorum.h"
#include "wire/errors.h"

namespace millrace::server {
namespace {

using Request = wire::DescribeQuorumRequest;
using Response = wire::DescribeQuorumResponse;
using wire::ErrorCode;

constexpr const char* kTopic = "__cluster_metadata";

// Anything but the one partition of the one topic, alone, is answered as not there.
bool is_the_quorum(const Request& request) {
  return request.topics.size() == 1 && request.topics[0].topic_name == kTopic &&
         request.topics[0].partitions.size() == 1 &&
         request.topics[0].partitions[0].partition_index == 0;
}

Response not_hosted(const Request& request) {
  Response response;
  response.error_message = "";
  for (const auto& topic : request.topics) {
    auto& result = response.topics.emplace_back();
    result.topic_name = topic.topic_name;
    for (const auto& partition : topic.partitions)
      result.partitions.push_back(
          {.partition_index = partition.partition_index,
           .error_code = wire::code_of(ErrorCode::kUnknownTopicOrPartition),
           .error_message = "This server does not host this topic-partition."});
  }
  return response;
}

constexpr int16_t kFirstVersionWithDirectories = 2;

Response describe(const node::QuorumState& quorum, TimestampMs now, int16_t version) {
  Response response;
  response.error_message = "";
  auto& topic = response.topics.emplace_back();
  topic.topic_name = kTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.error_message = "";
  partition.leader_id = quorum.self.id.value();
  partition.leader_epoch = quorum.epoch.value();
  partition.high_watermark = quorum.high_watermark.value();
  auto& voter = partition.current_voters.emplace_back();
  voter.replica_id = quorum.self.id.value();
  voter.log_end_offset = quorum.log_end.value();
  voter.last_fetch_timestamp = now.value();
  voter.last_caught_up_timestamp = now.value();
  if (version < kFirstVersionWithDirectories) return response;
  voter.replica_directory_id = quorum.self.directory_id;
  auto& self = response.nodes.emplace_back();
  self.node_id = quorum.self.id.value();
  self.listeners.push_back({.name = quorum.self.endpoint.listener,
                            .host = quorum.self.endpoint.host,
                            .port = quorum.self.endpoint.port});
  return response;
}

}  // namespace

void handle_describe_quorum(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  if (!is_the_quorum(*request)) return call.respond(not_hosted(*request));
  node::Node& node = call.node();
  env::Shard* shard = &call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  auto quorum = std::make_shared<node::QuorumState>();
  // The metadata log is shard 0's.
  node.submit({.decide =
                   [&node, quorum](controller::Controller&) {
                     *quorum = node.quorum();
                     return controller::Records{};
                   },
               .done =
                   [waiting, quorum](Result<>) {
                     waiting->respond(
                         describe(*quorum, waiting->shard().clock().wall(), waiting->version()));
                   },
               .shard = shard});
}

}  // namespace millrace::server
