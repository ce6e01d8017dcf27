// The partitions of this broker: found by name or id, opened and closed as the metadata says, made
// durable by one committer a log directory. Not here: what the metadata says (node/node), the
// protocol (server).
//
// Durability (decisions, D3): with fsync, every append marks its partition dirty; the committer on
// the directory's disk
//   thread takes all dirty partitions, syncs their files (one syncfs above kMaxSingleSyncs files),
//   and advances their high watermarks. While one sync runs the next round collects. With
//   page-cache an append is durable at once.
// A failed sync: nothing since the last good one is acknowledged, the directory goes offline, and
// stays so. Threads: all functions from any shard.
#pragma once

#include <atomic>
#include <memory>
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

  Volume(env::Host& host, std::unique_ptr<storage::LogDirectory> directory);

  storage::LogDirectory& directory() { return *directory_; }
  env::DiskThread& thread() { return *thread_; }
  bool is_offline() const { return offline_; }
  // The partition has bytes that are not synced; call outside its lock.
  void mark_dirty(std::shared_ptr<Partition> partition);

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
  PartitionHost(std::vector<std::unique_ptr<Volume>> volumes, Durability durability)
      : volumes_(std::move(volumes)), durability_(durability) {}

  HostedPartition find(const TopicPartition& name) const;
  HostedPartition find(const TopicIdPartition& id) const;
  std::vector<HostedPartition> all() const;
  const std::vector<std::unique_ptr<Volume>>& volumes() const { return volumes_; }
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
  void write_checkpoints();
  // Writes everything that a clean stop leaves.
  Result<> close(BrokerEpoch epoch);

 private:
  Volume& volume_for(const TopicPartition& name);

  mutable std::shared_mutex mutex_;  // guards the maps
  std::unordered_map<TopicPartition, HostedPartition> by_name_;
  std::unordered_map<TopicIdPartition, HostedPartition> by_id_;
  std::vector<std::unique_ptr<Volume>> volumes_;
  const Durability durability_;
  size_t next_volume_ = 0;
};

}  // namespace millrace::node
