// What one medium of a cluster loses of what it had durably: bits that rot, writes that it took and
// never wrote, writes that went elsewhere. Only where another replica in sync has the same batch:
// so that nothing may be lost by it, and all of it has to be mended (F5).
// Not here: bits of a broker that stands alone (sim/rot, which damages here too).
// Threads: one.
#pragma once

#include <string>
#include <vector>

#include "sim/cluster.h"
#include "sim/rot.h"

namespace millrace::sim {

class ClusterRot {
 public:
  // One medium a seed, so that there is always a good copy.
  ClusterRot(World& world, Cluster& cluster) : world_(&world), cluster_(&cluster) {}

  struct Damage {
    NodeId node = kNoNode;
    TopicPartition partition;
    int64_t first = 0, end = 0;  // offsets of the batch
  };
  // Of a random batch of the topic; nothing: there is none that may be damaged.
  std::optional<Damage> strike(Cluster::Node& node, Oracle& oracle, const std::string& topic);
  // What is not as it was yet; empty: everything is, or deleted.
  std::string what_is_left() const;
  // For the summary: what has become of the damage since this was called last.
  void count();

 private:
  bool may_be_damaged(Cluster::Node& node, const Rot::Batch& batch) const;
  bool is_mended(const Damage& damage) const;
  bool is_there(const Damage& damage) const;

  World* world_;
  Cluster* cluster_;
  std::vector<Damage> damages_;
  size_t counted_ = 0;
};

}  // namespace millrace::sim
