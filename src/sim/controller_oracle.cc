#include "sim/controller_oracle.h"

#include <algorithm>

#include "metadata/directory_id.h"

namespace millrace::sim {
namespace {

bool contains(const std::vector<NodeId>& ids, NodeId id) {
  return std::ranges::find(ids, id) != ids.end();
}

bool lacks_directory(const wire::RegisterBrokerRecord& registration,
                     const metadata::PartitionState& state) {
  const auto at = std::ranges::find(state.replicas, NodeId(registration.broker_id));
  const auto index = static_cast<size_t>(at - state.replicas.begin());
  return index < state.directories.size() &&
         !metadata::is_online_directory(state.directories[index], registration.log_dirs);
}

}  // namespace

void ControllerOracle::take(const CommittedRecords::Step& step) {
  if (const auto* change = std::get_if<wire::PartitionChangeRecord>(&step.record))
    check_joining(step, *change);
  if (const auto* registration = std::get_if<wire::RegisterBrokerRecord>(&step.record))
    check_registration(step, *registration);
}

void ControllerOracle::check_joining(const CommittedRecords::Step& step,
                                     const wire::PartitionChangeRecord& change) {
  const metadata::Topic* topic = step.before.find_topic(change.topic_id);
  if (!change.isr || !topic) return;
  const auto& before = topic->partitions.at(static_cast<size_t>(change.partition_id));
  for (const int32_t id : *change.isr) {
    const metadata::Broker* broker = step.before.find_broker(NodeId(id));
    if (contains(before.isr, NodeId(id))) continue;
    if (!broker || broker->fenced || broker->in_controlled_shutdown)
      world_->violated("IS9", fmt::format("at {} broker {} joins the ISR of {}-{}, and is {}",
                                          step.offset, id, topic->name, change.partition_id,
                                          !broker          ? "not registered"
                                          : broker->fenced ? "fenced"
                                                           : "shutting down"));
  }
}

void ControllerOracle::check_registration(const CommittedRecords::Step& step,
                                          const wire::RegisterBrokerRecord& registration) {
  const NodeId id(registration.broker_id);
  const metadata::Broker* known = step.before.find_broker(id);
  if (known && known->incarnation == registration.incarnation_id) return;
  if (Offset(registration.broker_epoch) != step.offset)
    world_->violated("MD5", fmt::format("broker {} registers at {} with epoch {}", id, step.offset,
                                        registration.broker_epoch));
  const bool has_lost = wiped_.erase(id) > 0;
  for (const auto& [name, topic] : step.before.topics())
    for (size_t i = 0; i < topic->partitions.size(); ++i) {
      const metadata::PartitionState& state = topic->partitions[i];
      if (contains(state.isr, id) ||
          (contains(state.elr, id) && has_lost && lacks_directory(registration, state)))
        world_->violated(
            "IS7", fmt::format("broker {} registers at {} and is in the {} of {}-{}", id,
                               step.offset, contains(state.isr, id) ? "ISR" : "ELR", name, i));
    }
}

}  // namespace millrace::sim
