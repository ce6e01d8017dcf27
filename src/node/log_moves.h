// Moves replicas between this broker's log directories (KIP-113, KIP-858): a copy is made in the
// other directory, catches up, the controller is told where the replica will lie, and when the
// metadata say so the copy takes the log's place.
// Not here: the directories (node/partition_host), who tells the controller
// (node/directory_assignments, which looks what is announced).
// Threads: shard 0; the copying is done on the disk thread of the directory that the log moves to.
// Ownership: shared, since disk work may outlive its use. Host and PartitionHost outlive it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "node/leader_fetcher.h"
#include "node/partition_quota.h"

namespace millrace::node {

class LogMoves : public std::enable_shared_from_this<LogMoves> {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    NodeId self = kNoNode;
    ImageSource image;
    // Where a replica of the topic lies, or will, is not what it was.
    std::function<void(const Uuid& topic_id)> announce;
  };
  explicit LogMoves(Parts parts) : parts_(std::move(parts)), quota_(QuotaWindows{}) {}

  // What AlterReplicaLogDirs asks of one partition: kNone when it moves, or lies there. Of one that
  // is not here yet the directory is remembered.
  wire::ErrorCode move(const TopicPartition& name, const std::string& path);
  // Goes on with what the process before began.
  void resume(const HostedPartition& hosted);
  // replica.alter.log.dirs.io.max.bytes.per.second
  void set_rate(int64_t bytes_per_second) { quota_.set_rate(bytes_per_second); }
  void close() { closed_ = true; }

 private:
  static constexpr size_t kPieceBytes = 1 << 20;
  static constexpr Duration kPause = milliseconds(100);  // for the quota, or for the metadata
  static constexpr Duration kFailurePause = seconds(1);

  struct Copied {
    uint64_t bytes = 0;
    bool is_all = false;
  };
  env::Shard& shard() const { return parts_.host->shard(0); }
  void go_on(const HostedPartition& hosted, Duration pause);
  void step(const HostedPartition& hosted);
  void copied(const HostedPartition& hosted, const Result<Copied>& copied);
  void finish(const HostedPartition& hosted);
  Result<Copied> copy_piece(const HostedPartition& hosted, Volume& to);
  bool is_told(const HostedPartition& hosted) const;

  Parts parts_;
  ReplicationQuota quota_;
  std::map<TopicPartition, HostedPartition> moving_;
  bool closed_ = false;
};

}  // namespace millrace::node
