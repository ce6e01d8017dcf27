#include "controller/replication_decisions.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "controller/node_sets.h"
#include "controller/partition_changes.h"
#include "metadata/features.h"
#include "metadata/node_ids.h"

namespace millrace::controller {
namespace {

using metadata::PartitionState;
using metadata::Topic;
using wire::ErrorCode;
using WantedIsr = wire::AlterPartitionRequest::PartitionData;

// The ISR that a leader wants: version 2 has it without epochs.
std::vector<wire::AlterPartitionRequest::BrokerState> members_of(const WantedIsr& wanted) {
  if (!wanted.new_isr_with_epochs.empty()) return wanted.new_isr_with_epochs;
  std::vector<wire::AlterPartitionRequest::BrokerState> members;
  for (int32_t id : wanted.new_isr) members.push_back({.broker_id = id});
  return members;
}

std::vector<NodeId> isr_of(const WantedIsr& wanted) {
  std::vector<NodeId> isr;
  for (const auto& member : members_of(wanted)) isr.push_back(NodeId(member.broker_id));
  return isr;
}

// A later epoch than ours: another controller gave it, and this one does not know yet.
ErrorCode epoch_problem(NodeId sender, const WantedIsr& wanted, const PartitionState& now) {
  if (wanted.leader_epoch > now.leader_epoch.value() ||
      wanted.partition_epoch > now.partition_epoch.value())
    return ErrorCode::kNotController;
  if (wanted.leader_epoch < now.leader_epoch.value()) return ErrorCode::kFencedLeaderEpoch;
  if (sender != now.leader) return ErrorCode::kInvalidRequest;
  if (wanted.partition_epoch < now.partition_epoch.value()) return ErrorCode::kInvalidUpdateVersion;
  return ErrorCode::kNone;
}

bool is_isr_of(const std::vector<NodeId>& isr, const PartitionState& now) {
  return contains_all(now.replicas, isr) && contains(isr, now.leader) &&
         std::set<NodeId>(isr.begin(), isr.end()).size() == isr.size();
}

bool is_recovery_possible(const WantedIsr& wanted, size_t isr_size, const PartitionState& now) {
  if (wanted.leader_recovery_state == kRecovered) return true;
  return wanted.leader_recovery_state == kRecovering && isr_size == 1 &&
         now.recovery_state == kRecovering;
}

bool is_eligible(const ClusterView& view, const wire::AlterPartitionRequest::BrokerState& member) {
  const metadata::Broker* broker = view.image().find_broker(NodeId(member.broker_id));
  return broker && !broker->fenced && !broker->in_controlled_shutdown &&
         (member.broker_epoch == -1 || broker->epoch.value() == member.broker_epoch);
}

ErrorCode isr_problem(const ClusterView& view, NodeId sender, const WantedIsr& wanted,
                      const PartitionState* now) {
  if (now == nullptr) return ErrorCode::kUnknownTopicOrPartition;
  if (auto code = epoch_problem(sender, wanted, *now); code != ErrorCode::kNone) return code;
  const auto isr = isr_of(wanted);
  if (!is_isr_of(isr, *now) || !is_recovery_possible(wanted, isr.size(), *now))
    return ErrorCode::kInvalidRequest;
  for (const auto& member : members_of(wanted))
    if (!is_eligible(view, member)) return ErrorCode::kIneligibleReplica;
  return ErrorCode::kNone;
}

void describe(const PartitionState& state, wire::AlterPartitionResponse::PartitionData& result) {
  result.leader_id = state.leader.value();
  result.leader_epoch = state.leader_epoch.value();
  result.isr = metadata::numbers_of(state.isr);
  result.leader_recovery_state = state.recovery_state;
  result.partition_epoch = state.partition_epoch.value();
}

wire::AlterPartitionResponse::PartitionData alter_isr(const ClusterView& view, NodeId sender,
                                                      const Topic& topic, const WantedIsr& wanted,
                                                      PartitionChanges& changes) {
  wire::AlterPartitionResponse::PartitionData result{.partition_index = wanted.partition_index};
  const PartitionState* now = changes.find(topic, wanted.partition_index);
  const ErrorCode problem = isr_problem(view, sender, wanted, now);
  if (problem != ErrorCode::kNone) {
    LOG_INFO("broker {} may not change the ISR of {}-{}: {}", sender, topic.name,
             wanted.partition_index, wire::code_of(problem));
    result.error_code = wire::code_of(problem);
    return result;
  }
  PartitionGoal goal = changes.goal(topic, wanted.partition_index);
  goal.isr = isr_of(wanted);
  goal.recovery_state = wanted.leader_recovery_state;
  changes.change(topic, wanted.partition_index, std::move(goal));
  now = changes.find(topic, wanted.partition_index);
  // It completed a reassignment that takes the leader away: the records stand, the sender has to
  // learn of the new leader first.
  if (now->leader != sender)
    result.error_code = wire::code_of(ErrorCode::kNewLeaderElected);
  else
    describe(*now, result);
  return result;
}

}  // namespace

Decided<wire::AlterPartitionResponse> alter_partition(const ClusterView& view,
                                                      const wire::AlterPartitionRequest& request) {
  Decided<wire::AlterPartitionResponse> decided;
  const NodeId sender(request.broker_id);
  if (!view.find_broker(sender, BrokerEpoch(request.broker_epoch))) {
    decided.response.error_code = wire::code_of(ErrorCode::kStaleBrokerEpoch);
    return decided;
  }
  PartitionChanges changes(view);
  for (const auto& each : request.topics) {
    const Topic* topic = view.image().find_topic(each.topic_id);
    auto& results = decided.response.topics.emplace_back();
    results.topic_id = each.topic_id;
    for (const auto& wanted : each.partitions)
      results.partitions.push_back(
          topic ? alter_isr(view, sender, *topic, wanted, changes)
                : wire::AlterPartitionResponse::PartitionData{
                      .partition_index = wanted.partition_index,
                      .error_code = wire::code_of(ErrorCode::kUnknownTopicId)});
  }
  decided.records = std::move(changes.records());
  return decided;
}

namespace {

enum class ElectionType : int8_t { kPreferred = 0, kUnclean = 1 };

Refusal unknown(std::string message) {
  return {ErrorCode::kUnknownTopicOrPartition, std::move(message)};
}

// Nothing, or why nobody was elected.
std::optional<Refusal> elect(const Topic& topic, int32_t index, ElectionType type,
                             PartitionChanges& changes) {
  const PartitionState* now = changes.find(topic, index);
  if (now == nullptr) return unknown(fmt::format("No such partition as {}-{}", topic.name, index));
  const bool is_preferred = type == ElectionType::kPreferred;
  if (is_preferred ? now->leader == now->replicas.front() : now->leader != kNoNode)
    return Refusal{ErrorCode::kElectionNotNeeded,
                   "Leader election not needed for topic partition."};
  PartitionGoal goal = changes.goal(topic, index);
  goal.election = is_preferred ? Election::kPreferred : Election::kUnclean;
  if (changes.change(topic, index, std::move(goal))) return std::nullopt;
  if (is_preferred)
    return Refusal{ErrorCode::kPreferredLeaderNotAvailable,
                   "The preferred leader was not available."};
  return Refusal{ErrorCode::kEligibleLeadersNotAvailable,
                 "Eligible topic partition leaders are not available."};
}

using ElectionResults = wire::ElectLeadersResponse::ReplicaElectionResult;

void add_result(int32_t index, const std::optional<Refusal>& refusal, ElectionResults& results) {
  auto& result = results.partition_result.emplace_back();
  result.partition_id = index;
  result.error_message.reset();
  if (!refusal) return;
  result.error_code = wire::code_of(refusal->code);
  result.error_message = refusal->message;
}

// What is as it should be is not worth a word.
void elect_everywhere(const ClusterView& view, ElectionType type, PartitionChanges& changes,
                      wire::ElectLeadersResponse& response) {
  for (const auto& [name, topic] : view.image().topics()) {
    auto& results = response.replica_election_results.emplace_back();
    results.topic = name;
    for (size_t i = 0; i < topic->partitions.size(); ++i) {
      const auto index = static_cast<int32_t>(i);
      const auto refusal = elect(*topic, index, type, changes);
      if (!refusal || refusal->code != ErrorCode::kElectionNotNeeded)
        add_result(index, refusal, results);
    }
  }
}

void elect_named(const ClusterView& view, const wire::ElectLeadersRequest& request,
                 PartitionChanges& changes, wire::ElectLeadersResponse& response) {
  for (const auto& wanted : *request.topic_partitions) {
    const Topic* topic = view.image().find_topic(wanted.topic);
    auto& results = response.replica_election_results.emplace_back();
    results.topic = wanted.topic;
    for (int32_t index : wanted.partitions)
      add_result(
          index,
          topic ? elect(*topic, index, static_cast<ElectionType>(request.election_type), changes)
                : unknown("No such topic as " + wanted.topic),
          results);
  }
}

wire::ElectLeadersResponse refused(const wire::ElectLeadersRequest& request,
                                   const Refusal& refusal) {
  wire::ElectLeadersResponse response{.error_code = wire::code_of(refusal.code)};
  if (!request.topic_partitions) return response;
  for (const auto& wanted : *request.topic_partitions) {
    auto& results = response.replica_election_results.emplace_back();
    results.topic = wanted.topic;
    for (int32_t index : wanted.partitions) add_result(index, refusal, results);
  }
  return response;
}

}  // namespace

Decided<wire::ElectLeadersResponse> elect_leaders(const ClusterView& view,
                                                  const wire::ElectLeadersRequest& request) {
  const auto type = static_cast<ElectionType>(request.election_type);
  if (type != ElectionType::kPreferred && type != ElectionType::kUnclean)
    return {.records = {},
            .response =
                refused(request, {ErrorCode::kInvalidRequest,
                                  fmt::format("Unknown election type {}", request.election_type)})};
  Decided<wire::ElectLeadersResponse> decided;
  PartitionChanges changes(view);
  if (request.topic_partitions)
    elect_named(view, request, changes, decided.response);
  else
    elect_everywhere(view, type, changes, decided.response);
  if (changes.records().size() > kMaxRecords)
    return {.records = {},
            .response = refused(request, {ErrorCode::kPolicyViolation,
                                          "Unable to perform excessively large batch operation."})};
  decided.records = std::move(changes.records());
  return decided;
}

Records elect_preferred_leaders(const ClusterView& view) {
  PartitionChanges changes(view);
  for (const auto& key : view.index().without_preferred_leader()) {
    if (changes.records().size() >= kMaxElections) break;
    elect(*view.image().find_topic(key.topic_id), key.index, ElectionType::kPreferred, changes);
  }
  return std::move(changes.records());
}

Records elect_unclean_leaders(const ClusterView& view) {
  PartitionChanges changes(view);
  for (const auto& key : view.index().without_leader()) {
    if (changes.records().size() >= kMaxElections) break;
    const Topic& topic = *view.image().find_topic(key.topic_id);
    if (!view.allows_unclean_election(topic)) continue;
    if (!elect(topic, key.index, ElectionType::kUnclean, changes))
      LOG_WARN("{}-{} has a leader that may lack records: nobody else is left", topic.name,
               key.index);
  }
  return std::move(changes.records());
}

namespace {

using AssignedPartition = wire::AssignReplicasToDirsRequest::PartitionData;

struct Placement {
  NodeId broker;
  Uuid directory;
};

// The directory that it had is gone, so that the replica has begun anew in another. With eligible
// leader replicas one in the ISR has caught up since, as registering takes a broker out; without
// them the last one stays in, and there is nobody whom it can have caught up with.
bool began_anew(const ClusterView& view, const Placement& wanted, const Uuid& former,
                const PartitionState& now) {
  const NodeId broker = wanted.broker;
  if (view.has_online(broker, former) || !view.has_online(broker, wanted.directory)) return false;
  return !contains(now.isr, broker) || (!view.keeps_elr() && now.leader == kNoNode);
}

ErrorCode put_in(const ClusterView& view, const Placement& wanted, const Topic* topic,
                 int32_t index, PartitionChanges& changes) {
  if (topic == nullptr) return ErrorCode::kUnknownTopicId;
  const PartitionState* now = changes.find(*topic, index);
  if (now == nullptr) return ErrorCode::kUnknownTopicOrPartition;
  const NodeId broker = wanted.broker;
  if (!contains(now->replicas, broker)) return ErrorCode::kNotLeaderOrFollower;
  PartitionGoal goal = changes.goal(*topic, index);
  goal.election = Election::kOnline;
  if (began_anew(view, wanted, goal.directories.at(broker), *now)) {
    LOG_WARN("{}-{}: the replica of broker {} has lost its disk and begins anew", topic->name,
             index, broker);
    goal.isr = without(std::move(goal.isr), broker);
    goal.has_lost = {broker};
  }
  goal.directories[broker] = wanted.directory;
  changes.change(*topic, index, std::move(goal));
  return ErrorCode::kNone;
}

// The broker has the replica in a directory that failed.
void give_up(NodeId broker, const Topic& topic, int32_t index, PartitionChanges& changes) {
  PartitionGoal goal = changes.goal(topic, index);
  goal.isr = without(std::move(goal.isr), broker);
  changes.change(topic, index, std::move(goal));
}

}  // namespace

Decided<wire::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
    const ClusterView& view, const wire::AssignReplicasToDirsRequest& request) {
  Decided<wire::AssignReplicasToDirsResponse> decided;
  const NodeId broker(request.broker_id);
  if (view.image().metadata_version() < metadata::kDirectoryAssignmentLevel)
    decided.response.error_code = wire::code_of(ErrorCode::kUnsupportedVersion);
  else if (!view.find_broker(broker, BrokerEpoch(request.broker_epoch)))
    decided.response.error_code = wire::code_of(ErrorCode::kStaleBrokerEpoch);
  if (decided.response.error_code != 0) return decided;
  PartitionChanges changes(view);
  std::vector<std::pair<const Topic*, int32_t>> lost;
  for (const auto& directory : request.directories) {
    auto& in_directory = decided.response.directories.emplace_back();
    in_directory.id = directory.id;
    const bool is_online = view.has_online(broker, directory.id);
    for (const auto& each : directory.topics) {
      const Topic* topic = view.image().find_topic(each.topic_id);
      auto& results = in_directory.topics.emplace_back();
      results.topic_id = each.topic_id;
      for (const AssignedPartition& partition : each.partitions) {
        const ErrorCode code =
            put_in(view, {broker, directory.id}, topic, partition.partition_index, changes);
        results.partitions.push_back(
            {.partition_index = partition.partition_index, .error_code = wire::code_of(code)});
        if (code == ErrorCode::kNone && !is_online)
          lost.emplace_back(topic, partition.partition_index);
      }
    }
  }
  if (!lost.empty()) changes.assume(broker, false);
  for (const auto& [topic, index] : lost) give_up(broker, *topic, index, changes);
  decided.records = std::move(changes.records());
  return decided;
}

}  // namespace millrace::controller
