#include "sim/cluster_rot.h"

#include <algorithm>

#include "base/probe.h"
#include "sim/stored_log.h"

namespace millrace::sim {
// Committed, not deleted, and on the medium of somebody else who is in sync.
bool ClusterRot::may_be_damaged(Cluster::Node& node, const Rot::Batch& batch) const {
  const auto image = cluster_->newest_image();
  const metadata::Topic* topic = image ? image->find_topic(batch.partition.topic) : nullptr;
  const auto hosted = node.broker.node().partitions().find(batch.partition);
  if (!topic || !hosted) return false;
  const bool is_committed = with_partition(*hosted.partition, [&](node::PartitionState& state) {
    return state.high_watermark() >= Offset(batch.end) &&
           state.log().log_start() <= Offset(batch.first);
  });
  const auto& isr =
      topic->partitions.at(static_cast<size_t>(batch.partition.partition.value())).isr;
  return is_committed && std::ranges::find(isr, node.id) != isr.end() &&
         std::ranges::any_of(isr, [&](NodeId member) {
           Cluster::Node* other = cluster_->find(member);
           return member != node.id &&
                  stored_end(other->medium, other->directory_of(batch.partition), View::kDurable) >=
                      Offset(batch.end);
         });
}

std::optional<ClusterRot::Damage> ClusterRot::strike(Cluster::Node& node, Oracle& oracle,
                                                     const std::string& topic) {
  Rot rot(node.medium, oracle, topic);
  rot.directory = node.log_directories[world_->faults.below(node.log_directories.size())];
  const auto kind = static_cast<Rot::Kind>(world_->faults.below(3));
  const auto batch =
      rot.damage_batch(kind, [&](const Rot::Batch& each) { return may_be_damaged(node, each); });
  if (!batch) return std::nullopt;
  PROBE("sim.batch_damaged");
  damages_.push_back({node.id, batch->partition, batch->first, batch->end});
  return damages_.back();
}

bool ClusterRot::is_there(const Damage& damage) const {
  Cluster::Node* node = cluster_->find(damage.node);
  const auto log =
      read_stored_log(node->medium, node->directory_of(damage.partition), View::kDurable);
  return log && std::ranges::any_of(log->batches, [&](const StoredBatch& batch) {
           return batch.first == damage.first && batch.end == damage.end;
         });
}

bool ClusterRot::is_mended(const Damage& damage) const {
  Cluster::Node* node = cluster_->find(damage.node);
  if (!node->can_be_asked()) return false;
  const auto hosted = node->broker.node().partitions().find(damage.partition);
  if (!hosted) return false;
  const bool is_deleted = with_partition(*hosted.partition, [&](node::PartitionState& state) {
    return state.log().log_start() >= Offset(damage.end);
  });
  return is_deleted || is_there(damage);
}

void ClusterRot::count() {
  for (; counted_ < damages_.size(); ++counted_)
    if (is_there(damages_[counted_]))
      PROBE("sim.batch_mended");
    else
      PROBE("sim.damaged_batch_deleted");
}

std::string ClusterRot::what_is_left() const {
  for (const Damage& damage : damages_)
    if (!is_mended(damage))
      return fmt::format("{} of broker {} is damaged still at {}", damage.partition.to_string(),
                         damage.node, damage.first);
  return "";
}

}  // namespace millrace::sim
