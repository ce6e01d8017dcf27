// Looks at the partitions of a simulated cluster from outside, its brokers, their media and the
// controller's word, and checks what must hold of all replicas together.
//
//   IS1  what is below any high watermark is on the medium of every member of ISR and ELR
//   IS2  as long as its ISR is large enough, a leader counts everybody whom the controller has in
//        ISR or ELR
//   IS4  replicas are the same, byte for byte, below their high watermarks
//   IS6  a leader's high watermark does not fall within its epoch
//   IS7 a broker whose last process did not stop cleanly is in no ISR when it registers, and in no
//       ELR unless it syncs before it acknowledges and has its disk still
//   IS8 where ISR and ELR are empty it is known who led last
//   IS9  ISR and ELR are replicas, none both; there is an ELR only below min ISR; no fenced broker
//        is in the ISR, but for the last one of a partition without a leader
//   IS10 an epoch of a partition has one leader; a partition epoch means one state
//   IS11 a replica's epochs are those of its batches
//   IS12 log_start <= high watermark <= log_end, last stable offset <= high watermark
//   TX3  the last stable offset is where the first transaction that is open in the log below the
//        high watermark begins, or the high watermark; no leader's falls within its epoch
//   IS13 when all is healed: every partition led, every replica in the ISR, no broker fenced, and
//        what is written committed (but for internal topics, which go on)
//   IS1 also: who leads was in sync or eligible before, unless the topic allows unclean elections
//   F9   a log directory goes offline only where its disk has failed, and takes only its own
//        replicas along; when all is healed each lies where the metadata say, and none moves
//   MD6  a reassignment ends when all replicas that it adds are in the ISR, which it makes no
//        smaller than min ISR
//   MD5  a broker's epoch is the offset of its registration, so that a later one is larger
// Suspended: a node whose disk was wiped counts as having nothing until it registers anew; a
// replica whose medium was damaged counts when it is mended; after an unclean election only what
// was committed since counts.
// Not here: what clients were told (sim/oracle), the quorum (sim/quorum_oracle).
// Threads: one.
#pragma once

#include <functional>
#include <set>

#include "sim/cluster.h"
#include "sim/stored_log.h"

namespace millrace::sim {

class ReplicaOracle {
 public:
  struct Options {
    bool synced = true;  // what counts is durable (durability=fsync)
    int32_t min_isr = 1;
    std::set<std::string> compacted;  // topics whose replicas compaction may make differ
    bool takes_away(const std::string& topic) const { return compacted.contains(topic); }
  };
  ReplicaOracle(World& world, Cluster& cluster, Options options);

  // Cheap: every few events.
  void look();
  // A record at this offset was acknowledged (acks=all).
  void check_acknowledged(const TopicPartition& partition, int64_t offset);
  // Expensive: when nothing is written any more.
  void compare_logs();
  // Why not everything is as it was meant to be; empty: it is (IS13).
  std::string what_is_missing();
  void disk_was_wiped(NodeId node);
  // Its replica of the partition is damaged, until mended(): it need not have what it had.
  void is_damaged(NodeId node, const TopicPartition& partition) {
    damaged_.emplace(node, partition);
  }
  void mended() { damaged_.clear(); }
  // A partition got a leader that was not eligible, as its topic allows.
  std::function<void(const TopicPartition&)> on_unclean_election;

 private:
  struct Marked {
    LeaderEpoch epoch = kNoLeaderEpoch;
    Offset high_watermark{0}, last_stable{0};
  };
  struct Known {  // of one partition
    std::map<PartitionEpoch, metadata::PartitionState> states;
    std::map<LeaderEpoch, NodeId> leaders;  // that the controller named
    std::map<LeaderEpoch, NodeId> claims;   // that take themselves for it
    std::map<NodeId, Marked> marks;         // of each broker while it leads
    Offset high_watermark{0};               // the highest that any leader had
    LeaderEpoch unclean_epoch{0};           // that an unclean election began; before: not counted
  };
  void take_image(const metadata::Image& image);
  void take_brokers(const metadata::Image& image);
  // Of one partition: the state before, when it is known, and the one that came of it.
  struct Change {
    const metadata::Image& image;
    const TopicPartition& name;
    const metadata::PartitionState &before, &after;
    bool ends_move() const;
    bool is_single() const {
      return after.partition_epoch.value() - before.partition_epoch.value() == 1;
    }
  };
  void check_election(const Change& change, Known& known);
  void check_move(const Change& change);
  void take_state(const TopicPartition& name, Known& known, const metadata::PartitionState& state);
  void check_reborn(const TopicPartition& name, const Known& known,
                    const metadata::PartitionState& state);
  void check_members(const metadata::Image& image, const TopicPartition& name,
                     const metadata::PartitionState& state);
  void look_at(Cluster::Node& node);
  void check_directories(Cluster::Node& node);
  void take_leader(Cluster::Node& node, const TopicIdPartition& id, node::PartitionState& state);
  void check_counted(Cluster::Node& node, const TopicPartition& name,
                     const replica::Leader& leader);
  bool begins_at(Cluster::Node& node, const TopicPartition& name, Offset end);
  void check_members_have(const TopicPartition& name, Offset end, std::string_view why);
  void check_one_partition();
  void check_last_stable(Cluster::Node& node, const node::HostedPartition& hosted,
                         const StoredLog& log);
  void compare_replicas(const TopicPartition& name, const metadata::PartitionState& state);
  void check_epochs(Cluster::Node& node);
  std::string what_is_elsewhere(const TopicPartition& name, const metadata::PartitionState& state);
  std::string what_waits(const TopicPartition& name, NodeId leader);
  std::string what_they_say(const TopicPartition& name);
  bool is_excused(const metadata::Image& image, NodeId node);

  World* world_;
  Cluster* cluster_;
  Options options_;
  Stream dice_;
  std::shared_ptr<const metadata::Image> image_;
  std::map<TopicIdPartition, Known> known_;
  std::map<NodeId, BrokerEpoch> wiped_;  // with the epoch of the registration before
  std::set<std::pair<NodeId, TopicPartition>> damaged_;
  std::map<NodeId, BrokerEpoch> broker_epochs_;  // the newest
  std::map<NodeId, bool>
      reborn_;  // registered in this image, uncleanly: whether it has what it had
  std::map<NodeId, BrokerEpoch> emptied_;  // wiped in this epoch
};

}  // namespace millrace::sim
