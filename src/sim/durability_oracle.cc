#include "sim/durability_oracle.h"

#include <algorithm>

#include "node/controller_host.h"

namespace millrace::sim {
namespace {

// Of the partitions of a node that has been looked at before, which costs.
constexpr double kLookChance = 0.1;

std::vector<StoredBatch> batches_in(ByteView bytes) {
  std::vector<StoredBatch> found;
  record::BatchIterator batches(bytes);
  for (;;) {
    const auto batch = batches.next();
    if (!batch || !*batch || !(*batch)->verify_crc()) return found;
    found.push_back(stored_batch(**batch));
  }
}

}  // namespace

DurabilityOracle::DurabilityOracle(World& world, Cluster& cluster, bool has_synced_partitions)
    : world_(&world),
      cluster_(&cluster),
      has_synced_partitions_(has_synced_partitions),
      dice_(world.schedule.next()) {
  for (const auto& node : cluster.nodes())
    node->medium.on_cut = [this, node = node.get()](const std::string& path, ByteView gone) {
      check_cut(*node, path, gone);
    };
}

DurabilityOracle::~DurabilityOracle() {
  for (const auto& node : cluster_->nodes()) node->medium.on_cut = nullptr;
}

void DurabilityOracle::look() {
  for (const auto& node : cluster_->nodes())
    if (node->can_be_asked()) look_at(*node);
}

void DurabilityOracle::look_at(Cluster::Node& node) {
  Seen& seen = seen_[node.id];
  if (seen.life != node.broker.lives()) seen = {.life = node.broker.lives()};
  check_metadata(node, seen);
  if (!node.is_broker || !has_synced_partitions_) return;
  for (const auto& hosted : node.broker.node().partitions().all())
    if (!seen.ends.contains(hosted.partition->name()) || dice_.chance(kLookChance))
      check_partition(node, *hosted.partition, seen);
}

void DurabilityOracle::check_metadata(Cluster::Node& node, Seen& seen) {
  const node::RaftDriver& driver = node.broker.node().controller().driver();
  const Offset says = driver.durable_end();
  if (driver.failure() || says == seen.metadata_end) return;
  seen.metadata_end = says;
  const Offset has = stored_end(node.medium, node.metadata_directory, View::kDurable);
  if (has < says)
    world_->violated("RA6", fmt::format("{} counts its metadata log as durable below {}, and its "
                                        "medium has what is below {}",
                                        node.name, says, has));
}

void DurabilityOracle::check_partition(Cluster::Node& node, node::Partition& partition,
                                       Seen& seen) {
  const TopicPartition& name = partition.name();
  with_partition(partition, [&](node::PartitionState& state) {
    const Offset says = state.durable_end();
    auto [known, is_new] = seen.ends.emplace(name, says);
    if (!is_new && known->second == says) return;
    known->second = says;
    // An empty log has no file yet.
    if (state.is_offline() || says <= state.log().log_start() || damaged_.contains({node.id, name}))
      return;
    const Offset has = stored_end(node.medium, state.log().directory(), View::kDurable);
    if (has < says)
      world_->violated("ST1", fmt::format("{} counts {} as durable below {}, and its medium has "
                                          "what is below {}",
                                          node.name, name.to_string(), says, has));
  });
}

void DurabilityOracle::check_cut(Cluster::Node& node, const std::string& path, ByteView gone) {
  if (!path.ends_with(".log")) return;
  const std::string directory = path.substr(0, path.rfind('/'));
  if (directory == node.metadata_directory) return check_cut_of_metadata(node, gone);
}

void DurabilityOracle::check_cut_of_metadata(Cluster::Node& node, ByteView gone) {
  const auto snapshots = read_stored_snapshots(node.medium, node.metadata_directory);
  const int64_t covered = snapshots.empty() ? 0 : snapshots.back().end;
  for (const StoredBatch& batch : batches_in(gone)) {
    const auto same = committed_.find(batch.first);
    if (batch.end > covered && same != committed_.end() && same->second == batch)
      world_->violated("RA7", fmt::format("{} cuts its metadata log at {}, where it has what was "
                                          "committed in epoch {}",
                                          node.name, batch.first, batch.epoch));
  }
}

}  // namespace millrace::sim
