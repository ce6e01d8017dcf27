// The partitions of this broker: found by name or id, opened and closed as the metadata says, made
// durable by one committer a log directory.
// Not here: what the metadata says (node/node), the protocol (server).
//
// Durability (decisions, D3): with fsync, every append marks its partition dirty; the committer on
// the directory's disk thread takes all dirty partitions, syncs their files (one syncfs above
// kMaxSingleSyncs files), and advances their high watermarks. While one sync runs the next round
// collects. With page-cache an append is durable at once, and what was appended is synced behind
// its back when a directory's logs have grown by a gigabyte, so that a crash leaves little to scan.
// A failed sync: nothing since the last good one is acknowledged, the directory goes offline, and
// stays so.
// Threads: all functions from any shard.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "env/host.h"
#include "node/partition.h"
#include "storage/log_directory.h"

namespace millrace::node {

enum class Durability { kFsync, kPageCache };

// One log directory with its disk thread and what waits to be synced there.
class Volume {
 public:
  static constexpr size_t kMaxSingleSyncs = 3;
  // So many bytes at most are scanned after a crash, and those that came while they were noted.
  static constexpr uint64_t kCheckpointBytes = 1 << 30;

  Volume(env::Host& host, std::unique_ptr<storage::LogDirectory> directory);
  // What the disk thread runs when the logs have grown by kCheckpointBytes; set before they do.
  void set_checkpoint(std::function<void()> checkpoint) { checkpoint_ = std::move(checkpoint); }

  storage::LogDirectory& directory() { return *directory_; }
  const storage::LogDirectory& directory() const { return *directory_; }
  env::DiskThread& thread() { return *thread_; }
  bool is_offline() const { return offline_; }
  // The partition has bytes that are not synced; call outside its lock.
  void mark_dirty(std::shared_ptr<Partition> partition);
  // Syncs what these partitions have, on the disk thread. A failure takes the directory offline.
  bool commit(const std::vector<std::shared_ptr<Partition>>& partitions);
  // The logs grew by so much.
  void grew(uint64_t bytes);
  std::mutex& checkpoint_mutex() { return checkpoint_mutex_; }

 private:
  struct Round {
    std::shared_ptr<Partition> partition;
    storage::Unsynced unsynced;
  };
  void commit_round();
  Result<> sync(const std::vector<Round>& rounds);
  void fail_all(const Error& error);

  env::Disk* disk_;
  std::unique_ptr<storage::LogDirectory> directory_;
  std::function<void()> checkpoint_;
  std::mutex checkpoint_mutex_;  // held while checkpoints are collected and written
  std::atomic<uint64_t> grown_ = 0;
  std::atomic<bool> offline_ = false;
  std::mutex mutex_;  // guards the rest
  std::vector<std::shared_ptr<Partition>> dirty_;
  bool running_ = false;
  std::unique_ptr<env::DiskThread> thread_;  // last: its work uses the rest
};

struct HostedPartition {
  std::shared_ptr<Partition> partition;
  Volume* volume = nullptr;
  explicit operator bool() const { return partition != nullptr; }
};

class PartitionHost {
 public:
  PartitionHost(std::vector<std::unique_ptr<Volume>> volumes, Durability durability);

  HostedPartition find(const TopicPartition& name) const;
  HostedPartition find(const TopicIdPartition& id) const;
  // Its log is here and could not be opened.
  bool is_refused(const TopicPartition& name) const;
  std::vector<HostedPartition> all() const;
  const std::vector<std::unique_ptr<Volume>>& volumes() const { return volumes_; }
  // The recovery points of logs in a directory that are not hosted here; from any thread.
  using OtherPoints = std::function<storage::OffsetCheckpoint(const Volume&)>;
  void set_other_recovery_points(OtherPoints points) { other_points_ = std::move(points); }
  Durability durability() const { return durability_; }

  // Opens (or makes) the partition's log and leads it. What was there when the node starts is
  // opened in this way too.
  Result<> open(const TopicPartition& name, const Uuid& topic_id,
                const std::shared_ptr<const TopicSettings>& settings, const Leadership& leadership);
  // The topic is gone: waits end, the directory is renamed and removed on its disk thread.
  void remove(const TopicPartition& name, const Uuid& suffix);

  // Tells the committer (or, page-cache, the waiters) that the partition grew. Call outside its
  // lock.
  void appended(const HostedPartition& hosted);

  // Retention, producer expiry, checkpoints: what has to be done from time to time.
  void delete_old_segments(TimestampMs now);
  void expire_producers(TimestampMs before);
  void write_checkpoints();
  void write_checkpoints_later();  // on the disk threads
  // Writes everything that a clean stop leaves.
  Result<> close(BrokerEpoch epoch);

 private:
  Volume& volume_for(const TopicPartition& name);
  void write_checkpoints(Volume& volume);
  void sync_behind(Volume& volume);

  mutable std::shared_mutex mutex_;  // guards the maps
  std::unordered_map<TopicPartition, HostedPartition> by_name_;
  std::unordered_map<TopicIdPartition, HostedPartition> by_id_;
  std::set<TopicPartition> refused_;  // whose logs could not be opened
  std::vector<std::unique_ptr<Volume>> volumes_;
  const Durability durability_;
  OtherPoints other_points_;
  size_t next_volume_ = 0;
};

}  // namespace millrace::node
