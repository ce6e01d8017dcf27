// The answer that says one error of a whole request, for each item that it names where the response
// has no other place: what Kafka's getErrorResponse makes of an exception. For what a controller
// decides; the other handlers make their own.
// Threads: none; values.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "wire/add_raft_voter.h"
#include "wire/allocate_producer_ids.h"
#include "wire/alter_client_quotas.h"
#include "wire/alter_configs.h"
#include "wire/alter_partition.h"
#include "wire/alter_partition_reassignments.h"
#include "wire/assign_replicas_to_dirs.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/controller_registration.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/describe_quorum.h"
#include "wire/elect_leaders.h"
#include "wire/errors.h"
#include "wire/incremental_alter_configs.h"
#include "wire/list_partition_reassignments.h"
#include "wire/remove_raft_voter.h"
#include "wire/unregister_broker.h"
#include "wire/update_features.h"

namespace millrace::server {

struct Refusal {
  wire::ErrorCode code = wire::ErrorCode::kNone;
  std::optional<std::string> message{};
};

// Why a command of the controller was not carried out.
Refusal refusal_of(const Error& error);

wire::AddRaftVoterResponse refused(const wire::AddRaftVoterRequest& request,
                                   const Refusal& refusal);
wire::AllocateProducerIdsResponse refused(const wire::AllocateProducerIdsRequest& request,
                                          const Refusal& refusal);
wire::AlterClientQuotasResponse refused(const wire::AlterClientQuotasRequest& request,
                                        const Refusal& refusal);
wire::AlterConfigsResponse refused(const wire::AlterConfigsRequest& request,
                                   const Refusal& refusal);
wire::AlterPartitionResponse refused(const wire::AlterPartitionRequest& request,
                                     const Refusal& refusal);
wire::AlterPartitionReassignmentsResponse refused(
    const wire::AlterPartitionReassignmentsRequest& request, const Refusal& refusal);
wire::AssignReplicasToDirsResponse refused(const wire::AssignReplicasToDirsRequest& request,
                                           const Refusal& refusal);
wire::BrokerHeartbeatResponse refused(const wire::BrokerHeartbeatRequest& request,
                                      const Refusal& refusal);
wire::BrokerRegistrationResponse refused(const wire::BrokerRegistrationRequest& request,
                                         const Refusal& refusal);
wire::ControllerRegistrationResponse refused(const wire::ControllerRegistrationRequest& request,
                                             const Refusal& refusal);
wire::CreatePartitionsResponse refused(const wire::CreatePartitionsRequest& request,
                                       const Refusal& refusal);
wire::CreateTopicsResponse refused(const wire::CreateTopicsRequest& request,
                                   const Refusal& refusal);
wire::DeleteTopicsResponse refused(const wire::DeleteTopicsRequest& request,
                                   const Refusal& refusal);
wire::DescribeQuorumResponse refused(const wire::DescribeQuorumRequest& request,
                                     const Refusal& refusal);
wire::ElectLeadersResponse refused(const wire::ElectLeadersRequest& request,
                                   const Refusal& refusal);
wire::IncrementalAlterConfigsResponse refused(const wire::IncrementalAlterConfigsRequest& request,
                                              const Refusal& refusal);
wire::ListPartitionReassignmentsResponse refused(
    const wire::ListPartitionReassignmentsRequest& request, const Refusal& refusal);
wire::RemoveRaftVoterResponse refused(const wire::RemoveRaftVoterRequest& request,
                                      const Refusal& refusal);
wire::UnregisterBrokerResponse refused(const wire::UnregisterBrokerRequest& request,
                                       const Refusal& refusal);
wire::UpdateFeaturesResponse refused(const wire::UpdateFeaturesRequest& request,
                                     const Refusal& refusal);

}  // namespace millrace::server
