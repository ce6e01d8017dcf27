#include "controller/reassignment.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "controller/assignment.h"
#include "controller/node_sets.h"
#include "controller/partition_changes.h"
#include "metadata/node_ids.h"

namespace millrace::controller {
namespace {

using metadata::numbers_of;
using metadata::PartitionState;
using metadata::Topic;
using wire::ErrorCode;
using Request = wire::AlterPartitionReassignmentsRequest;
using Replicas = std::vector<NodeId>;

Replicas sorted(Replicas ids) {
  std::ranges::sort(ids);
  return ids;
}

// As many as the partition has when what is under way is done.
size_t replication_factor(const PartitionState& now) {
  Replicas replicas = now.replicas;
  for (NodeId id : now.adding_replicas)
    if (!contains(replicas, id)) replicas.push_back(id);
  return without_all(std::move(replicas), now.removing_replicas).size();
}

std::optional<Refusal> target_problem(const ClusterView& view, const PartitionState& now,
                                      const std::vector<int32_t>& target, bool may_resize) {
  if (auto problem = assignment_problem(view.image(), target))
    return Refusal{ErrorCode::kInvalidReplicaAssignment, std::move(*problem)};
  if (!may_resize && target.size() != replication_factor(now))
    return Refusal{ErrorCode::kInvalidReplicationFactor,
                   fmt::format("The replication factor is changed from {} to {}",
                               replication_factor(now), target.size())};
  return std::nullopt;
}

// From the replicas that there are, those of a reassignment that this one replaces included.
void aim_at(const Replicas& target, const PartitionState& now, PartitionGoal& goal) {
  const Replicas before = without_all(now.replicas, now.adding_replicas);
  goal.removing_replicas = sorted(without_all(now.replicas, target));
  goal.adding_replicas = sorted(without_all(target, before));
  goal.replicas = target;
  std::ranges::copy(goal.removing_replicas, std::back_inserter(goal.replicas));
  goal.election = Election::kOnline;
}

class Reassignments {
 public:
  Reassignments(const ClusterView& view, bool may_resize)
      : view_(&view), changes_(view), may_resize_(may_resize) {}

  // Nothing, or why not.
  std::optional<Refusal> decide(const std::string& name,
                                const Request::ReassignablePartition& each) {
    const Topic* topic = view_->image().find_topic(name);
    if (topic == nullptr)
      return Refusal{ErrorCode::kUnknownTopicOrPartition,
                     fmt::format("Unable to find a topic named {}.", name)};
    if (changes_.find(*topic, each.partition_index) == nullptr)
      return Refusal{ErrorCode::kUnknownTopicOrPartition,
                     fmt::format("Unable to find partition {}:{}.", name, each.partition_index)};
    return each.replicas ? start(*topic, each.partition_index, *each.replicas)
                         : cancel(*topic, each.partition_index);
  }
  Records& records() { return changes_.records(); }

 private:
  std::optional<Refusal> start(const Topic& topic, int32_t index,
                               const std::vector<int32_t>& target) {
    const PartitionState& now = *changes_.find(topic, index);
    if (auto refusal = target_problem(*view_, now, target, may_resize_)) return refusal;
    PartitionGoal goal = changes_.goal(topic, index);
    aim_at(metadata::node_ids_of(target), now, goal);
    changes_.change(topic, index, std::move(goal));
    return std::nullopt;
  }

  std::optional<Refusal> cancel(const Topic& topic, int32_t index) {
    const PartitionState& now = *changes_.find(topic, index);
    if (!is_reassigning(now)) return Refusal{ErrorCode::kNoReassignmentInProgress};
    PartitionGoal goal = changes_.goal(topic, index);
    goal.replicas = without_all(now.replicas, now.adding_replicas);
    goal.isr = without_all(now.isr, now.adding_replicas);
    goal.adding_replicas.clear();
    goal.removing_replicas.clear();
    if (goal.replicas.empty())
      return Refusal{ErrorCode::kInvalidReplicaAssignment,
                     "Invalid replica assignment: addingReplicas contains all replicas."};
    if (goal.isr.empty()) {
      if (goal.election != Election::kUnclean)
        return Refusal{ErrorCode::kInvalidReplicaAssignment,
                       fmt::format("Unable to revert partition assignment for {}:{} because it "
                                   "would require an unclean leader election.",
                                   topic.name, index)};
      goal.isr = {survivor_of(goal.replicas)};
      goal.recovery_state = kRecovering;
    }
    changes_.change(topic, index, std::move(goal));
    return std::nullopt;
  }

  NodeId survivor_of(const Replicas& replicas) const {
    for (NodeId id : replicas)
      if (view_->is_active(id)) return id;
    return replicas.front();
  }

  const ClusterView* view_;
  PartitionChanges changes_;
  bool may_resize_;
};

using Listed = wire::ListPartitionReassignmentsResponse;

void list(const Topic& topic, int32_t index, Listed::OngoingTopicReassignment& result) {
  if (index < 0 || std::cmp_greater_equal(index, topic.partitions.size())) return;
  const PartitionState& state = topic.partitions[static_cast<size_t>(index)];
  if (!is_reassigning(state)) return;
  result.partitions.push_back({.partition_index = index,
                               .replicas = numbers_of(state.replicas),
                               .adding_replicas = numbers_of(state.adding_replicas),
                               .removing_replicas = numbers_of(state.removing_replicas)});
}

}  // namespace

Decided<wire::AlterPartitionReassignmentsResponse> alter_partition_reassignments(
    const ClusterView& view, const Request& request) {
  Decided<wire::AlterPartitionReassignmentsResponse> decided;
  decided.response.error_message.reset();
  decided.response.allow_replication_factor_change = request.allow_replication_factor_change;
  Reassignments reassignments(view, request.allow_replication_factor_change);
  for (const auto& topic : request.topics) {
    auto& results = decided.response.responses.emplace_back();
    results.name = topic.name;
    for (const auto& partition : topic.partitions) {
      auto& result = results.partitions.emplace_back();
      result.partition_index = partition.partition_index;
      result.error_message.reset();
      if (auto refusal = reassignments.decide(topic.name, partition)) {
        result.error_code = wire::code_of(refusal->code);
        // In Kafka the code that a cancellation of nothing gets has no words.
        if (!refusal->message.empty()) result.error_message = std::move(refusal->message);
      }
    }
  }
  decided.records = std::move(reassignments.records());
  if (decided.records.size() <= kMaxRecords) return decided;
  decided = {};
  decided.response.error_code = wire::code_of(ErrorCode::kPolicyViolation);
  decided.response.error_message = "Unable to perform excessively large batch operation.";
  return decided;
}

Listed list_partition_reassignments(const ClusterView& view,
                                    const wire::ListPartitionReassignmentsRequest& request) {
  Listed response;
  response.error_message.reset();
  auto add = [&](const Topic& topic, const auto& indexes) {
    Listed::OngoingTopicReassignment result{.name = topic.name};
    for (int32_t index : indexes) list(topic, index, result);
    if (!result.partitions.empty()) response.topics.push_back(std::move(result));
  };
  if (request.topics) {
    for (const auto& wanted : *request.topics)
      if (const Topic* topic = view.image().find_topic(wanted.name))
        add(*topic, wanted.partition_indexes);
    return response;
  }
  std::map<Uuid, std::vector<int32_t>> all;
  for (const auto& key : view.index().reassigning()) all[key.topic_id].push_back(key.index);
  for (const auto& [topic_id, indexes] : all) add(*view.image().find_topic(topic_id), indexes);
  return response;
}

}  // namespace millrace::controller
