#include "node/partition_host.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "base/log.h"
#include "base/probe.h"
#include "metadata/directory_id.h"

namespace millrace::node {

PartitionHost::PartitionHost(std::vector<std::unique_ptr<Volume>> volumes, Durability durability)
    : volumes_(std::move(volumes)), durability_(durability) {
  for (auto& volume : volumes_) {
    volume->set_checkpoint([this, volume = volume.get()] {
      sync_behind(*volume);
      (void)write_checkpoints(*volume);
    });
    volume->set_failed([this, volume = volume.get()] { volume_failed(*volume); });
  }
}

void PartitionHost::volume_failed(Volume& volume) {
  for (const HostedPartition& hosted : all())
    with_partition(*hosted.partition, [&](PartitionState& state) {
      if (hosted.volume() == &volume) state.go_offline(wire::ErrorCode::kKafkaStorageError);
      if (state.future() && state.future()->volume == &volume) state.set_future(nullptr);
    });
  if (on_failure_) on_failure_(volume);
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

std::vector<Uuid> PartitionHost::offline_directories() const {
  std::vector<Uuid> ids;
  for (const auto& volume : volumes_)
    if (volume->is_offline()) ids.push_back(volume->directory().id());
  return ids;
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

Volume* PartitionHost::volume_with(const TopicPartition& name) const {
  for (const auto& volume : volumes_)
    if (volume->directory().has(name)) return volume.get();
  return nullptr;
}

Volume* PartitionHost::volume_with_fewest_logs() const {
  std::map<Volume*, size_t> logs;
  for (const HostedPartition& hosted : all()) ++logs[hosted.volume()];
  Volume* fewest = nullptr;
  for (const auto& volume : volumes_)
    if (!volume->is_offline() && (!fewest || logs[volume.get()] < logs[fewest]))
      fewest = volume.get();
  return fewest;
}

Result<Volume*> PartitionHost::volume_for(const Opening& opening) const {
  if (Volume* volume = volume_with(opening.name)) return volume;
  const auto preferred = preferred_.find(opening.name);
  if (preferred != preferred_.end() && !preferred->second->is_offline()) return preferred->second;
  const Uuid assigned = opening.assigned.value_or(metadata::kUnassignedDirectory);
  for (const auto& volume : volumes_)
    if (volume->directory().id() == assigned && !volume->is_offline()) return volume.get();
  const bool is_placed = assigned != metadata::kUnassignedDirectory &&
                         assigned != metadata::kMigratingDirectory &&
                         assigned != metadata::kLostDirectory;
  const bool any_failed = !failed_directories_.empty() || !offline_directories().empty();
  if (is_placed && any_failed)
    return fail(Errc::kIo, fmt::format("its log directory, {}, is offline", assigned.to_string()));
  Volume* fewest = volume_with_fewest_logs();
  return fewest ? Result<Volume*>(fewest) : fail(Errc::kIo, "all log directories are offline");
}

// The log of an older topic of the same name.
Result<> PartitionHost::make_room(Volume& volume, const Opening& opening) {
  if (!volume.directory().has(opening.name)) return {};
  const auto found = volume.directory().topic_id_of(opening.name);
  if (!found || *found == opening.topic_id) return {};
  LOG_WARN("{} in {} is of topic {}, which is gone: the log is removed", opening.name.to_string(),
           volume.directory().path(), *found);
  remove_directory(volume, opening.name, *found);
  return {};
}

// The process before died when the log was gone from one directory and its copy had not yet its
// name in the other. Not where the log may lie in a directory that is offline.
Result<> PartitionHost::promote_abandoned_future(const TopicPartition& name) {
  if (volume_with(name) || !failed_directories_.empty() || !offline_directories().empty())
    return {};
  for (const auto& volume : volumes_)
    if (volume->directory().has_future(name)) {
      LOG_INFO("{}: its copy in {} is the log now", name.to_string(), volume->directory().path());
      RETURN_IF_ERROR(volume->directory().promote_future(name));
      return {};
    }
  return {};
}

Result<HostedPartition> PartitionHost::open(const Opening& opening) {
  const TopicPartition& name = opening.name;
  if (HostedPartition hosted = find(name)) {
    with_partition(*hosted.partition,
                   [&](PartitionState& state) { state.set_settings(opening.settings); });
    return hosted;
  }
  auto opened = open_log(opening);
  if (!opened) {
    std::unique_lock lock(mutex_);
    refused_.insert(name);
    return opened;
  }
  {
    std::unique_lock lock(mutex_);
    refused_.erase(name);
    by_name_[name] = *opened;
    by_id_[{opening.topic_id, name.partition}] = *opened;
  }
  preferred_.erase(name);
  const bool unsynced = with_partition(*opened->partition, [](PartitionState& state) {
    return state.durable_end() < state.log().log_end();
  });
  if (unsynced) appended(*opened);  // recovered from the page cache: durable after the next sync
  if (auto attached = attach_future(*opened); !attached)
    LOG_WARN("{}: its copy cannot be gone on with: {}", name.to_string(), attached.error().message);
  return opened;
}

Result<HostedPartition> PartitionHost::open_log(const Opening& opening) {
  RETURN_IF_ERROR(promote_abandoned_future(opening.name));
  ASSIGN_OR_RETURN(Volume* const volume, volume_for(opening));
  RETURN_IF_ERROR(make_room(*volume, opening));
  storage::LogDirectory& directory = volume->directory();
  auto log = directory.open_log(opening.name, log_options_of(opening.settings));
  if (!log) return std::unexpected(std::move(log).error());
  (*log)->set_topic_id(opening.topic_id);
  auto partition = std::make_shared<Partition>(opening.name, opening.topic_id,
                                               PartitionState(std::move(*log), opening.settings));
  const HostedPartition hosted{partition};
  with_partition(*partition, [&](PartitionState& state) {
    place(hosted, state, *volume);
    const storage::Log& opened = state.log();
    const bool page_cache = durability_ == Durability::kPageCache;
    state.start_at(directory.checkpointed_high_watermark(opening.name),
                   page_cache ? opened.log_end() : opened.recovery_point());
  });
  return hosted;
}

void PartitionHost::place(const HostedPartition& hosted, PartitionState& state, Volume& volume) {
  hosted.partition->set_volume(&volume);
  state.set_disk_failure([volume = &volume](const Error& error) {
    volume->thread().run([volume, error] { volume->fail(error); });
  });
}

void PartitionHost::remove(const TopicPartition& name, const Uuid& suffix) {
  HostedPartition hosted = find(name);
  if (!hosted && !is_refused(name)) return;
  if (hosted) cancel_move(hosted, suffix);
  Volume* volume = hosted ? hosted.volume() : volume_with(name);
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
  if (volume && !volume->is_offline()) remove_directory(*volume, name, suffix);
}

void PartitionHost::remove_directory(Volume& volume, const TopicPartition& name,
                                     const Uuid& suffix) {
  remove_later(volume, volume.directory().mark_deleted(name, suffix));
  std::unique_lock lock(mutex_);
  removed_from_.insert(&volume);
}

void PartitionHost::forget_removed_later() {
  std::unique_lock lock(mutex_);
  const auto removed_from = std::exchange(removed_from_, {});
  for (const auto& volume : volumes_)  // not in the order of their addresses: no two runs have that
    if (removed_from.contains(volume.get()))
      volume->thread().run([this, volume = volume.get()] { (void)write_checkpoints(*volume); });
}

void PartitionHost::remove_future(Volume& volume, const TopicPartition& name, const Uuid& suffix) {
  if (!volume.is_offline())
    remove_later(volume, volume.directory().mark_future_deleted(name, suffix));
}

void PartitionHost::remove_later(Volume& volume, Result<std::string> renamed) {
  if (!renamed) LOG_ERROR("{}: {}", volume.directory().path(), renamed.error().message);
  if (!renamed || renamed->empty()) return;
  volume.thread().run([volume = &volume, path = *renamed] {
    if (auto removed = volume->directory().remove_tree(path); !removed)
      LOG_WARN("{}: {}; the next start tries again", path, removed.error().message);
  });
}

void PartitionHost::appended(const HostedPartition& hosted) {
  if (durability_ == Durability::kFsync) return hosted.volume()->mark_dirty(hosted.partition);
  const uint64_t bytes = with_partition(*hosted.partition, [](PartitionState& state) {
    if (state.is_offline()) return uint64_t{0};
    return state.became_durable(state.log().log_end(), state.log().appended_bytes());
  });
  hosted.volume()->grew(bytes);
}

namespace {

// Where the repair leaves the log's end.
Offset target_of(PartitionState& state, const Repair& repair) {
  if (const auto* over = std::get_if<replica::StartOver>(&repair.what)) return over->at;
  const replica::EpochEnd leaders = std::get<replica::Truncate>(repair.what).leader_end;
  const storage::EpochStart ours = state.log().end_of_epoch(leaders.epoch);
  return replica::truncation_target({leaders, {ours.epoch, ours.start}}, state.log().log_end());
}

bool still_follows(const PartitionState& state, const Repair& repair) {
  return !state.is_offline() && !state.is_leader() &&
         state.leadership().epoch == repair.leader_epoch();
}

Result<> carry_out(PartitionState& state, const Repair& repair) {
  if (!still_follows(state, repair)) return fail(Errc::kClosed, "another leader epoch");
  const Offset target = target_of(state, repair);
  PROBE("partition.repaired");
  LOG_INFO("{}: the log goes from [{}, {}) to end at {}, as the leader's of epoch {} does",
           state.log().path(), state.log().log_start(), state.log().log_end(), target,
           repair.leader_epoch());
  const bool over = std::holds_alternative<replica::StartOver>(repair.what);
  return over ? state.start_over_at(target) : state.cut(target);
}

}  // namespace

void PartitionHost::repair(const std::vector<Repair>& repairs, env::Shard& shard, RepairDone done) {
  std::map<Volume*, std::vector<Numbered>> by_volume;
  for (size_t i = 0; i < repairs.size(); ++i)
    by_volume[repairs[i].hosted.volume()].emplace_back(i, repairs[i]);
  for (const auto& volume : volumes_)
    if (auto numbered = by_volume.extract(volume.get()))
      volume->thread().run(
          [this, volume = volume.get(), &shard, done, mine = std::move(numbered.mapped())] {
            repair_now(*volume, mine, shard, done);
          });
}

void PartitionHost::repair_now(Volume& volume, const std::vector<Numbered>& repairs,
                               env::Shard& shard, const RepairDone& done) {
  bool claims_change = false;
  for (const auto& [number, repair] : repairs)
    with_partition(*repair.hosted.partition, [&](PartitionState& state) {
      if (!still_follows(state, repair)) return;
      const bool over = std::holds_alternative<replica::StartOver>(repair.what);
      const Offset claim = over ? Offset(0) : target_of(state, repair);
      claims_change |= claim < state.log().recovery_point();
      state.log().lower_recovery_point(claim);
    });
  const bool safe = !claims_change || write_checkpoints(volume);
  for (const auto& [number, repair] : repairs) {
    auto outcome = with_partition(*repair.hosted.partition, [&](PartitionState& state) {
      return safe ? carry_out(state, repair) : fail(Errc::kIo, "the checkpoints are not written");
    });
    if (outcome) appended(repair.hosted);
    shard.post([done, number, outcome = std::move(outcome)]() mutable {
      done(number, std::move(outcome));
    });
  }
}

// With page-cache durability nobody waits for a sync; it is what lets the recovery point move.
void PartitionHost::sync_behind(Volume& volume) {
  if (durability_ == Durability::kFsync || volume.is_offline()) return;
  std::vector<std::shared_ptr<Partition>> behind;
  for (const HostedPartition& hosted : all()) {
    if (hosted.volume() != &volume) continue;
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
    hosted.volume()->thread().run([volume = hosted.volume(), files = std::move(*files)] {
      for (const auto& path : files) (void)volume->directory().remove_file(path);
    });
  }
}

void PartitionHost::expire_producers(TimestampMs before) {
  for (const HostedPartition& hosted : all())
    with_partition(*hosted.partition, [&](PartitionState& state) {
      state.log().expire_producers(before);
      state.guards().expire(before);
    });
}

void PartitionHost::note_epoch(BrokerEpoch epoch) {
  if (durability_ != Durability::kFsync) return;
  for (auto& volume : volumes_)
    volume->thread().run([volume = volume.get(), epoch] {
      if (volume->is_offline()) return;
      if (auto noted = volume->directory().note_durable_epoch(epoch); !noted)
        LOG_WARN("{}: {}; after a crash this broker counts as one that may have lost records",
                 volume->directory().path(), noted.error().message);
    });
}

void PartitionHost::write_checkpoints() {
  for (auto& volume : volumes_) (void)write_checkpoints(*volume);
}

// Of a log in this directory, and of a copy that is to become one.
void PartitionHost::note_points(Checkpoints& points, const HostedPartition& hosted,
                                const Volume& volume) {
  with_partition(*hosted.partition, [&](PartitionState& state) {
    const TopicPartition& name = hosted.partition->name();
    const FutureLog* future = state.future();
    const bool is_here = hosted.volume() == &volume;
    if (!is_here && (!future || future->volume != &volume)) return;
    const storage::Log& log = is_here ? state.log() : *future->log;
    points.recovery[name] = log.recovery_point();
    if (log.cleaned_to()) points.cleaned[name] = *log.cleaned_to();
    points.high_watermarks[name] = std::min(state.high_watermark(), log.log_end());
    if (log.log_start() > Offset(0)) points.log_starts[name] = log.log_start();
  });
}

void PartitionHost::write_checkpoints_later() {
  for (auto& volume : volumes_) write_checkpoints_later(*volume);
}

void PartitionHost::write_checkpoints_later(Volume& volume) {
  volume.thread().run([this, volume = &volume] { (void)write_checkpoints(*volume); });
}

void PartitionHost::settle(const HostedPartition& hosted, env::Shard& shard,
                           std::function<void()> done) {
  Volume* volume = hosted.volume();
  volume->thread().run([this, hosted, volume, &shard, done = std::move(done)]() mutable {
    const bool is_behind = with_partition(*hosted.partition, [](PartitionState& state) {
      return !state.is_offline() && state.log().recovery_point() < state.last_stable_offset();
    });
    if (is_behind && !volume->is_offline()) volume->commit({hosted.partition});
    (void)write_checkpoints(*volume);
    shard.post(std::move(done));
  });
}

bool PartitionHost::write_checkpoints(Volume& volume) {
  if (volume.is_offline()) return false;
  std::lock_guard lock(volume.checkpoint_mutex());
  Checkpoints points{.recovery = other_points_(volume)};
  for (const HostedPartition& hosted : all()) note_points(points, hosted, volume);
  storage::LogDirectory& directory = volume.directory();
  Result<> written = directory.write_recovery_points(points.recovery);
  if (written) written = directory.write_log_starts(points.log_starts);
  if (written) written = directory.write_high_watermarks(points.high_watermarks);
  if (written) written = directory.write_cleaned(points.cleaned);
  if (written) return true;
  LOG_ERROR("checkpoints of {}: {}", directory.path(), written.error().message);
  if (written.error().code != Errc::kNoSpace) volume.fail(written.error());
  return false;
}

Result<> PartitionHost::close(BrokerEpoch epoch) {
  bool all_closed = true;
  for (const HostedPartition& hosted : all()) {
    auto closed = with_partition(*hosted.partition, [](PartitionState& state) {
      Result<> outcome;
      if (!state.is_offline()) outcome = state.log().close();
      if (outcome && state.future()) outcome = state.future()->log->close();
      return outcome;
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
