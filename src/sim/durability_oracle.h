// Compares what the nodes of a simulated cluster count on with what is on their media.
//
//   ST1  what a replica counts as durable is on its medium
//   RA6  so is what a replica of the metadata log does
//   RA7  of what the quorum has committed nothing is cut from a medium that has it durably, but
//        where a snapshot has taken its place
// Not here: what has to be durable where (sim/quorum_oracle, sim/replica_oracle).
// Threads: one.
#pragma once

#include <map>
#include <set>

#include "sim/cluster.h"
#include "sim/stored_log.h"

namespace millrace::sim {

class DurabilityOracle {
 public:
  // With page-cache partitions promise nothing.
  DurabilityOracle(World& world, Cluster& cluster, bool has_synced_partitions);
  ~DurabilityOracle();

  // Cheap: every few events.
  void look();
  void is_committed(const StoredBatch& batch) { committed_[batch.first] = batch; }
  // Its replica of the partition is damaged, until mended().
  void is_damaged(NodeId node, const TopicPartition& partition) {
    damaged_.emplace(node, partition);
  }
  void mended() { damaged_.clear(); }

 private:
  struct Seen {  // of one node, in this life
    int life = 0;
    Offset metadata_end{0};  // durable, as it said when this was compared last
    std::map<TopicPartition, Offset> ends;
  };
  void look_at(Cluster::Node& node);
  void check_metadata(Cluster::Node& node, Seen& seen);
  void check_partition(Cluster::Node& node, node::Partition& partition, Seen& seen);
  void check_cut(Cluster::Node& node, const std::string& path, ByteView gone);
  void check_cut_of_metadata(Cluster::Node& node, ByteView gone);

  World* world_;
  Cluster* cluster_;
  bool has_synced_partitions_;
  Stream dice_;
  std::map<NodeId, Seen> seen_;
  std::map<int64_t, StoredBatch> committed_;  // of the metadata, by offset
  std::set<std::pair<NodeId, TopicPartition>> damaged_;
};

}  // namespace millrace::sim
