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
  std::vector<Round> rounds;
  {
    std::lock_guard lock(mutex_);
    for (auto& partition : std::exchange(dirty_, {})) rounds.push_back({std::move(partition), {}});
    if (rounds.empty() || offline_) {
      running_ = false;
      return;
    }
  }
  for (Round& round : rounds)
    round.unsynced = with_partition(
        *round.partition, [](PartitionState& state) { return state.log().take_unsynced(); });
  if (auto synced = sync(rounds); !synced) {
    fail_all(synced.error());
    for (Round& round : rounds)
      with_partition(*round.partition, [](PartitionState& state) {
        state.go_offline(wire::ErrorCode::kKafkaStorageError);
      });
    return;
  }
  for (Round& round : rounds)
    with_partition(*round.partition, [&](PartitionState& state) {
      state.log().mark_synced(round.unsynced.log_end);
      if (!state.is_offline()) state.advance_high_watermark(round.unsynced.log_end);
    });
  thread_->run([this] { commit_round(); });
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

std::vector<HostedPartition> PartitionHost::all() const {
  std::shared_lock lock(mutex_);
  std::vector<HostedPartition> result;
  for (const auto& [name, hosted] : by_name_) result.push_back(hosted);
  return result;
}

// Where the partition already lies, else the next directory in turn.
Volume& PartitionHost::volume_for(const TopicPartition& name) {
  for (auto& volume : volumes_)
    for (const auto& found : volume->directory().partitions())
      if (found == name) return *volume;
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
  ASSIGN_OR_RETURN(auto log, volume.directory().open_log(name, settings->log));
  log->set_topic_id(topic_id);
  auto partition =
      std::make_shared<Partition>(name, topic_id, PartitionState(std::move(log), settings));
  const HostedPartition hosted{partition, &volume};
  with_partition(*partition, [&](PartitionState& state) {
    state.lead(leadership);
    state.advance_high_watermark(durability_ == Durability::kPageCache
                                     ? state.log().log_end()
                                     : state.log().recovery_point());
  });
  {
    std::unique_lock lock(mutex_);
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
  if (!hosted) return;
  {
    std::unique_lock lock(mutex_);
    by_name_.erase(name);
    by_id_.erase({hosted.partition->topic_id(), name.partition});
  }
  with_partition(*hosted.partition, [](PartitionState& state) {
    state.go_offline(wire::ErrorCode::kUnknownTopicOrPartition);
  });
  auto renamed = hosted.volume->directory().mark_deleted(name, suffix);
  if (!renamed) LOG_ERROR("{}: {}", name.to_string(), renamed.error().message);
  if (!renamed || renamed->empty()) return;
  hosted.volume->thread().run([volume = hosted.volume, path = *renamed] {
    if (auto removed = volume->directory().remove_tree(path); !removed)
      LOG_WARN("{}: {}; the next start tries again", path, removed.error().message);
  });
}

void PartitionHost::appended(const HostedPartition& hosted) {
  if (durability_ == Durability::kFsync) return hosted.volume->mark_dirty(hosted.partition);
  with_partition(*hosted.partition, [](PartitionState& state) {
    if (!state.is_offline()) state.advance_high_watermark(state.log().log_end());
  });
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

void PartitionHost::write_checkpoints() {
  for (auto& volume : volumes_) {
    storage::OffsetCheckpoint recovery, starts, watermarks;
    for (const HostedPartition& hosted : all()) {
      if (hosted.volume != volume.get()) continue;
      with_partition(*hosted.partition, [&](PartitionState& state) {
        const TopicPartition& name = hosted.partition->name();
        recovery[name] = state.log().recovery_point();
        watermarks[name] = state.high_watermark();
        if (state.log().log_start() > Offset(0)) starts[name] = state.log().log_start();
      });
    }
    storage::LogDirectory& directory = volume->directory();
    Result<> written = directory.write_recovery_points(recovery);
    if (written) written = directory.write_log_starts(starts);
    if (written) written = directory.write_high_watermarks(watermarks);
    if (!written) LOG_ERROR("checkpoints of {}: {}", directory.path(), written.error().message);
  }
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
