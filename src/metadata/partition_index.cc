#include "metadata/partition_index.h"

#include "metadata/image.h"

namespace millrace::metadata {
namespace {

bool prefers_another(const PartitionState& state) {
  return state.replicas.empty() || state.leader != state.replicas.front();
}

bool is_reassigning(const PartitionState& state) {
  return !state.adding_replicas.empty() || !state.removing_replicas.empty();
}

}  // namespace

void PartitionIndex::put(const PartitionKey& key, const PartitionState& state) {
  for (const auto* members : {&state.replicas, &*state.elr})
    for (NodeId member : *members) by_broker_[member].insert(key);
  if (state.leader == kNoNode)
    without_leader_.insert(key);
  else
    ++leaderships_[state.leader];
  if (prefers_another(state)) without_preferred_leader_.insert(key);
  if (is_reassigning(state)) reassigning_.insert(key);
}

void PartitionIndex::drop(const PartitionKey& key, const PartitionState& state) {
  for (const auto* members : {&state.replicas, &*state.elr})
    for (NodeId member : *members)
      if (auto found = by_broker_.find(member); found != by_broker_.end()) {
        found->second.erase(key);
        if (found->second.empty()) by_broker_.erase(found);
      }
  if (auto led = leaderships_.find(state.leader); led != leaderships_.end() && --led->second == 0)
    leaderships_.erase(led);
  without_leader_.erase(key);
  without_preferred_leader_.erase(key);
  reassigning_.erase(key);
}

const PartitionKeys& PartitionIndex::of_broker(NodeId broker) const {
  static const PartitionKeys kNone;
  auto found = by_broker_.find(broker);
  return found == by_broker_.end() ? kNone : found->second;
}

size_t PartitionIndex::leaderships(NodeId broker) const {
  auto found = leaderships_.find(broker);
  return found == leaderships_.end() ? 0 : found->second;
}

}  // namespace millrace::metadata
