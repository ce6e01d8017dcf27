#include "server/dispatch.h"

#include <algorithm>

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
    {ApiKey::kCreateTopics, {2, 7}, 2, handle_create_topics},
    {ApiKey::kDeleteTopics, {1, 6}, 1, handle_delete_topics},
    {ApiKey::kDeleteRecords, {0, 2}, 0, handle_delete_records},
    {ApiKey::kInitProducerId, {0, 5}, 0, handle_init_producer_id},
    {ApiKey::kOffsetForLeaderEpoch, {2, 4}, 2, handle_offset_for_leader_epoch},
    {ApiKey::kDescribeConfigs, {1, 4}, 1, handle_describe_configs},
    {ApiKey::kAlterConfigs, {0, 2}, 0, handle_alter_configs},
    {ApiKey::kDescribeLogDirs, {1, 5}, 1, handle_describe_log_dirs},
    {ApiKey::kCreatePartitions, {0, 3}, 0, handle_create_partitions},
    {ApiKey::kDeleteGroups, {0, 2}, 0, handle_delete_groups},
    {ApiKey::kIncrementalAlterConfigs, {0, 1}, 0, handle_incremental_alter_configs},
    {ApiKey::kOffsetDelete, {0, 0}, 0, handle_offset_delete},
    {ApiKey::kDescribeQuorum, {0, 2}, 0, handle_describe_quorum},
    {ApiKey::kUpdateFeatures, {0, 2}, 0, handle_update_features},
    {ApiKey::kDescribeCluster, {0, 2}, 0, handle_describe_cluster},
    {ApiKey::kDescribeProducers, {0, 0}, 0, handle_describe_producers},
    {ApiKey::kListConfigResources, {0, 1}, 0, handle_list_config_resources},
    {ApiKey::kDescribeTopicPartitions, {0, 0}, 0, handle_describe_topic_partitions},
};

constexpr ServedApi kServedByController[] = {
    {ApiKey::kFetch, {4, 18}, 4, handle_quorum_fetch},
    {ApiKey::kApiVersions, {0, 4}, 0, handle_api_versions},
    {ApiKey::kCreateTopics, {2, 7}, 2, handle_create_topics},
    {ApiKey::kDeleteTopics, {1, 6}, 1, handle_delete_topics},
    {ApiKey::kDescribeConfigs, {1, 4}, 1, handle_describe_configs},
    {ApiKey::kAlterConfigs, {0, 2}, 0, handle_alter_configs},
    {ApiKey::kCreatePartitions, {0, 3}, 0, handle_create_partitions},
    {ApiKey::kIncrementalAlterConfigs, {0, 1}, 0, handle_incremental_alter_configs},
    {ApiKey::kVote, {0, 2}, 0, handle_vote},
    {ApiKey::kBeginQuorumEpoch, {0, 1}, 0, handle_begin_quorum_epoch},
    {ApiKey::kEndQuorumEpoch, {0, 1}, 0, handle_end_quorum_epoch},
    {ApiKey::kDescribeQuorum, {0, 2}, 0, handle_describe_quorum},
    {ApiKey::kUpdateFeatures, {0, 2}, 0, handle_update_features},
    {ApiKey::kFetchSnapshot, {0, 1}, 0, handle_fetch_snapshot},
    {ApiKey::kDescribeCluster, {0, 2}, 0, handle_describe_cluster},
    {ApiKey::kBrokerRegistration, {0, 4}, 0, handle_broker_registration},
    {ApiKey::kBrokerHeartbeat, {0, 2}, 0, handle_broker_heartbeat},
    {ApiKey::kAllocateProducerIds, {0, 0}, 0, handle_allocate_producer_ids},
    {ApiKey::kControllerRegistration, {0, 0}, 0, handle_controller_registration},
};

}  // namespace

std::span<const ServedApi> served_apis(ListenerKind kind) {
  if (kind == ListenerKind::kController) return kServedByController;
  return kServedByBroker;
}

Dispatcher::Dispatcher(Services services)
    : services_(std::move(services)),
      controller_listeners_(services_.node->properties().list("controller.listener.names")) {}

void Dispatcher::handle(ByteView frame, PeerInfo& peer, Reply reply) {
  wire::Reader reader(frame);
  wire::RequestHeader header;
  const auto key = load_big<int16_t>(frame.data());
  const auto version = load_big<int16_t>(frame.data() + 2);
  const wire::ApiInfo* api = wire::find_api(key);
  if (api == nullptr) return reply.close(fmt::format("request with the unknown API key {}", key));
  const bool is_controller =
      std::ranges::find(controller_listeners_, peer.listener) != controller_listeners_.end();
  const auto kind = is_controller ? ListenerKind::kController : ListenerKind::kBroker;
  const auto table = served_apis(kind);
  auto served = std::ranges::find(table, api->key, &ServedApi::key);
  if (served == table.end())
    return reply.close(fmt::format("{} is not served by this version of Millrace", api->name));
  const bool known = served->versions.contains(version);
  if (!known && api->key != ApiKey::kApiVersions)
    return reply.close(fmt::format("{} v{} is not served: versions are {} to {}", api->name,
                                   version, served->versions.min, served->versions.max));
  // The header of an ApiVersions request of the future has the newest form that we know.
  wire::read(reader, wire::request_header_version(*api, version), header);
  if (auto status = reader.status(); !status)
    return reply.close(fmt::format("request header: {}", status.error().message));
  CallHeader call_header{.api = api->key,
                         .version = version,
                         .listener = kind,
                         .correlation_id = header.correlation_id,
                         .client_id = header.client_id.value_or("")};
  served->handle(Call({.header = std::move(call_header),
                       .body = frame.subspan(reader.position()),
                       .peer = &peer,
                       .services = &services_},
                      std::move(reply)));
}

}  // namespace millrace::server
