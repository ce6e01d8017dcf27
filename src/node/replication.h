// The roles of this broker's partitions, as the metadata give them: leader, follower, or none any
// more. Starts and stops fetching, asks for changes of the ISR, and has logs looked after.
// Not here: the logs (node/partition_host), what a leader counts and a follower asks for
// (replica/), which partitions changed (node/node).
// Threads: apply(), remove() and close() on shard 0; noticed() and doubt() from any.
#pragma once

#include <map>
#include <memory>

#include "node/compactor.h"
#include "node/isr_changes.h"
#include "node/leader_fetcher.h"
#include "node/log_moves.h"
#include "node/mender.h"
#include "node/scrubber.h"

namespace millrace::node {

// What the metadata say of one partition.
struct PartitionAssignment {
  TopicPartition name;
  Uuid topic_id;
  std::shared_ptr<const TopicSettings> settings;
  const metadata::PartitionState& state;
};

class Replication {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    const config::NodeProperties* properties = nullptr;
    NodeId self = kNoNode;
    ImageSource image;
    IsrChanges::Ask ask;                              // the controller, for some time
    std::function<void(const Uuid& topic_id)> moved;  // where its replicas lie is to be told
  };
  explicit Replication(Parts parts);
  ~Replication();
  Replication(const Replication&) = delete;
  Replication& operator=(const Replication&) = delete;

  // An error: its log could not be opened.
  Result<> apply(const PartitionAssignment& assignment);
  // The topic is gone.
  void remove(const TopicPartition& name, const Uuid& suffix);
  // Looks from time to time who does not keep up.
  void start();
  // Nothing is fetched any more.
  void close();

  // What may change while the broker runs: the rates of throttled replicas, compaction.
  void take_settings(const config::NodeProperties& settings);
  // Its partitions are offline: nothing is fetched for them.
  void directory_failed(const Volume& volume);
  LogMoves& moves() { return *moves_; }
  const Compactor& compactor() const { return *compactor_; }
  // Of leaders; any thread.
  ReplicationQuota& leader_quota() { return leader_quota_; }
  // A log does not give what it has at `offset`, or what it gave was not taken.
  void doubt(const HostedPartition& hosted, Offset offset) { scrubber_->check(hosted, offset); }
  // A fetch of a follower may have changed who is in sync.
  void noticed(const HostedPartition& hosted);

 private:
  void lead(const HostedPartition& hosted, const PartitionAssignment& assignment);
  void follow(const HostedPartition& hosted, const Leadership& leadership);
  void stop_following(const HostedPartition& hosted);
  void look_after(const HostedPartition& hosted);
  LeaderFetcher& fetcher_of(NodeId leader);
  replica::FetcherOptions fetcher_options() const;
  void tick();
  BrokerEpoch broker_epoch() const;

  Parts parts_;
  Duration lag_max_;
  ReplicationQuota leader_quota_, follower_quota_;
  std::shared_ptr<IsrChanges> isr_changes_;
  std::shared_ptr<LogMoves> moves_;
  std::shared_ptr<Mender> mender_;
  std::shared_ptr<Scrubber> scrubber_;
  std::shared_ptr<Compactor> compactor_;
  std::map<NodeId, std::shared_ptr<LeaderFetcher>> fetchers_;
  std::map<TopicIdPartition, Leadership> followed_;
  std::map<TopicIdPartition, HostedPartition> watched_;  // led, and its ISR may change with time
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace millrace::node
