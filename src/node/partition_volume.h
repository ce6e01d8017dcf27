// One log directory with its disk thread and what waits to be synced there: the committer of
// node/partition_host, which says how it works.
// Not here: which partitions lie in it (node/partition_host), its files (storage/log_directory).
// Threads: all functions from any, but for those that say otherwise.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "env/host.h"
#include "node/partition.h"
#include "storage/log_directory.h"

namespace millrace::node {

class Volume {
 public:
  static constexpr size_t kMaxSingleSyncs = 3;
  // So many bytes at most are scanned after a crash, and those that came while they were noted.
  static constexpr uint64_t kCheckpointBytes = 1 << 30;

  Volume(env::Host& host, std::unique_ptr<storage::LogDirectory> directory);
  // What the disk thread runs when the logs have grown by kCheckpointBytes, and when the directory
  // has failed; set before either is.
  void set_checkpoint(std::function<void()> checkpoint) { checkpoint_ = std::move(checkpoint); }
  void set_failed(std::function<void()> failed) { failed_ = std::move(failed); }

  storage::LogDirectory& directory() { return *directory_; }
  const storage::LogDirectory& directory() const { return *directory_; }
  env::Disk& disk() { return *disk_; }
  env::DiskThread& thread() { return *thread_; }
  bool is_offline() const { return offline_; }
  // What it says cannot be relied on any more: it goes offline and stays so. Outside
  // of partitions' locks.
  void fail(const Error& error);
  // The partition has bytes that are not synced; call outside its lock.
  void mark_dirty(std::shared_ptr<Partition> partition);
  // Syncs what these partitions have, on the disk thread; what was moved to another directory
  // meanwhile is left to that. A failure takes the directory offline.
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

  env::Disk* disk_;
  std::unique_ptr<storage::LogDirectory> directory_;
  std::function<void()> checkpoint_;
  std::function<void()> failed_;
  std::mutex checkpoint_mutex_;  // held while checkpoints are collected and written
  std::atomic<uint64_t> grown_ = 0;
  std::atomic<bool> offline_ = false;
  std::mutex mutex_;  // guards the rest
  std::vector<std::shared_ptr<Partition>> dirty_;
  bool running_ = false;
  std::unique_ptr<env::DiskThread> thread_;  // last: its work uses the rest
};

}  // namespace millrace::node
