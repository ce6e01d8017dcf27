// The handlers, one an API: each decodes its request, does what Kafka's broker does, and answers
// now or later.
#pragma once

#include "server/call.h"

namespace millrace::server {

void handle_produce(Call call);
void handle_fetch(Call call);
void handle_list_offsets(Call call);
void handle_metadata(Call call);
void handle_offset_commit(Call call);
void handle_offset_fetch(Call call);
void handle_find_coordinator(Call call);
void handle_join_group(Call call);
void handle_heartbeat(Call call);
void handle_consumer_group_heartbeat(Call call);
void handle_consumer_group_describe(Call call);
void handle_share_group_heartbeat(Call call);
void handle_share_group_describe(Call call);
void handle_streams_group_heartbeat(Call call);
void handle_streams_group_describe(Call call);
void handle_describe_share_group_offsets(Call call);
void handle_alter_share_group_offsets(Call call);
void handle_delete_share_group_offsets(Call call);
void handle_leave_group(Call call);
void handle_sync_group(Call call);
void handle_describe_groups(Call call);
void handle_list_groups(Call call);
void handle_api_versions(Call call);
void handle_delete_records(Call call);
void handle_init_producer_id(Call call);
void handle_offset_for_leader_epoch(Call call);
void handle_add_partitions_to_txn(Call call);
void handle_add_offsets_to_txn(Call call);
void handle_end_txn(Call call);
void handle_write_txn_markers(Call call);
void handle_txn_offset_commit(Call call);
void handle_describe_configs(Call call);
void handle_alter_replica_log_dirs(Call call);
void handle_describe_log_dirs(Call call);
void handle_delete_groups(Call call);
void handle_offset_delete(Call call);
void handle_alter_configs_on_broker(Call call);
void handle_incremental_alter_configs_on_broker(Call call);
void handle_describe_cluster(Call call);
void handle_describe_producers(Call call);
void handle_describe_transactions(Call call);
void handle_list_transactions(Call call);
void handle_get_telemetry_subscriptions(Call call);
void handle_push_telemetry(Call call);
void handle_list_config_resources(Call call);
void handle_describe_topic_partitions(Call call);
void handle_describe_client_quotas(Call call);
void handle_initialize_share_group_state(Call call);
void handle_read_share_group_state(Call call);
void handle_write_share_group_state(Call call);
void handle_delete_share_group_state(Call call);
void handle_read_share_group_state_summary(Call call);
void handle_share_fetch(Call call);
void handle_share_acknowledge(Call call);

// Of the controller's listener; what is forwardable comes here from those of brokers too
// (server/forwarding).
void handle_create_topics(Call call);
void handle_delete_topics(Call call);
void handle_create_partitions(Call call);
void handle_alter_configs(Call call);
void handle_incremental_alter_configs(Call call);
void handle_alter_client_quotas(Call call);
void handle_describe_quorum(Call call);
void handle_update_features(Call call);
void handle_elect_leaders(Call call);
void handle_alter_partition_reassignments(Call call);
void handle_list_partition_reassignments(Call call);
void handle_unregister_broker(Call call);
void handle_quorum_fetch(Call call);
void handle_vote(Call call);
void handle_begin_quorum_epoch(Call call);
void handle_end_quorum_epoch(Call call);
void handle_fetch_snapshot(Call call);
void handle_broker_registration(Call call);
void handle_broker_heartbeat(Call call);
void handle_allocate_producer_ids(Call call);
void handle_controller_registration(Call call);
void handle_alter_partition(Call call);
void handle_assign_replicas_to_dirs(Call call);
void handle_envelope(Call call);
void handle_add_raft_voter(Call call);
void handle_remove_raft_voter(Call call);
void handle_update_raft_voter(Call call);

}  // namespace millrace::server
