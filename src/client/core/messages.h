// Which response belongs to a request: ResponseOf<wire::MetadataRequest> is wire::MetadataResponse.
// A message is added here when the client first speaks it.
// Machines and applications use the newest form of a message only. Where older versions say the
// same in other fields, to_version() and from_version() move it there and back.
#pragma once

#include "wire/add_offsets_to_txn.h"
#include "wire/add_partitions_to_txn.h"
#include "wire/add_raft_voter.h"
#include "wire/alter_client_quotas.h"
#include "wire/alter_partition_reassignments.h"
#include "wire/alter_replica_log_dirs.h"
#include "wire/alter_share_group_offsets.h"
#include "wire/api_versions.h"
#include "wire/consumer_group_describe.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_groups.h"
#include "wire/delete_records.h"
#include "wire/delete_share_group_offsets.h"
#include "wire/delete_topics.h"
#include "wire/describe_client_quotas.h"
#include "wire/describe_cluster.h"
#include "wire/describe_configs.h"
#include "wire/describe_groups.h"
#include "wire/describe_log_dirs.h"
#include "wire/describe_producers.h"
#include "wire/describe_quorum.h"
#include "wire/describe_share_group_offsets.h"
#include "wire/describe_topic_partitions.h"
#include "wire/describe_transactions.h"
#include "wire/describe_user_scram_credentials.h"
#include "wire/elect_leaders.h"
#include "wire/end_txn.h"
#include "wire/fetch.h"
#include "wire/find_coordinator.h"
#include "wire/heartbeat.h"
#include "wire/incremental_alter_configs.h"
#include "wire/init_producer_id.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/list_config_resources.h"
#include "wire/list_groups.h"
#include "wire/list_offsets.h"
#include "wire/list_partition_reassignments.h"
#include "wire/list_transactions.h"
#include "wire/metadata.h"
#include "wire/offset_commit.h"
#include "wire/offset_delete.h"
#include "wire/offset_fetch.h"
#include "wire/produce.h"
#include "wire/remove_raft_voter.h"
#include "wire/share_acknowledge.h"
#include "wire/share_fetch.h"
#include "wire/share_group_describe.h"
#include "wire/share_group_heartbeat.h"
#include "wire/streams_group_describe.h"
#include "wire/sync_group.h"
#include "wire/txn_offset_commit.h"
#include "wire/unregister_broker.h"
#include "wire/update_features.h"
#include "wire/write_txn_markers.h"

namespace millrace::client::core {

template <class Request>
struct Exchange;

#define MILLRACE_EXCHANGE(name)            \
  template <>                              \
  struct Exchange<wire::name##Request> {   \
    using Response = wire::name##Response; \
  }
MILLRACE_EXCHANGE(AddOffsetsToTxn);
MILLRACE_EXCHANGE(AddPartitionsToTxn);
MILLRACE_EXCHANGE(AddRaftVoter);
MILLRACE_EXCHANGE(AlterClientQuotas);
MILLRACE_EXCHANGE(AlterPartitionReassignments);
MILLRACE_EXCHANGE(AlterReplicaLogDirs);
MILLRACE_EXCHANGE(AlterShareGroupOffsets);
MILLRACE_EXCHANGE(ApiVersions);
MILLRACE_EXCHANGE(ConsumerGroupDescribe);
MILLRACE_EXCHANGE(ConsumerGroupHeartbeat);
MILLRACE_EXCHANGE(CreatePartitions);
MILLRACE_EXCHANGE(CreateTopics);
MILLRACE_EXCHANGE(DeleteGroups);
MILLRACE_EXCHANGE(DeleteRecords);
MILLRACE_EXCHANGE(DeleteShareGroupOffsets);
MILLRACE_EXCHANGE(DeleteTopics);
MILLRACE_EXCHANGE(DescribeClientQuotas);
MILLRACE_EXCHANGE(DescribeCluster);
MILLRACE_EXCHANGE(DescribeConfigs);
MILLRACE_EXCHANGE(DescribeGroups);
MILLRACE_EXCHANGE(DescribeLogDirs);
MILLRACE_EXCHANGE(DescribeProducers);
MILLRACE_EXCHANGE(DescribeQuorum);
MILLRACE_EXCHANGE(DescribeShareGroupOffsets);
MILLRACE_EXCHANGE(DescribeTopicPartitions);
MILLRACE_EXCHANGE(DescribeTransactions);
MILLRACE_EXCHANGE(DescribeUserScramCredentials);
MILLRACE_EXCHANGE(ElectLeaders);
MILLRACE_EXCHANGE(EndTxn);
MILLRACE_EXCHANGE(Fetch);
MILLRACE_EXCHANGE(FindCoordinator);
MILLRACE_EXCHANGE(Heartbeat);
MILLRACE_EXCHANGE(IncrementalAlterConfigs);
MILLRACE_EXCHANGE(InitProducerId);
MILLRACE_EXCHANGE(JoinGroup);
MILLRACE_EXCHANGE(LeaveGroup);
MILLRACE_EXCHANGE(ListConfigResources);
MILLRACE_EXCHANGE(ListGroups);
MILLRACE_EXCHANGE(ListOffsets);
MILLRACE_EXCHANGE(ListPartitionReassignments);
MILLRACE_EXCHANGE(ListTransactions);
MILLRACE_EXCHANGE(Metadata);
MILLRACE_EXCHANGE(OffsetCommit);
MILLRACE_EXCHANGE(OffsetDelete);
MILLRACE_EXCHANGE(OffsetFetch);
MILLRACE_EXCHANGE(Produce);
MILLRACE_EXCHANGE(RemoveRaftVoter);
MILLRACE_EXCHANGE(ShareAcknowledge);
MILLRACE_EXCHANGE(ShareFetch);
MILLRACE_EXCHANGE(ShareGroupDescribe);
MILLRACE_EXCHANGE(ShareGroupHeartbeat);
MILLRACE_EXCHANGE(StreamsGroupDescribe);
MILLRACE_EXCHANGE(SyncGroup);
MILLRACE_EXCHANGE(TxnOffsetCommit);
MILLRACE_EXCHANGE(UnregisterBroker);
MILLRACE_EXCHANGE(UpdateFeatures);
MILLRACE_EXCHANGE(WriteTxnMarkers);
#undef MILLRACE_EXCHANGE

template <class Request>
using ResponseOf = Exchange<Request>::Response;

template <class Request>
void to_version(Request&, int16_t) {}
void to_version(wire::FindCoordinatorRequest& request, int16_t version);  // coordinator_keys
void to_version(wire::LeaveGroupRequest& request, int16_t version);       // members
void to_version(wire::DeleteTopicsRequest& request, int16_t version);     // topics
void to_version(wire::OffsetFetchRequest& request, int16_t version);      // groups
void to_version(wire::DescribeClusterRequest& request, int16_t version);  // fenced brokers

template <class Response>
void from_version(Response&, int16_t) {}
void from_version(wire::FindCoordinatorResponse& response, int16_t version);  // coordinators
void from_version(wire::OffsetFetchResponse& response, int16_t version);      // groups

}  // namespace millrace::client::core
