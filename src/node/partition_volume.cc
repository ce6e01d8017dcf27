#include "node/partition_volume.h"

#include "base/log.h"
#include "base/probe.h"

namespace millrace::node {

Volume::Volume(env::Host& host, std::unique_ptr<storage::LogDirectory> directory)
    : disk_(&host.disk()),
      directory_(std::move(directory)),
      thread_(host.start_disk_thread("disk " + directory_->path())) {}

void Volume::mark_dirty(std::shared_ptr<Partition> partition) {
  std::lock_guard lock(mutex_);
  if (dirty_.empty() || dirty_.back() != partition) dirty_.push_back(std::move(partition));
  if (running_ || offline_) return;
  running_ = true;
  thread_->run([this] { commit_round(); });
}

// On the disk thread. Whatever is marked dirty from here on belongs to the next round.
void Volume::commit_round() {
  std::vector<std::shared_ptr<Partition>> partitions;
  {
    std::lock_guard lock(mutex_);
    partitions.swap(dirty_);
    if (partitions.empty() || offline_) {
      running_ = false;
      return;
    }
  }
  if (commit(partitions)) thread_->run([this] { commit_round(); });
}

bool Volume::commit(const std::vector<std::shared_ptr<Partition>>& partitions) {
  std::vector<Round> rounds;
  for (const auto& partition : partitions)
    with_partition(*partition, [&](PartitionState& state) {
      Volume* lies_in = partition->volume();
      if (lies_in == this) rounds.push_back({partition, state.log().take_unsynced()});
      if (lies_in != this) lies_in->mark_dirty(partition);  // it was moved
    });
  if (auto synced = sync(rounds); !synced) {
    PROBE("volume.sync_failed");
    LOG_ERROR("{}: nothing written since the last sync is acknowledged", directory_->path());
    storage::LogDirectory::note_failed_sync(*disk_, directory_->path());
    fail(synced.error());
    for (Round& round : rounds)
      with_partition(*round.partition, [](PartitionState& state) {
        state.go_offline(wire::ErrorCode::kKafkaStorageError);
      });
    return false;
  }
  uint64_t bytes = 0;
  for (Round& round : rounds)
    with_partition(*round.partition, [&](PartitionState& state) {
      const storage::Unsynced& unsynced = round.unsynced;
      if (!state.log().is_current(unsynced)) return;  // it was marked dirty again
      state.log().mark_synced(unsynced.log_end);
      if (!state.is_offline())
        bytes += state.became_durable(unsynced.log_end, unsynced.appended_bytes);
    });
  grew(bytes);
  return true;
}

void Volume::grew(uint64_t bytes) {
  const uint64_t before = grown_.fetch_add(bytes, std::memory_order_relaxed);
  if (before + bytes < kCheckpointBytes) return;
  if (grown_.exchange(0, std::memory_order_relaxed) < kCheckpointBytes) return;  // another one did
  if (checkpoint_) thread_->run([this] { checkpoint_(); });
}

Result<> Volume::sync(const std::vector<Round>& rounds) {
  size_t files = 0;
  for (const Round& round : rounds) files += round.unsynced.files.size() + round.unsynced.directory;
  if (files > kMaxSingleSyncs) return disk_->sync_filesystem(directory_->path());
  for (const Round& round : rounds) {
    for (const auto& file : round.unsynced.files) RETURN_IF_ERROR(file->sync());
    if (!round.unsynced.directory) continue;
    const auto synced =
        disk_->sync_directory(directory_->path() + "/" + round.partition->name().to_string());
    // The partition may have been taken away since the round began: nobody waits for it.
    if (!synced && synced.error().code != Errc::kNotFound) return synced;
  }
  return {};
}

void Volume::fail(const Error& error) {
  if (offline_.exchange(true)) return;
  LOG_ERROR("log directory {} goes offline: {}", directory_->path(), error.message);
  if (failed_) failed_();
}

}  // namespace millrace::node
