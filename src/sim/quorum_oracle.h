// Looks at the quorum of a simulated cluster from outside, its nodes and their media, and checks
// what must hold of all of them together.
//
//   RA1 an epoch has one leader
//   RA2 the epoch of a node does not fall during a life, is on the medium of a voter before it acts
//       in it, and it votes once in an epoch, whatever lives
//   RA3 batches of one offset and epoch are the same bytes on every medium
//   RA4 a new leader has everything that was ever committed
//   RA5 a node's high watermark does not fall during a life
//   RA6 what is below any high watermark is durable on a majority of the voters, as somebody knows
//       them
//   RA7 what was committed stays as it was on every medium that has it
//   RA8 a log that does not begin at 0 has a snapshot of what is missing, and snapshots of one end
//       say the same on every medium
//   RA9 voters change one at a time: no set follows another in a log with more than one voter added
//       or removed, and none is written before the one before is committed, nor before anything is
//       of the leader's epoch; so any majorities of two sets in force meet
//   RA10 who is no controller does not vote
//   MD1 images at one offset are the same on every node
//   MD2 no image is ahead of what is committed
// Not here: one replica's own rules (raft/machine), partitions (sim/replica_oracle).
// Threads: one.
#pragma once

#include "node/controller_host.h"
#include "sim/cluster.h"
#include "sim/stored_log.h"

namespace millrace::sim {

class QuorumOracle {
 public:
  QuorumOracle(World& world, Cluster& cluster) : world_(&world), cluster_(&cluster) {}

  // Cheap: every few events.
  void look();
  // Reads the logs: now and then, and at the end.
  void compare_logs();
  // The node that some other node, and itself, take for the leader of the newest epoch; null: none.
  Cluster::Node* leader() const;

 private:
  struct Seen {  // of one node, in this life
    int life = 0;
    int32_t epoch = 0;
    bool may_write = true;  // its disk has been sound
    int64_t high_watermark = 0;
    const metadata::Image* image = nullptr;
    raft::VoterSet voters;
  };
  void look_at(Cluster::Node& node);
  void take_epoch(Cluster::Node& node, LeaderEpoch epoch);
  void take_leader(int32_t epoch, NodeId leader);
  void take_vote(Cluster::Node& node);
  void take_high_watermark(Cluster::Node& node, int64_t high_watermark);
  // The newest set of the voters that it knows of is another one.
  void take_voters(Cluster::Node& node, const node::QuorumView& quorum);
  void check_begun_in_time(Cluster::Node& node, const node::QuorumView& quorum,
                           const StoredVoters& before, const StoredVoters& after);
  // The sets that may have been in force a moment ago, as this node knows them.
  std::vector<raft::VoterSet> recent_voters(const Cluster::Node& node);
  void take_image(Cluster::Node& node, Seen& seen);
  void take_snapshots(const Cluster::Node& node, int64_t first_segment);
  void take_log(Cluster::Node& node, int64_t high_watermark);
  void check_completeness(Cluster::Node& leader);

  World* world_;
  Cluster* cluster_;
  std::map<NodeId, Seen> seen_;
  std::map<int32_t, NodeId> leaders_;                             // by epoch
  std::map<std::pair<NodeId, int32_t>, NodeId> votes_;            // by node and epoch
  std::map<std::pair<int64_t, int32_t>, uint64_t> fingerprints_;  // by offset and epoch
  std::map<int64_t, StoredBatch> committed_;                      // by offset
  std::map<std::string, uint64_t> snapshots_;                     // by name
  std::map<int64_t, size_t> images_;                              // hash of its state, by offset
  int64_t committed_end_ = 0;
};

}  // namespace millrace::sim
