#include "controller/broker_partitions.h"

#include <algorithm>

#include "controller/node_sets.h"
#include "metadata/directory_id.h"

namespace millrace::controller {
namespace {

using metadata::PartitionState;
using metadata::Topic;

// `visit(topic, index, state)` for each of the keys, the state as the changes so far left it.
template <class Visit>
void for_each(const ClusterView& view, const metadata::PartitionKeys& keys,
              const PartitionChanges& changes, const Visit& visit) {
  for (const auto& key : keys) {
    const Topic* topic = view.image().find_topic(key.topic_id);
    const PartitionState* state = topic ? changes.find(*topic, key.index) : nullptr;
    if (state) visit(*topic, key.index, *state);
  }
}

Uuid directory_of(const PartitionState& state, NodeId broker) {
  const auto at = std::ranges::find(state.replicas, broker) - state.replicas.begin();
  return std::cmp_less(at, state.directories.size()) ? state.directories[static_cast<size_t>(at)]
                                                     : Uuid::zero();
}

void leave(const Topic& topic, int32_t index, NodeId broker, PartitionChanges& changes) {
  PartitionGoal goal = changes.goal(topic, index);
  goal.isr = without(std::move(goal.isr), broker);
  changes.change(topic, index, std::move(goal));
}

}  // namespace

void leave_partitions(const ClusterView& view, NodeId broker, PartitionChanges& changes) {
  changes.assume(broker, false);
  for_each(view, view.index().of_broker(broker), changes,
           [&](const Topic& topic, int32_t index, const PartitionState& state) {
             if (contains(state.isr, broker)) leave(topic, index, broker, changes);
           });
}

void forget_partitions(const ClusterView& view, NodeId broker, const std::vector<Uuid>& directories,
                       PartitionChanges& changes) {
  changes.assume(broker, false);
  const metadata::Broker* known = view.image().find_broker(broker);
  const bool lacks_some = known && std::ranges::any_of(known->log_dirs, [&](const Uuid& each) {
                            return std::ranges::find(directories, each) == directories.end();
                          });
  for_each(view, view.index().of_broker(broker), changes,
           [&](const Topic& topic, int32_t index, const PartitionState& state) {
             const bool has_lost = lacks_some && !metadata::is_placed(directory_of(state, broker));
             if (!contains(state.isr, broker) && !contains(state.elr, broker) && !has_lost) return;
             PartitionGoal goal = changes.goal(topic, index);
             goal.isr = without(std::move(goal.isr), broker);
             goal.may_have_lost = {broker};
             if (has_lost) goal.has_lost = {broker};
             changes.change(topic, index, std::move(goal));
           });
}

void rejoin_partitions(const ClusterView& view, NodeId broker, PartitionChanges& changes) {
  changes.assume(broker, true);
  for_each(view, view.index().without_leader(), changes,
           [&](const Topic& topic, int32_t index, const PartitionState&) {
             changes.change(topic, index, changes.goal(topic, index));
           });
}

void leave_directories(const ClusterView& view, NodeId broker, const std::vector<Uuid>& failed,
                       PartitionChanges& changes) {
  changes.assume(broker, false);
  for_each(
      view, view.index().of_broker(broker), changes,
      [&](const Topic& topic, int32_t index, const PartitionState& state) {
        const bool concerned = contains(state.isr, broker) || state.leader == broker;
        if (concerned && std::ranges::find(failed, directory_of(state, broker)) != failed.end())
          leave(topic, index, broker, changes);
      });
}

}  // namespace millrace::controller
