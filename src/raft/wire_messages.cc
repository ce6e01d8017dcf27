#include "raft/wire_messages.h"

#include <algorithm>

namespace millrace::raft {
namespace {

bool other_cluster(const std::optional<std::string>& named, const std::string& ours) {
  return named && *named != ours;
}

// The one partition of a request, or the code that refuses it.
template <class Request>
auto only_partition(const Request& request, const std::string& cluster_id)
    -> Received<decltype(&request.topics[0].partitions[0])> {
  if (other_cluster(request.cluster_id, cluster_id))
    return std::unexpected(ErrorCode::kInconsistentClusterId);
  if (request.topics.size() != 1 || request.topics[0].partitions.size() != 1)
    return std::unexpected(ErrorCode::kInvalidRequest);
  return &request.topics[0].partitions[0];
}

template <class Topic>
bool is_metadata(const Topic& topic, int32_t partition) {
  return topic == kMetadataTopic && partition == 0;
}

template <class Wire>
std::vector<Endpoint> endpoints_from(const Wire& listed) {
  std::vector<Endpoint> endpoints;
  for (const auto& each : listed) endpoints.push_back({each.name, each.host, each.port});
  return endpoints;
}

template <class Wire>
void endpoints_to(const std::vector<Endpoint>& endpoints, Wire& listed) {
  for (const Endpoint& e : endpoints)
    listed.push_back({.name = e.listener, .host = e.host, .port = e.port});
}

// A response says where to reach the node it names as leader.
template <class Response>
void node_endpoint_to(const Standing& standing, Response& response) {
  if (standing.leader == kNoNode || standing.leader_endpoints.empty()) return;
  const Endpoint& first = standing.leader_endpoints[0];
  auto& node = response.node_endpoints.emplace_back();
  node.node_id = standing.leader.value();
  node.host = first.host;
  node.port = first.port;
}

template <class Response>
void node_endpoint_from(const Response& response, Standing& standing) {
  for (const auto& node : response.node_endpoints)
    if (NodeId(node.node_id) == standing.leader && node.port >= 0 && node.port <= UINT16_MAX)
      standing.leader_endpoints.push_back({"", node.host, static_cast<uint16_t>(node.port)});
}

// Of a response without our partition: its error as a whole, and nothing of the quorum.
Standing refused(int16_t error) {
  const auto code = static_cast<ErrorCode>(error);
  return {.error = code == ErrorCode::kNone ? ErrorCode::kInvalidRequest : code,
          .epoch = kNoLeaderEpoch};
}

template <class Response>
auto partition_of(const Response& response) -> decltype(&response.topics[0].partitions[0]) {
  if (response.error_code != 0 || response.topics.empty() || response.topics[0].partitions.empty())
    return nullptr;
  return &response.topics[0].partitions[0];
}

// Vote, BeginQuorumEpoch and EndQuorumEpoch answer in one form.
template <class Response>
auto& standing_to(const Standing& standing, Response& response) {
  auto& topic = response.topics.emplace_back();
  topic.topic_name = kMetadataTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.error_code = wire::code_of(standing.error);
  partition.leader_id = standing.leader.value();
  partition.leader_epoch = standing.epoch.value();
  node_endpoint_to(standing, response);
  return partition;
}

template <class Response>
Standing standing_from(const Response& response) {
  const auto* partition = partition_of(response);
  if (!partition) return refused(response.error_code);
  Standing standing{.error = static_cast<ErrorCode>(partition->error_code),
                    .leader = NodeId(partition->leader_id),
                    .epoch = LeaderEpoch(partition->leader_epoch)};
  node_endpoint_from(response, standing);
  return standing;
}

}  // namespace

wire::VoteRequest to_wire(const VoteRequest& request, const std::string& cluster_id) {
  wire::VoteRequest out{.cluster_id = cluster_id, .voter_id = request.voter.id.value()};
  auto& topic = out.topics.emplace_back();
  topic.topic_name = kMetadataTopic;
  topic.partitions.push_back({.replica_epoch = request.epoch.value(),
                              .replica_id = request.candidate.id.value(),
                              .replica_directory_id = request.candidate.directory_id,
                              .voter_directory_id = request.voter.directory_id,
                              .last_offset_epoch = request.log_end.epoch.value(),
                              .last_offset = request.log_end.offset.value(),
                              .pre_vote = request.pre_vote});
  return out;
}

Received<VoteRequest> from_wire(const wire::VoteRequest& request, const std::string& cluster_id) {
  auto partition = only_partition(request, cluster_id);
  if (!partition) return std::unexpected(partition.error());
  const auto& p = **partition;
  if (!is_metadata(request.topics[0].topic_name, p.partition_index))
    return std::unexpected(ErrorCode::kInvalidRequest);
  return VoteRequest{.candidate = {NodeId(p.replica_id), p.replica_directory_id},
                     .epoch = LeaderEpoch(p.replica_epoch),
                     .voter = {NodeId(request.voter_id), p.voter_directory_id},
                     .log_end = {LeaderEpoch(p.last_offset_epoch), Offset(p.last_offset)},
                     .pre_vote = p.pre_vote};
}

wire::BeginQuorumEpochRequest to_wire(const BeginQuorumEpochRequest& request,
                                      const std::string& cluster_id) {
  wire::BeginQuorumEpochRequest out{.cluster_id = cluster_id, .voter_id = request.voter.id.value()};
  auto& topic = out.topics.emplace_back();
  topic.topic_name = kMetadataTopic;
  topic.partitions.push_back({.voter_directory_id = request.voter.directory_id,
                              .leader_id = request.leader.value(),
                              .leader_epoch = request.epoch.value()});
  endpoints_to(request.endpoints, out.leader_endpoints);
  return out;
}

Received<BeginQuorumEpochRequest> from_wire(const wire::BeginQuorumEpochRequest& request,
                                            const std::string& cluster_id) {
  auto partition = only_partition(request, cluster_id);
  if (!partition) return std::unexpected(partition.error());
  const auto& p = **partition;
  if (!is_metadata(request.topics[0].topic_name, p.partition_index))
    return std::unexpected(ErrorCode::kInvalidRequest);
  return BeginQuorumEpochRequest{.leader = NodeId(p.leader_id),
                                 .epoch = LeaderEpoch(p.leader_epoch),
                                 .voter = {NodeId(request.voter_id), p.voter_directory_id},
                                 .endpoints = endpoints_from(request.leader_endpoints)};
}

// Version 0 has ids for the successors, later ones the directories too: both are filled.
wire::EndQuorumEpochRequest to_wire(const EndQuorumEpochRequest& request,
                                    const std::string& cluster_id) {
  wire::EndQuorumEpochRequest out{.cluster_id = cluster_id};
  auto& topic = out.topics.emplace_back();
  topic.topic_name = kMetadataTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.leader_id = request.leader.value();
  partition.leader_epoch = request.epoch.value();
  for (const ReplicaKey& each : request.preferred) {
    partition.preferred_successors.push_back(each.id.value());
    partition.preferred_candidates.push_back(
        {.candidate_id = each.id.value(), .candidate_directory_id = each.directory_id});
  }
  endpoints_to(request.endpoints, out.leader_endpoints);
  return out;
}

Received<EndQuorumEpochRequest> from_wire(const wire::EndQuorumEpochRequest& request,
                                          const std::string& cluster_id) {
  auto partition = only_partition(request, cluster_id);
  if (!partition) return std::unexpected(partition.error());
  const auto& p = **partition;
  if (!is_metadata(request.topics[0].topic_name, p.partition_index))
    return std::unexpected(ErrorCode::kInvalidRequest);
  EndQuorumEpochRequest in{.leader = NodeId(p.leader_id),
                           .epoch = LeaderEpoch(p.leader_epoch),
                           .endpoints = endpoints_from(request.leader_endpoints)};
  for (const auto& each : p.preferred_candidates)
    in.preferred.push_back({NodeId(each.candidate_id), each.candidate_directory_id});
  if (in.preferred.empty())
    for (int32_t id : p.preferred_successors) in.preferred.push_back({NodeId(id), Uuid::zero()});
  return in;
}

// At version 15 and above: older ones say the replica elsewhere, and no quorum of today speaks
// them.
wire::FetchRequest to_wire(const FetchRequest& request, const std::string& cluster_id) {
  wire::FetchRequest out{.cluster_id = cluster_id,
                         .replica_state = {.replica_id = request.replica.id.value()},
                         .max_bytes = static_cast<int32_t>(request.max_bytes)};
  out.max_wait_ms =
      static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(request.max_wait).count());
  auto& topic = out.topics.emplace_back();
  topic.topic = kMetadataTopic;
  topic.topic_id = kMetadataTopicId;
  topic.partitions.push_back({.current_leader_epoch = request.current_epoch.value(),
                              .fetch_offset = request.from.value(),
                              .last_fetched_epoch = request.last_fetched_epoch.value(),
                              .replica_directory_id = request.replica.directory_id,
                              .high_watermark = request.high_watermark.value()});
  return out;
}

Received<FetchRequest> from_wire(const wire::FetchRequest& request, const std::string& cluster_id) {
  auto partition = only_partition(request, cluster_id);
  if (!partition) return std::unexpected(partition.error());
  const auto& p = **partition;
  const auto& topic = request.topics[0];
  const bool named =
      topic.topic.empty() ? topic.topic_id == kMetadataTopicId : topic.topic == kMetadataTopic;
  if (!named || p.partition != 0) return std::unexpected(ErrorCode::kInvalidRequest);
  const int32_t id = std::max(request.replica_id, request.replica_state.replica_id);
  return FetchRequest{.replica = {NodeId(id), p.replica_directory_id},
                      .current_epoch = LeaderEpoch(p.current_leader_epoch),
                      .from = Offset(p.fetch_offset),
                      .last_fetched_epoch = LeaderEpoch(p.last_fetched_epoch),
                      .max_wait = milliseconds(std::max(0, request.max_wait_ms)),
                      .max_bytes = static_cast<uint32_t>(std::max(0, request.max_bytes)),
                      .high_watermark = Offset(p.high_watermark)};
}

wire::FetchSnapshotRequest to_wire(const FetchSnapshotRequest& request,
                                   const std::string& cluster_id) {
  wire::FetchSnapshotRequest out{.cluster_id = cluster_id,
                                 .replica_id = request.replica.id.value(),
                                 .max_bytes = static_cast<int32_t>(request.max_bytes)};
  auto& topic = out.topics.emplace_back();
  topic.name = kMetadataTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.current_leader_epoch = request.current_epoch.value();
  partition.snapshot_id = {.end_offset = request.snapshot.offset.value(),
                           .epoch = request.snapshot.epoch.value()};
  partition.position = static_cast<int64_t>(request.position);
  partition.replica_directory_id = request.replica.directory_id;
  return out;
}

Received<FetchSnapshotRequest> from_wire(const wire::FetchSnapshotRequest& request,
                                         const std::string& cluster_id) {
  auto partition = only_partition(request, cluster_id);
  if (!partition) return std::unexpected(partition.error());
  const auto& p = **partition;
  if (!is_metadata(request.topics[0].name, p.partition) || p.position < 0)
    return std::unexpected(ErrorCode::kInvalidRequest);
  return FetchSnapshotRequest{
      .replica = {NodeId(request.replica_id), p.replica_directory_id},
      .current_epoch = LeaderEpoch(p.current_leader_epoch),
      .snapshot = {LeaderEpoch(p.snapshot_id.epoch), Offset(p.snapshot_id.end_offset)},
      .position = static_cast<uint64_t>(p.position),
      .max_bytes = static_cast<uint32_t>(std::max(0, request.max_bytes))};
}

wire::VoteResponse to_wire(const VoteResponse& response) {
  wire::VoteResponse out;
  standing_to(response.standing, out).vote_granted = response.granted;
  return out;
}

wire::BeginQuorumEpochResponse to_wire(const BeginQuorumEpochResponse& response) {
  wire::BeginQuorumEpochResponse out;
  standing_to(response.standing, out);
  return out;
}

wire::EndQuorumEpochResponse to_wire(const EndQuorumEpochResponse& response) {
  wire::EndQuorumEpochResponse out;
  standing_to(response.standing, out);
  return out;
}

wire::FetchResponse to_wire(const FetchResponse& response) {
  wire::FetchResponse out;
  auto& topic = out.responses.emplace_back();
  topic.topic = kMetadataTopic;
  topic.topic_id = kMetadataTopicId;
  auto& p = topic.partitions.emplace_back();
  p.error_code = wire::code_of(response.standing.error);
  p.high_watermark = response.high_watermark.value();
  p.last_stable_offset = response.high_watermark.value();
  p.log_start_offset = response.log_start.value();
  p.current_leader = {.leader_id = response.standing.leader.value(),
                      .leader_epoch = response.standing.epoch.value()};
  if (response.diverging)
    p.diverging_epoch = {.epoch = response.diverging->epoch.value(),
                         .end_offset = response.diverging->offset.value()};
  if (response.snapshot)
    p.snapshot_id = {.end_offset = response.snapshot->offset.value(),
                     .epoch = response.snapshot->epoch.value()};
  p.records = wire::Records::of(response.records);
  node_endpoint_to(response.standing, out);
  return out;
}

FetchResponse from_wire(const wire::FetchResponse& response) {
  FetchResponse in;
  if (response.error_code != 0 || response.responses.empty() ||
      response.responses[0].partitions.empty()) {
    in.standing = refused(response.error_code);
    return in;
  }
  const auto& p = response.responses[0].partitions[0];
  in.standing = {.error = static_cast<ErrorCode>(p.error_code),
                 .leader = NodeId(p.current_leader.leader_id),
                 .epoch = LeaderEpoch(p.current_leader.leader_epoch)};
  node_endpoint_from(response, in.standing);
  in.high_watermark = Offset(p.high_watermark);
  in.log_start = Offset(p.log_start_offset);
  if (p.diverging_epoch.epoch >= 0 && p.diverging_epoch.end_offset >= 0)
    in.diverging = {LeaderEpoch(p.diverging_epoch.epoch), Offset(p.diverging_epoch.end_offset)};
  if (p.snapshot_id.epoch >= 0 && p.snapshot_id.end_offset >= 0)
    in.snapshot = {LeaderEpoch(p.snapshot_id.epoch), Offset(p.snapshot_id.end_offset)};
  in.records = copy_of(p.records.bytes);
  return in;
}

wire::FetchSnapshotResponse to_wire(const FetchSnapshotResponse& response) {
  wire::FetchSnapshotResponse out;
  auto& topic = out.topics.emplace_back();
  topic.name = kMetadataTopic;
  auto& p = topic.partitions.emplace_back();
  p.error_code = wire::code_of(response.standing.error);
  p.snapshot_id = {.end_offset = response.snapshot.offset.value(),
                   .epoch = response.snapshot.epoch.value()};
  p.current_leader = {.leader_id = response.standing.leader.value(),
                      .leader_epoch = response.standing.epoch.value()};
  p.size = static_cast<int64_t>(response.size);
  p.position = static_cast<int64_t>(response.position);
  p.unaligned_records = wire::Records::of(response.bytes);
  node_endpoint_to(response.standing, out);
  return out;
}

VoteResponse from_wire(const wire::VoteResponse& response) {
  const auto* partition = partition_of(response);
  return {.standing = standing_from(response),
          .granted = partition != nullptr && partition->vote_granted};
}

BeginQuorumEpochResponse from_wire(const wire::BeginQuorumEpochResponse& response) {
  return {.standing = standing_from(response)};
}

EndQuorumEpochResponse from_wire(const wire::EndQuorumEpochResponse& response) {
  return {.standing = standing_from(response)};
}

FetchSnapshotResponse from_wire(const wire::FetchSnapshotResponse& response) {
  FetchSnapshotResponse in;
  const auto* p = partition_of(response);
  if (!p) {
    in.standing = refused(response.error_code);
    return in;
  }
  in.standing = {.error = static_cast<ErrorCode>(p->error_code),
                 .leader = NodeId(p->current_leader.leader_id),
                 .epoch = LeaderEpoch(p->current_leader.leader_epoch)};
  node_endpoint_from(response, in.standing);
  in.snapshot = {LeaderEpoch(p->snapshot_id.epoch), Offset(p->snapshot_id.end_offset)};
  in.position = p->position < 0 ? 0 : static_cast<uint64_t>(p->position);
  in.size = p->size < 0 ? 0 : static_cast<uint64_t>(p->size);
  in.bytes = copy_of(p->unaligned_records.bytes);
  return in;
}

}  // namespace millrace::raft
