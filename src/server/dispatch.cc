#include "server/dispatch.h"

#include <algorithm>

#include "server/client_telemetry.h"
#include "server/forwarding.h"
#include "server/handlers/handlers.h"
#include "wire/headers.h"

namespace millrace::server {
namespace {

using wire::ApiKey;

constexpr ServedApi kServedByBroker[] = {
    {ApiKey::kProduce, {3, 13}, 0, handle_produce},
    {ApiKey::kFetch, {4, 18}, 4, handle_fetch},
    {ApiKey::kListOffsets, {1, 11}, 1, handle_list_offsets},
    {ApiKey::kMetadata, {0, 13}, 0, handle_metadata},
    {ApiKey::kOffsetCommit, {2, 10}, 2, handle_offset_commit},
    {ApiKey::kOffsetFetch, {1, 10}, 1, handle_offset_fetch},
    {ApiKey::kFindCoordinator, {0, 6}, 0, handle_find_coordinator},
    {ApiKey::kJoinGroup, {0, 9}, 0, handle_join_group},
    {ApiKey::kHeartbeat, {0, 4}, 0, handle_heartbeat},
    {ApiKey::kLeaveGroup, {0, 5}, 0, handle_leave_group},
    {ApiKey::kSyncGroup, {0, 5}, 0, handle_sync_group},
    {ApiKey::kDescribeGroups, {0, 6}, 0, handle_describe_groups},
    {ApiKey::kListGroups, {0, 5}, 0, handle_list_groups},
    {ApiKey::kApiVersions, {0, 4}, 0, handle_api_versions},
    {ApiKey::kCreateTopics, {2, 7}, 2, ask_controller},
    {ApiKey::kDeleteTopics, {1, 6}, 1, ask_controller},
    {ApiKey::kDeleteRecords, {0, 2}, 0, handle_delete_records},
    {ApiKey::kInitProducerId, {0, 5}, 0, handle_init_producer_id},
    {ApiKey::kOffsetForLeaderEpoch, {2, 4}, 2, handle_offset_for_leader_epoch},
    {ApiKey::kAddPartitionsToTxn, {0, 5}, 0, handle_add_partitions_to_txn},
    {ApiKey::kAddOffsetsToTxn, {0, 4}, 0, handle_add_offsets_to_txn},
    {ApiKey::kEndTxn, {0, 5}, 0, handle_end_txn},
    {ApiKey::kWriteTxnMarkers, {1, 2}, 1, handle_write_txn_markers},
    {ApiKey::kTxnOffsetCommit, {0, 5}, 0, handle_txn_offset_commit},
    {ApiKey::kDescribeConfigs, {1, 4}, 1, handle_describe_configs},
    {ApiKey::kAlterConfigs, {0, 2}, 0, handle_alter_configs_on_broker},
    {ApiKey::kAlterReplicaLogDirs, {1, 2}, 1, handle_alter_replica_log_dirs},
    {ApiKey::kDescribeLogDirs, {1, 5}, 1, handle_describe_log_dirs},
    {ApiKey::kCreatePartitions, {0, 3}, 0, ask_controller},
    {ApiKey::kDeleteGroups, {0, 2}, 0, handle_delete_groups},
    {ApiKey::kElectLeaders, {0, 2}, 0, ask_controller},
    {ApiKey::kIncrementalAlterConfigs, {0, 1}, 0, handle_incremental_alter_configs_on_broker},
    {ApiKey::kAlterPartitionReassignments, {0, 1}, 0, ask_controller},
    {ApiKey::kListPartitionReassignments, {0, 0}, 0, ask_controller},
    {ApiKey::kOffsetDelete, {0, 0}, 0, handle_offset_delete},
    {ApiKey::kDescribeClientQuotas, {0, 1}, 0, handle_describe_client_quotas},
    {ApiKey::kAlterClientQuotas, {0, 1}, 0, ask_controller},
    {ApiKey::kDescribeQuorum, {0, 2}, 0, ask_controller},
    {ApiKey::kUpdateFeatures, {0, 2}, 0, ask_controller},
    {ApiKey::kDescribeCluster, {0, 2}, 0, handle_describe_cluster},
    {ApiKey::kDescribeProducers, {0, 0}, 0, handle_describe_producers},
    {ApiKey::kUnregisterBroker, {0, 0}, 0, ask_controller},
    {ApiKey::kDescribeTransactions, {0, 0}, 0, handle_describe_transactions},
    {ApiKey::kListTransactions, {0, 2}, 0, handle_list_transactions},
    {ApiKey::kConsumerGroupHeartbeat, {0, 1}, 0, handle_consumer_group_heartbeat},
    {ApiKey::kConsumerGroupDescribe, {0, 1}, 0, handle_consumer_group_describe},
    {ApiKey::kGetTelemetrySubscriptions, {0, 0}, 0, handle_get_telemetry_subscriptions, true},
    {ApiKey::kPushTelemetry, {0, 0}, 0, handle_push_telemetry, true},
    {ApiKey::kListConfigResources, {0, 1}, 0, handle_list_config_resources},
    {ApiKey::kDescribeTopicPartitions, {0, 0}, 0, handle_describe_topic_partitions},
    {ApiKey::kShareGroupHeartbeat, {1, 1}, 1, handle_share_group_heartbeat},
    {ApiKey::kShareGroupDescribe, {1, 1}, 1, handle_share_group_describe},
    {ApiKey::kShareFetch, {1, 2}, 1, handle_share_fetch},
    {ApiKey::kShareAcknowledge, {1, 2}, 1, handle_share_acknowledge},
    {ApiKey::kAddRaftVoter, {0, 1}, 0, ask_controller},
    {ApiKey::kRemoveRaftVoter, {0, 0}, 0, ask_controller},
    {ApiKey::kInitializeShareGroupState, {0, 0}, 0, handle_initialize_share_group_state},
    {ApiKey::kReadShareGroupState, {0, 0}, 0, handle_read_share_group_state},
    {ApiKey::kWriteShareGroupState, {0, 1}, 0, handle_write_share_group_state},
    {ApiKey::kDeleteShareGroupState, {0, 0}, 0, handle_delete_share_group_state},
    {ApiKey::kReadShareGroupStateSummary, {0, 1}, 0, handle_read_share_group_state_summary},
    {ApiKey::kStreamsGroupHeartbeat, {0, 0}, 0, handle_streams_group_heartbeat},
    {ApiKey::kStreamsGroupDescribe, {0, 0}, 0, handle_streams_group_describe},
    {ApiKey::kDescribeShareGroupOffsets, {0, 1}, 0, handle_describe_share_group_offsets},
    {ApiKey::kAlterShareGroupOffsets, {0, 0}, 0, handle_alter_share_group_offsets},
    {ApiKey::kDeleteShareGroupOffsets, {0, 0}, 0, handle_delete_share_group_offsets},
};

constexpr ServedApi kServedByController[] = {
    {ApiKey::kFetch, {4, 18}, 4, handle_quorum_fetch},
    {ApiKey::kApiVersions, {0, 4}, 0, handle_api_versions},
    {ApiKey::kCreateTopics, {2, 7}, 2, handle_create_topics},
    {ApiKey::kDeleteTopics, {1, 6}, 1, handle_delete_topics},
    {ApiKey::kDescribeConfigs, {1, 4}, 1, handle_describe_configs},
    {ApiKey::kAlterConfigs, {0, 2}, 0, handle_alter_configs},
    {ApiKey::kCreatePartitions, {0, 3}, 0, handle_create_partitions},
    {ApiKey::kElectLeaders, {0, 2}, 0, handle_elect_leaders},
    {ApiKey::kIncrementalAlterConfigs, {0, 1}, 0, handle_incremental_alter_configs},
    {ApiKey::kAlterPartitionReassignments, {0, 1}, 0, handle_alter_partition_reassignments},
    {ApiKey::kListPartitionReassignments, {0, 0}, 0, handle_list_partition_reassignments},
    {ApiKey::kAlterClientQuotas, {0, 1}, 0, handle_alter_client_quotas},
    {ApiKey::kVote, {0, 2}, 0, handle_vote},
    {ApiKey::kBeginQuorumEpoch, {0, 1}, 0, handle_begin_quorum_epoch},
    {ApiKey::kEndQuorumEpoch, {0, 1}, 0, handle_end_quorum_epoch},
    {ApiKey::kDescribeQuorum, {0, 2}, 0, handle_describe_quorum},
    {ApiKey::kAlterPartition, {2, 3}, 2, handle_alter_partition},
    {ApiKey::kUpdateFeatures, {0, 2}, 0, handle_update_features},
    {ApiKey::kEnvelope, {0, 0}, 0, handle_envelope},
    {ApiKey::kFetchSnapshot, {0, 1}, 0, handle_fetch_snapshot},
    {ApiKey::kDescribeCluster, {0, 2}, 0, handle_describe_cluster},
    {ApiKey::kBrokerRegistration, {0, 4}, 0, handle_broker_registration},
    {ApiKey::kBrokerHeartbeat, {0, 2}, 0, handle_broker_heartbeat},
    {ApiKey::kUnregisterBroker, {0, 0}, 0, handle_unregister_broker},
    {ApiKey::kAllocateProducerIds, {0, 0}, 0, handle_allocate_producer_ids},
    {ApiKey::kControllerRegistration, {0, 0}, 0, handle_controller_registration},
    {ApiKey::kAssignReplicasToDirs, {0, 0}, 0, handle_assign_replicas_to_dirs},
    {ApiKey::kAddRaftVoter, {0, 1}, 0, handle_add_raft_voter},
    {ApiKey::kRemoveRaftVoter, {0, 0}, 0, handle_remove_raft_voter},
    {ApiKey::kUpdateRaftVoter, {0, 0}, 0, handle_update_raft_voter},
};

// What nodes of the cluster ask of each other costs no client request time, in Kafka neither; but
// heartbeats and registrations do.
bool is_exempt(const CallHeader& header) {
  using enum ApiKey;
  if (header.listener == ListenerKind::kBroker) return header.api == kWriteTxnMarkers;
  constexpr ApiKey kOfQuorum[] = {
      kFetch,          kFetchSnapshot,  kVote,         kBeginQuorumEpoch, kEndQuorumEpoch,
      kDescribeQuorum, kAlterPartition, kAddRaftVoter, kRemoveRaftVoter,  kUpdateRaftVoter};
  return std::ranges::find(kOfQuorum, header.api) != std::end(kOfQuorum);
}

}  // namespace

std::span<const ServedApi> served_apis(ListenerKind kind) {
  if (kind == ListenerKind::kController) return kServedByController;
  return kServedByBroker;
}

const ServedApi* find_served(ListenerKind kind, wire::ApiKey key) {
  const auto table = served_apis(kind);
  const auto found = std::ranges::find(table, key, &ServedApi::key);
  return found == table.end() ? nullptr : &*found;
}

Result<ParsedHeader> parse_header(ByteView frame, ListenerKind listener) {
  const auto key = load_big<int16_t>(frame.data());
  const auto version = load_big<int16_t>(frame.data() + 2);
  const wire::ApiInfo* api = wire::find_api(key);
  if (api == nullptr)
    return fail(Errc::kNotFound, fmt::format("request with the unknown API key {}", key));
  const ServedApi* served = find_served(listener, api->key);
  if (served == nullptr)
    return fail(Errc::kUnsupported,
                fmt::format("{} is not served by this version of Millrace", api->name));
  if (!served->versions.contains(version) && api->key != ApiKey::kApiVersions)
    return fail(Errc::kUnsupported,
                fmt::format("{} v{} is not served: versions are {} to {}", api->name, version,
                            served->versions.min, served->versions.max));
  wire::Reader reader(frame);
  wire::RequestHeader header;
  // The header of an ApiVersions request of the future has the newest form that we know.
  wire::read(reader, wire::request_header_version(*api, version), header);
  if (auto status = reader.status(); !status)
    return std::unexpected(std::move(status).error().within("request header"));
  return ParsedHeader{.header = {.api = api->key,
                                 .version = version,
                                 .listener = listener,
                                 .correlation_id = header.correlation_id,
                                 .client_id = header.client_id.value_or("")},
                      .body_offset = reader.position()};
}

Dispatcher::Dispatcher(Services services)
    : services_(std::move(services)),
      controller_listeners_(services_.node->properties().list("controller.listener.names")) {}

std::shared_ptr<HandlerTime> Dispatcher::begin_time(const env::Shard& shard) const {
  if (!services_.node->client_quotas().has(quota::Kind::kRequest)) return nullptr;
  return std::make_shared<HandlerTime>(HandlerTime{.begun = shard.clock().now(), .taken = {}});
}

void Dispatcher::handle(ByteView frame, PeerInfo& peer, Reply reply) {
  const bool is_controller =
      std::ranges::find(controller_listeners_, peer.listener) != controller_listeners_.end();
  auto parsed =
      parse_header(frame, is_controller ? ListenerKind::kController : ListenerKind::kBroker);
  if (!parsed) return reply.close(parsed.error().message);
  const ServedApi* served = find_served(parsed->header.listener, parsed->header.api);
  if (served->is_telemetry && !services_.telemetry->is_open())
    return reply.close("client telemetry is not served where no page of metrics is");
  env::Shard& shard = reply.shard();
  const auto time = begin_time(shard);
  const bool exempt = is_exempt(parsed->header);
  served->handle(Call({.header = std::move(parsed->header),
                       .frame = frame,
                       .body_offset = parsed->body_offset,
                       .peer = &peer,
                       .services = &services_,
                       .time = time,
                       .is_exempt = exempt},
                      std::move(reply)));
  if (time) time->taken = shard.clock().now() - time->begun;
}

}  // namespace millrace::server
