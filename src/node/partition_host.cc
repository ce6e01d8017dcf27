#include "node/partition_host.h"

#include <mutex>

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
    rounds.push_back({partition, with_partition(*partition, [](PartitionState& state) {
                        return state.log().take_unsynced();
                      })});
  if (auto synced = sync(rounds); !synced) {
    fail_all(synced.error());
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
      state.log().mark_synced(unsynced.log_end);
      if (!state.is_offline())
        bytes += state.advance_high_watermark(unsynced.log_end, unsynced.appended_bytes);
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
    if (round.unsynced.directory)
      RETURN_IF_ERROR(
          disk_->sync_directory(directory_->path() + "/" + round.partition->name().to_string()));
  }
  return {};
}

void Volume::fail_all(const Error& error) {
  PROBE("volume.sync_failed");
  LOG_ERROR(
      "log directory {} goes offline: {}; nothing written since the last sync is acknowledged",
      directory_->path(), error.message);
  offline_ = true;
  storage::LogDirectory::note_failed_sync(*disk_, directory_->path());
}

PartitionHost::PartitionHost(std::vector<std::unique_ptr<Volume>> volumes, Durability durability)
    : volumes_(std::move(volumes)), durability_(durability) {
  for (auto& volume : volumes_)
    volume->set_checkpoint([this, volume = volume.get()] {
      sync_behind(*volume);
      write_checkpoints(*volume);
    });
}

HostedPartition PartitionHost::find(const TopicPartition& name) const {
  std::shared_lock lock(mutex_);
  auto found = by_name_.find(name);
  return found == by_name_.end() ? HostedPartition{} : found->second;
}

HostedPartition PartitionHost::find(const TopicIdPartition& id) const {
  std::shared_lock lock(mutex_);
  auto found = by_id_.find(id);
  return found == by_id_.end() ? HostedPartition{} : found->second;
}

bool PartitionHost::is_refused(const TopicPartition& name) const {
  std::shared_lock lock(mutex_);
  return refused_.contains(name);
}

std::vector<HostedPartition> PartitionHost::all() const {
  std::shared_lock lock(mutex_);
  std::vector<HostedPartition> result;
  for (const auto& [name, hosted] : by_name_) result.push_back(hosted);
  return result;
}

// Where the partition already lies, else the next directory in turn.
Volume& PartitionHost::volume_for(const TopicPartition& name) {
  for (auto& volume : volumes_)
    if (volume->directory().has(name)) return *volume;
  return *volumes_[next_volume_++ % volumes_.size()];
}

Result<> PartitionHost::open(const TopicPartition& name, const Uuid& topic_id,
                             const std::shared_ptr<const TopicSettings>& settings,
                             const Leadership& leadership) {
  if (HostedPartition hosted = find(name)) {
    with_partition(*hosted.partition, [&](PartitionState& state) {
      state.set_settings(settings);
      state.lead(leadership);
    });
    return {};
  }
  Volume& volume = volume_for(name);
  auto log = volume.directory().open_log(name, settings->log);
  if (!log) {
    std::unique_lock lock(mutex_);
    refused_.insert(name);
    return std::unexpected(std::move(log).error());
  }
  (*log)->set_topic_id(topic_id);
  auto partition =
      std::make_shared<Partition>(name, topic_id, PartitionState(std::move(*log), settings));
  const HostedPartition hosted{partition, &volume};
  with_partition(*partition, [&](PartitionState& state) {
    state.lead(leadership);
    state.advance_high_watermark(durability_ == Durability::kPageCache
                                     ? state.log().log_end()
                                     : state.log().recovery_point(),
                                 /*appended_bytes=*/0);
  });
  {
    std::unique_lock lock(mutex_);
    refused_.erase(name);
    by_name_[name] = hosted;
    by_id_[{topic_id, name.partition}] = hosted;
  }
  const bool unsynced = with_partition(*partition, [](PartitionState& state) {
    return state.high_watermark() < state.log().log_end();
  });
  if (unsynced) appended(hosted);  // recovered from the page cache: durable after the next sync
  return {};
}

void PartitionHost::remove(const TopicPartition& name, const Uuid& suffix) {
  HostedPartition hosted = find(name);
  if (!hosted && !is_refused(name)) return;
  Volume& volume = hosted ? *hosted.volume : volume_for(name);
  {
    std::unique_lock lock(mutex_);
    by_name_.erase(name);
    if (hosted) by_id_.erase({hosted.partition->topic_id(), name.partition});
    refused_.erase(name);
  }
  if (hosted)
    with_partition(*hosted.partition, [](PartitionState& state) {
      state.go_offline(wire::ErrorCode::kUnknownTopicOrPartition);
    });
  auto renamed = volume.directory().mark_deleted(name, suffix);
  if (!renamed) LOG_ERROR("{}: {}", name.to_string(), renamed.error().message);
  if (!renamed || renamed->empty()) return;
  volume.thread().run([volume = &volume, path = *renamed] {
    if (auto removed = volume->directory().remove_tree(path); !removed)
      LOG_WARN("{}: {}; the next start tries again", path, removed.error().message);
  });
}

void PartitionHost::appended(const HostedPartition& hosted) {
  if (durability_ == Durability::kFsync) return hosted.volume->mark_dirty(hosted.partition);
  const uint64_t bytes = with_partition(*hosted.partition, [](PartitionState& state) {
    if (state.is_offline()) return uint64_t{0};
    return state.advance_high_watermark(state.log().log_end(), state.log().appended_bytes());
  });
  hosted.volume->grew(bytes);
}

// With page-cache durability nobody waits for a sync; it is what lets the recovery point move.
void PartitionHost::sync_behind(Volume& volume) {
  if (durability_ == Durability::kFsync || volume.is_offline()) return;
  std::vector<std::shared_ptr<Partition>> behind;
  for (const HostedPartition& hosted : all()) {
    if (hosted.volume != &volume) continue;
    const bool unsynced = with_partition(*hosted.partition, [](PartitionState& state) {
      return !state.is_offline() && state.log().recovery_point() < state.log().log_end();
    });
    if (unsynced) behind.push_back(hosted.partition);
  }
  volume.commit(behind);
}

void PartitionHost::delete_old_segments(TimestampMs now) {
  for (const HostedPartition& hosted : all()) {
    auto files = with_partition(*hosted.partition, [&](PartitionState& state) {
      return state.log().delete_old_segments(state.high_watermark(), now);
    });
    if (!files) {
      LOG_ERROR("retention of {}: {}", hosted.partition->name().to_string(), files.error().message);
      continue;
    }
    if (files->empty()) continue;
    LOG_INFO("retention removes {} files of {}", files->size(),
             hosted.partition->name().to_string());
    hosted.volume->thread().run([volume = hosted.volume, files = std::move(*files)] {
      for (const auto& path : files) (void)volume->directory().remove_file(path);
    });
  }
}

void PartitionHost::expire_producers(TimestampMs before) {
  for (const HostedPartition& hosted : all())
    with_partition(*hosted.partition,
                   [&](PartitionState& state) { state.log().expire_producers(before); });
}

void PartitionHost::write_checkpoints() {
  for (auto& volume : volumes_) write_checkpoints(*volume);
}

void PartitionHost::write_checkpoints_later() {
  for (auto& volume : volumes_)
    volume->thread().run([this, volume = volume.get()] { write_checkpoints(*volume); });
}

void PartitionHost::write_checkpoints(Volume& volume) {
  std::lock_guard lock(volume.checkpoint_mutex());
  storage::OffsetCheckpoint recovery = other_points_(volume), starts, watermarks;
  for (const HostedPartition& hosted : all()) {
    if (hosted.volume != &volume) continue;
    with_partition(*hosted.partition, [&](PartitionState& state) {
      const TopicPartition& name = hosted.partition->name();
      recovery[name] = state.log().recovery_point();
      watermarks[name] = state.high_watermark();
      if (state.log().log_start() > Offset(0)) starts[name] = state.log().log_start();
    });
  }
  storage::LogDirectory& directory = volume.directory();
  Result<> written = directory.write_recovery_points(recovery);
  if (written) written = directory.write_log_starts(starts);
  if (written) written = directory.write_high_watermarks(watermarks);
  if (!written) LOG_ERROR("checkpoints of {}: {}", directory.path(), written.error().message);
}

Result<> PartitionHost::close(BrokerEpoch epoch) {
  bool all_closed = true;
  for (const HostedPartition& hosted : all()) {
    auto closed = with_partition(*hosted.partition, [](PartitionState& state) {
      return state.is_offline() ? Result<>{} : state.log().close();
    });
    if (closed) continue;
    all_closed = false;
    LOG_ERROR("closing {}: {}", hosted.partition->name().to_string(), closed.error().message);
  }
  write_checkpoints();
  if (!all_closed) return {};  // without the marker the next start recovers
  for (auto& volume : volumes_)
    if (!volume->is_offline()) RETURN_IF_ERROR(volume->directory().write_clean_shutdown(epoch));
  return {};
}

}  // namespace millrace::node
