#include "server/refusal.h"

namespace millrace::server {
namespace {

// Said once, with the message where the response has a place for it.
template <class Response>
Response whole(const Refusal& refusal) {
  Response response;
  response.error_code = wire::code_of(refusal.code);
  if constexpr (requires { response.error_message; }) response.error_message = refusal.message;
  return response;
}

// An error in each element of a list of results.
template <class Result>
void set_error(Result& result, const Refusal& refusal) {
  result.error_code = wire::code_of(refusal.code);
  result.error_message = refusal.message;
}

template <class Response, class Request>
Response of_resources(const Request& request, const Refusal& refusal) {
  Response response;
  for (const auto& resource : request.resources) {
    auto& result = response.responses.emplace_back();
    set_error(result, refusal);
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
  }
  return response;
}

}  // namespace

Refusal refusal_of(const Error& error) {
  switch (error.code) {
    case Errc::kNotController: return {wire::ErrorCode::kNotController, error.message};
    case Errc::kTimedOut: return {wire::ErrorCode::kRequestTimedOut, error.message};
    default: return {wire::ErrorCode::kUnknownServerError};  // what happened is not for clients
  }
}

wire::AddRaftVoterResponse refused(const wire::AddRaftVoterRequest&, const Refusal& refusal) {
  return whole<wire::AddRaftVoterResponse>(refusal);
}

wire::AllocateProducerIdsResponse refused(const wire::AllocateProducerIdsRequest&,
                                          const Refusal& refusal) {
  return whole<wire::AllocateProducerIdsResponse>(refusal);
}

wire::AlterClientQuotasResponse refused(const wire::AlterClientQuotasRequest& request,
                                        const Refusal& refusal) {
  wire::AlterClientQuotasResponse response;
  for (const auto& entry : request.entries) {
    auto& result = response.entries.emplace_back();
    set_error(result, refusal);
    for (const auto& part : entry.entity)
      result.entity.push_back({.entity_type = part.entity_type, .entity_name = part.entity_name});
  }
  return response;
}

wire::AlterConfigsResponse refused(const wire::AlterConfigsRequest& request,
                                   const Refusal& refusal) {
  return of_resources<wire::AlterConfigsResponse>(request, refusal);
}

wire::AlterPartitionResponse refused(const wire::AlterPartitionRequest&, const Refusal& refusal) {
  return whole<wire::AlterPartitionResponse>(refusal);
}

wire::AlterPartitionReassignmentsResponse refused(
    const wire::AlterPartitionReassignmentsRequest& request, const Refusal& refusal) {
  auto response = whole<wire::AlterPartitionReassignmentsResponse>(refusal);
  for (const auto& topic : request.topics) {
    auto& result = response.responses.emplace_back();
    result.name = topic.name;
    for (const auto& partition : topic.partitions) {
      auto& each = result.partitions.emplace_back();
      each.partition_index = partition.partition_index;
      set_error(each, refusal);
    }
  }
  return response;
}

wire::AssignReplicasToDirsResponse refused(const wire::AssignReplicasToDirsRequest&,
                                           const Refusal& refusal) {
  return whole<wire::AssignReplicasToDirsResponse>(refusal);
}

wire::BrokerHeartbeatResponse refused(const wire::BrokerHeartbeatRequest&, const Refusal& refusal) {
  return whole<wire::BrokerHeartbeatResponse>(refusal);
}

wire::BrokerRegistrationResponse refused(const wire::BrokerRegistrationRequest&,
                                         const Refusal& refusal) {
  return whole<wire::BrokerRegistrationResponse>(refusal);
}

wire::ControllerRegistrationResponse refused(const wire::ControllerRegistrationRequest&,
                                             const Refusal& refusal) {
  return whole<wire::ControllerRegistrationResponse>(refusal);
}

wire::CreatePartitionsResponse refused(const wire::CreatePartitionsRequest& request,
                                       const Refusal& refusal) {
  wire::CreatePartitionsResponse response;
  for (const auto& topic : request.topics) {
    auto& result = response.results.emplace_back();
    result.name = topic.name;
    set_error(result, refusal);
  }
  return response;
}

wire::CreateTopicsResponse refused(const wire::CreateTopicsRequest& request,
                                   const Refusal& refusal) {
  wire::CreateTopicsResponse response;
  for (const auto& topic : request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    set_error(result, refusal);
    result.num_partitions = -1;
    result.replication_factor = -1;
    result.configs.emplace();
  }
  return response;
}

wire::DeleteTopicsResponse refused(const wire::DeleteTopicsRequest& request,
                                   const Refusal& refusal) {
  wire::DeleteTopicsResponse response;
  auto add = [&](std::optional<std::string> name, const Uuid& id) {
    auto& result = response.responses.emplace_back();
    result.name = std::move(name);
    result.topic_id = id;
    result.error_code = wire::code_of(refusal.code);
    result.error_message.reset();
  };
  for (const auto& name : request.topic_names) add(name, Uuid::zero());
  for (const auto& topic : request.topics) add(topic.name, topic.topic_id);
  return response;
}

wire::DescribeQuorumResponse refused(const wire::DescribeQuorumRequest&, const Refusal& refusal) {
  return whole<wire::DescribeQuorumResponse>(refusal);
}

wire::ElectLeadersResponse refused(const wire::ElectLeadersRequest& request,
                                   const Refusal& refusal) {
  auto response = whole<wire::ElectLeadersResponse>(refusal);
  if (!request.topic_partitions) return response;
  for (const auto& topic : *request.topic_partitions) {
    auto& result = response.replica_election_results.emplace_back();
    result.topic = topic.topic;
    for (const int32_t partition : topic.partitions) {
      auto& each = result.partition_result.emplace_back();
      each.partition_id = partition;
      set_error(each, refusal);
    }
  }
  return response;
}

wire::IncrementalAlterConfigsResponse refused(const wire::IncrementalAlterConfigsRequest& request,
                                              const Refusal& refusal) {
  return of_resources<wire::IncrementalAlterConfigsResponse>(request, refusal);
}

wire::ListPartitionReassignmentsResponse refused(
    const wire::ListPartitionReassignmentsRequest& request, const Refusal& refusal) {
  auto response = whole<wire::ListPartitionReassignmentsResponse>(refusal);
  if (!request.topics) return response;
  for (const auto& topic : *request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    for (const int32_t partition : topic.partition_indexes)
      result.partitions.push_back({.partition_index = partition});
  }
  return response;
}

wire::RemoveRaftVoterResponse refused(const wire::RemoveRaftVoterRequest&, const Refusal& refusal) {
  return whole<wire::RemoveRaftVoterResponse>(refusal);
}

wire::UnregisterBrokerResponse refused(const wire::UnregisterBrokerRequest&,
                                       const Refusal& refusal) {
  return whole<wire::UnregisterBrokerResponse>(refusal);
}

wire::UpdateFeaturesResponse refused(const wire::UpdateFeaturesRequest&, const Refusal& refusal) {
  return whole<wire::UpdateFeaturesResponse>(refusal);
}

}  // namespace millrace::server
