// DescribeQuorum (KIP-595, KIP-853): the quorum of the metadata log, its voters and observers.
#include "node/controller_host.h"
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

// The leader alone knows where the others are.
Response not_leader() {
  Response response;
  response.error_message = "";
  response.topics.push_back(
      {.topic_name = kTopic,
       .partitions = {{.error_code = wire::code_of(ErrorCode::kNotLeaderOrFollower),
                       .error_message =
                           "For requests intended only for the leader, this error "
                           "indicates that the broker is not the current leader. For "
                           "requests intended for any replica, this error indicates "
                           "that the broker is not a replica of the topic partition."}}});
  return response;
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

using Replica = wire::DescribeQuorumResponse::ReplicaState;

int64_t wall_time_of(const std::optional<Instant>& then, const raft::Now& now) {
  if (!then) return -1;
  return now.wall.value() - std::chrono::duration_cast<milliseconds>(now.time - *then).count();
}

Replica replica_of(const node::QuorumView& quorum, const raft::ReplicaKey& key, int16_t version) {
  Replica replica{.replica_id = key.id.value(), .log_end_offset = -1};
  replica.last_fetch_timestamp = replica.last_caught_up_timestamp = -1;
  if (version >= kFirstVersionWithDirectories) replica.replica_directory_id = key.directory_id;
  if (key.id == quorum.self.id) {  // never behind itself
    replica.log_end_offset = quorum.log_end.value();
    replica.last_fetch_timestamp = replica.last_caught_up_timestamp = quorum.now.wall.value();
  } else if (auto known = quorum.replicas.find(key); known != quorum.replicas.end()) {
    replica.log_end_offset = known->second.end.value_or(Offset(-1)).value();
    replica.last_fetch_timestamp = wall_time_of(known->second.last_fetch, quorum.now);
    replica.last_caught_up_timestamp = wall_time_of(known->second.last_caught_up, quorum.now);
  }
  return replica;
}

Response describe(const node::QuorumView& quorum, int16_t version) {
  Response response;
  response.error_message = "";
  auto& topic = response.topics.emplace_back();
  topic.topic_name = kTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.error_message = "";
  partition.leader_id = quorum.leader.value();
  partition.leader_epoch = quorum.epoch.value();
  partition.high_watermark = quorum.high_watermark.value();
  for (const auto& [id, voter] : quorum.voters.voters)
    partition.current_voters.push_back(replica_of(quorum, {id, voter.directory_id}, version));
  for (const auto& [key, progress] : quorum.replicas)
    if (!quorum.voters.contains(key))
      partition.observers.push_back(replica_of(quorum, key, version));
  if (version < kFirstVersionWithDirectories) return response;
  for (const auto& [id, voter] : quorum.voters.voters) {
    auto& node = response.nodes.emplace_back();
    node.node_id = id.value();
    for (const raft::Endpoint& e : voter.endpoints)
      node.listeners.push_back({.name = e.listener, .host = e.host, .port = e.port});
  }
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
  auto quorum = std::make_shared<node::QuorumView>();
  // The metadata log is shard 0's.
  node.submit({.decide =
                   [&node, quorum](controller::Controller&) {
                     *quorum = node.controller().quorum();
                     return controller::Records{};
                   },
               .done =
                   [waiting, quorum](Result<> known) {
                     if (!known) return waiting->respond_not_controller(not_leader());
                     waiting->respond(describe(*quorum, waiting->version()));
                   },
               .shard = shard});
}

}  // namespace millrace::server
