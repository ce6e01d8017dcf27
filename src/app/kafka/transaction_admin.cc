#include "app/kafka/transaction_admin.h"

#include <fmt/format.h>

#include <utility>

#include "app/kafka/java_order.h"
#include "wire/find_coordinator.h"
#include "wire/init_producer_id.h"
#include "wire/write_txn_markers.h"

namespace millrace::app::kafka {
namespace {

using client::core::Destination;
using client::core::MetadataCache;
using wire::ErrorCode;

constexpr int8_t kTransaction = 1;           // of FindCoordinator's kinds
constexpr int32_t kFenceTimeoutMs = 30'000;  // of the coordinator's record
constexpr std::string_view kProducers = "describeProducers";

ErrorCode code(int16_t number) { return static_cast<ErrorCode>(number); }

bool is_about_coordinator(ErrorCode error) {
  return error == ErrorCode::kCoordinatorNotAvailable || error == ErrorCode::kNotCoordinator ||
         error == ErrorCode::kCoordinatorLoadInProgress;
}

bool is_passing(ErrorCode error) {
  return error == ErrorCode::kNotLeaderOrFollower || error == ErrorCode::kUnknownTopicOrPartition ||
         error == ErrorCode::kReplicaNotAvailable || error == ErrorCode::kBrokerNotAvailable;
}

// What Kafka's client calls the question that comes before a call.
std::string lookup_of(std::string_view call, std::string_view api) {
  return fmt::format("{}(api={})", call, api);
}

Ending producers_failure(const TopicPartition& partition, ErrorCode error,
                         std::optional<NodeId> broker) {
  const std::string which = partition.to_string();
  const int16_t number = wire::code_of(error);
  switch (error) {
    case ErrorCode::kNotLeaderOrFollower:
      return exception_of(
          number, fmt::format("Failed to describe active producers for partition {} on brokerId {}",
                              which, broker.value_or(kNoNode).value()));
    case ErrorCode::kInvalidTopicException:
      return exception_of(
          number, fmt::format("Failed to fetch metadata for partition {} due to invalid topic `{}`",
                              which, partition.topic));
    case ErrorCode::kTopicAuthorizationFailed:
      return exception_of(number,
                          fmt::format("Failed to describe active producers for partition {} due to "
                                      "authorization failure on topic `{}`",
                                      which, partition.topic));
    default:
      return exception_of(number, fmt::format("Failed to describe active producers for partition "
                                              "{} due to unexpected error",
                                              which));
  }
}

// Who can be asked now: partitions without a leader are left out.
Attempt<std::map<NodeId, std::set<TopicPartition>>> by_leader(
    Admin& admin, const std::set<TopicPartition>& partitions, std::string_view call) {
  std::set<std::string> names;
  for (const auto& each : partitions) names.insert(each.topic);
  ASSIGN_OR_RETURN(const auto known, admin.metadata({.names = {names.begin(), names.end()}},
                                                    lookup_of(call, "METADATA")));
  std::map<NodeId, std::set<TopicPartition>> nodes;
  for (const auto& each : partitions) {
    const auto topic = known.topics().find(each.topic);
    if (topic != known.topics().end() && topic->second.error == ErrorCode::kInvalidTopicException)
      return std::unexpected(producers_failure(each, topic->second.error, std::nullopt));
    if (const auto leader = known.leader(each)) nodes[*leader].insert(each);
  }
  return nodes;
}

wire::DescribeProducersRequest request_of(const std::set<TopicPartition>& partitions) {
  wire::DescribeProducersRequest request;
  for (const auto& each : partitions) {
    if (request.topics.empty() || request.topics.back().name != each.topic)
      request.topics.push_back({.name = each.topic});
    request.topics.back().partition_indexes.push_back(each.partition.value());
  }
  return request;
}

Ending marker_failure(const TransactionAdmin::Abort& abort, ErrorCode error) {
  const int16_t number = wire::code_of(error);
  const std::string begin =
      fmt::format("WriteTxnMarkers request with {} failed ", abort.to_string());
  switch (error) {
    case ErrorCode::kClusterAuthorizationFailed:
      return exception_of(number, begin + "due to cluster authorization error");
    case ErrorCode::kInvalidProducerEpoch:
      return exception_of(number, begin + "due an invalid producer epoch");
    case ErrorCode::kTransactionCoordinatorFenced:
      return exception_of(number, begin + fmt::format("since the provided coordinator epoch {} has "
                                                      "been fenced by the active coordinator",
                                                      abort.coordinator_epoch));
    default:
      return exception_of(number,
                          begin + "due to unexpected error: " + exception_of(number).message);
  }
}

// What a handler of Kafka's client says when a coordinator refuses.
Ending refusal(std::string_view request, const std::string& id, ErrorCode error) {
  std::string_view why = "failed due to unexpected error";
  if (error == ErrorCode::kTransactionalIdAuthorizationFailed)
    why = request == "InitProducerId" ? "failed due to transactional ID authorization failure"
                                      : "failed due to authorization failure";
  else if (error == ErrorCode::kClusterAuthorizationFailed && request == "InitProducerId")
    why = "failed due to cluster authorization failure";
  else if (error == ErrorCode::kTransactionalIdNotFound && request == "DescribeTransactions")
    why = "failed because the ID could not be found";
  return exception_of(wire::code_of(error),
                      fmt::format("{} request for transactionalId `{}` {}", request, id, why));
}

std::vector<TopicPartition> partitions_of(
    const wire::DescribeTransactionsResponse::TransactionState& state) {
  std::vector<TopicPartition> partitions;
  for (const auto& topic : state.topics)
    for (const int32_t each : topic.partitions)
      partitions.push_back({topic.topic, PartitionIndex(each)});
  sort_as_hash_map(partitions, [](const auto& each) { return each; });
  return partitions;
}

}  // namespace

std::string TransactionAdmin::Abort::to_string() const {
  return fmt::format(
      "AbortTransactionSpec(topicPartition={}, producerId={}, producerEpoch={}, "
      "coordinatorEpoch={})",
      partition.to_string(), producer_id, producer_epoch, coordinator_epoch);
}

Attempt<TransactionAdmin::Producers> TransactionAdmin::producers(
    std::set<TopicPartition> partitions, std::optional<NodeId> broker) {
  Producers found;
  return admin_.until_there<Producers>(kProducers, [&]() -> Attempt<std::optional<Producers>> {
    std::map<NodeId, std::set<TopicPartition>> nodes;
    if (broker) {
      ASSIGN_OR_RETURN(const auto brokers, admin_.brokers(kProducers));
      if (brokers.contains(*broker)) nodes[*broker] = partitions;
    } else {
      ASSIGN_OR_RETURN(nodes, by_leader(admin_, partitions, kProducers));
    }
    for (const auto& [node, some] : nodes)
      RETURN_IF_ERROR(ask_producers(node, some, broker, found));
    std::erase_if(partitions, [&](const auto& each) { return found.contains(each); });
    if (!partitions.empty()) return std::nullopt;
    return std::move(found);
  });
}

Attempt<> TransactionAdmin::ask_producers(NodeId node, const std::set<TopicPartition>& partitions,
                                          std::optional<NodeId> broker, Producers& into) {
  ASSIGN_OR_RETURN(auto response,
                   admin_.call(kProducers, Destination::to(node), request_of(partitions)));
  for (auto& topic : response.topics)
    for (auto& each : topic.partitions) {
      const TopicPartition partition{topic.name, PartitionIndex(each.partition_index)};
      const ErrorCode error = code(each.error_code);
      const bool is_final = error == ErrorCode::kNotLeaderOrFollower && broker;
      if (error == ErrorCode::kNone)
        into[partition] = std::move(each.active_producers);
      else if (is_final || !is_passing(error))
        return std::unexpected(producers_failure(partition, error, broker));
    }
  return {};
}

Attempt<std::map<NodeId, std::vector<TransactionAdmin::Listing>>> TransactionAdmin::list(
    const wire::ListTransactionsRequest& filter) {
  constexpr std::string_view kCall = "listTransactions";
  std::map<NodeId, std::vector<Listing>> listings;
  ASSIGN_OR_RETURN(const auto brokers, admin_.brokers(lookup_of(kCall, "METADATA")));
  for (const auto& [node, address] : brokers) {
    auto ask = [&]() -> Attempt<std::optional<std::vector<Listing>>> {
      ASSIGN_OR_RETURN(auto response, admin_.call(kCall, Destination::to(node), filter));
      const ErrorCode error = code(response.error_code);
      if (error == ErrorCode::kNone) return std::move(response.transaction_states);
      if (error == ErrorCode::kCoordinatorLoadInProgress) return std::nullopt;
      const std::string_view why = error == ErrorCode::kCoordinatorNotAvailable
                                       ? "failed because the coordinator is shutting down"
                                       : "failed with an unexpected exception";
      return std::unexpected(exception_of(
          response.error_code,
          fmt::format("ListTransactions request sent to broker {} {}", node.value(), why)));
    };
    ASSIGN_OR_RETURN(listings[node], admin_.until_there<std::vector<Listing>>(kCall, ask));
  }
  return listings;
}

Attempt<NodeId> TransactionAdmin::coordinator(const std::string& id, std::string_view call) {
  return admin_.until_there<NodeId>(call, [&]() -> Attempt<std::optional<NodeId>> {
    const std::string lookup = lookup_of(call, "FIND_COORDINATOR");
    ASSIGN_OR_RETURN(const auto brokers, admin_.brokers(lookup));
    ASSIGN_OR_RETURN(const auto response,
                     admin_.call(lookup, wire::FindCoordinatorRequest{.key_type = kTransaction,
                                                                      .coordinator_keys = {id}}));
    if (response.coordinators.empty()) return std::nullopt;
    const auto& found = response.coordinators.front();
    if (found.error_code == 0 && brokers.contains(NodeId(found.node_id)))
      return NodeId(found.node_id);
    if (found.error_code == 0 || is_about_coordinator(code(found.error_code))) return std::nullopt;
    return std::unexpected(refusal("FindCoordinator", id, code(found.error_code)));
  });
}

Attempt<TransactionAdmin::Description> TransactionAdmin::describe(const std::string& id) {
  constexpr std::string_view kCall = "describeTransactions";
  return admin_.until_there<Description>(kCall, [&]() -> Attempt<std::optional<Description>> {
    ASSIGN_OR_RETURN(const NodeId node, coordinator(id, kCall));
    ASSIGN_OR_RETURN(auto response,
                     admin_.call(kCall, Destination::to(node),
                                 wire::DescribeTransactionsRequest{.transactional_ids = {id}}));
    if (response.transaction_states.empty()) return std::nullopt;
    auto& state = response.transaction_states.front();
    const ErrorCode error = code(state.error_code);
    if (is_about_coordinator(error)) return std::nullopt;
    if (error != ErrorCode::kNone)
      return std::unexpected(refusal("DescribeTransactions", id, error));
    auto partitions = partitions_of(state);
    return Description{node, std::move(state), std::move(partitions)};
  });
}

Attempt<> TransactionAdmin::abort(const Abort& abort) {
  constexpr std::string_view kCall = "abortTransaction";
  auto once = [&]() -> Attempt<std::optional<bool>> {
    ASSIGN_OR_RETURN(const auto nodes, by_leader(admin_, {abort.partition}, kCall));
    if (nodes.empty()) return std::nullopt;
    wire::WriteTxnMarkersRequest request;
    request.markers.push_back(
        {.producer_id = abort.producer_id,
         .producer_epoch = abort.producer_epoch,
         .topics = {{.name = abort.partition.topic,
                     .partition_indexes = {abort.partition.partition.value()}}},
         .coordinator_epoch = abort.coordinator_epoch});
    ASSIGN_OR_RETURN(const auto response,
                     admin_.call(kCall, Destination::to(nodes.begin()->first), std::move(request)));
    for (const auto& marker : response.markers)
      for (const auto& topic : marker.topics)
        for (const auto& each : topic.partitions) {
          const ErrorCode error = code(each.error_code);
          if (error == ErrorCode::kNone) return true;
          if (!is_passing(error)) return std::unexpected(marker_failure(abort, error));
        }
    return std::nullopt;
  };
  RETURN_IF_ERROR(admin_.until_there<bool>(kCall, once));
  return {};
}

Attempt<> TransactionAdmin::fence(const std::string& id) {
  constexpr std::string_view kCall = "fenceProducer";
  auto once = [&]() -> Attempt<std::optional<bool>> {
    ASSIGN_OR_RETURN(const NodeId node, coordinator(id, kCall));
    ASSIGN_OR_RETURN(
        const auto response,
        admin_.call(kCall, Destination::to(node),
                    wire::InitProducerIdRequest{.transactional_id = id,
                                                .transaction_timeout_ms = kFenceTimeoutMs}));
    const ErrorCode error = code(response.error_code);
    if (error == ErrorCode::kNone) return true;
    if (error == ErrorCode::kConcurrentTransactions || is_about_coordinator(error))
      return std::nullopt;
    return std::unexpected(refusal("InitProducerId", id, error));
  };
  RETURN_IF_ERROR(admin_.until_there<bool>(kCall, once));
  return {};
}

}  // namespace millrace::app::kafka
