#include "node/log_moves.h"

#include <algorithm>

#include "base/log.h"
#include "env/random_uuid.h"
#include "node/directory_assignments.h"

namespace millrace::node {

wire::ErrorCode LogMoves::move(const TopicPartition& name, const std::string& path) {
  using enum wire::ErrorCode;
  PartitionHost& partitions = *parts_.partitions;
  if (!storage::can_be_moved(name)) return kInvalidTopicException;
  const auto& failed = partitions.failed_directories();
  const bool is_known = std::ranges::find(failed, path) != failed.end() ||
                        std::ranges::any_of(partitions.volumes(), [&](const auto& each) {
                          return each->directory().path() == path;
                        });
  if (!is_known) return kLogDirNotFound;
  Volume* const to = partitions.volume_at(path);
  if (!to || partitions.is_refused(name)) return kKafkaStorageError;
  const HostedPartition hosted = partitions.find(name);
  if (!hosted) {
    const metadata::Topic* topic = parts_.image()->find_topic(name.topic);
    const auto index = static_cast<size_t>(name.partition.value());
    if (name.partition.value() < 0 || !topic || index >= topic->partitions.size())
      return kUnknownTopicOrPartition;
    partitions.prefer(name, *to);
    return kReplicaNotAvailable;
  }
  if (hosted.volume()->is_offline()) return kKafkaStorageError;
  const Volume* moves_to = with_partition(*hosted.partition, [](PartitionState& state) {
    return state.future() ? state.future()->volume : nullptr;
  });
  if (moves_to == to) return kNone;
  const Uuid suffix = random_uuid(shard().random());
  partitions.cancel_move(hosted, suffix);
  parts_.announce(hosted.partition->topic_id());  // of another directory it may have been told
  if (hosted.volume() == to) return kNone;
  if (auto begun = partitions.begin_move(hosted, *to, suffix); !begun) {
    LOG_WARN("{} does not move to {}: {}", name.to_string(), path, begun.error().message);
    return kKafkaStorageError;
  }
  resume(hosted);
  return kNone;
}

void LogMoves::resume(const HostedPartition& hosted) {
  const TopicPartition& name = hosted.partition->name();
  const bool is_new = !moving_.contains(name) || moving_[name].partition != hosted.partition;
  moving_[name] = hosted;
  if (is_new) go_on(hosted, Duration(0));
}

void LogMoves::go_on(const HostedPartition& hosted, Duration pause) {
  shard().after(pause, [self = shared_from_this(), hosted] {
    auto known = self->moving_.find(hosted.partition->name());
    const bool is_current =
        known != self->moving_.end() && known->second.partition == hosted.partition;
    if (!self->closed_ && is_current) self->step(hosted);
  });
}

void LogMoves::step(const HostedPartition& hosted) {
  Volume* const to = with_partition(*hosted.partition, [](PartitionState& state) {
    return state.future() ? state.future()->volume : nullptr;
  });
  if (!to || to->is_offline() || hosted.volume()->is_offline()) {
    moving_.erase(hosted.partition->name());
    return;
  }
  if (quota_.is_exceeded(shard().clock().now())) return go_on(hosted, kPause);
  to->thread().run([self = shared_from_this(), hosted, to] {
    self->shard().post(
        [self, hosted, copied = self->copy_piece(hosted, *to)] { self->copied(hosted, copied); });
  });
}

// On the disk thread. Under the lock only while the copy is written, in the page cache.
Result<LogMoves::Copied> LogMoves::copy_piece(const HostedPartition& hosted, Volume& to) {
  uint64_t cuts = 0;
  auto slice =
      with_partition(*hosted.partition, [&](PartitionState& state) -> Result<storage::ReadSlice> {
        if (!state.future()) return storage::ReadSlice{};
        storage::Log& copy = *state.future()->log;
        if (copy.log_end() < state.log().log_start())
          RETURN_IF_ERROR(copy.start_over_at(state.log().log_start()));
        cuts = state.log().cuts();
        return state.read(
            {.from = copy.log_end(), .below = state.log().log_end(), .max_bytes = kPieceBytes});
      });
  if (!slice) return std::unexpected(std::move(slice).error());
  ByteBuffer bytes(slice->length);
  if (slice->length > 0) RETURN_IF_ERROR(slice->file->read_at(bytes, slice->position));
  Copied copied{.bytes = bytes.size()};
  storage::Unsynced unsynced;
  auto appended = with_partition(*hosted.partition, [&](PartitionState& state) -> Result<> {
    if (!state.future() || state.log().cuts() != cuts) return {};
    storage::Log& copy = *state.future()->log;
    RETURN_IF_ERROR(append_copied(copy, bytes, shard().clock().wall()));
    copied.is_all = copy.log_end() == state.log().log_end();
    if (copied.is_all) unsynced = copy.take_unsynced();
    return {};
  });
  if (!appended) return std::unexpected(std::move(appended).error());
  // So that the last step, under the lock, has little to sync.
  for (const auto& file : unsynced.files)
    if (auto synced = file->sync(); !synced) {
      to.fail(synced.error());
      return std::unexpected(std::move(synced).error());
    }
  return copied;
}

void LogMoves::copied(const HostedPartition& hosted, const Result<Copied>& copied) {
  if (closed_) return;
  if (!copied) {
    LOG_WARN("{}: copying it to another directory: {}; it goes on trying",
             hosted.partition->name().to_string(), copied.error().message);
    return go_on(hosted, kFailurePause);
  }
  quota_.note(copied->bytes, shard().clock().now());
  if (!copied->is_all) return go_on(hosted, Duration(0));
  if (is_told(hosted)) return finish(hosted);
  const bool was_announced = with_partition(*hosted.partition, [](PartitionState& state) {
    return !state.future() || std::exchange(state.future()->is_announced, true);
  });
  if (!was_announced) parts_.announce(hosted.partition->topic_id());
  go_on(hosted, kPause);
}

// What the metadata say; those of versions before 3.7-IV2 name no directories.
bool LogMoves::is_told(const HostedPartition& hosted) const {
  const auto image = parts_.image();
  const metadata::Topic* topic = image->find_topic(hosted.partition->topic_id());
  const auto index = static_cast<size_t>(hosted.partition->name().partition.value());
  if (!topic || index >= topic->partitions.size()) return false;
  const auto assigned = assigned_directory(topic->partitions[index], parts_.self);
  return with_partition(*hosted.partition, [&](PartitionState& state) {
    const FutureLog* future = state.future();
    return future && (!assigned || *assigned == future->volume->directory().id());
  });
}

void LogMoves::finish(const HostedPartition& hosted) {
  const auto finished = parts_.partitions->finish_move(
      hosted, {.suffix = random_uuid(shard().random()), .now = shard().clock().wall()});
  if (!finished) {
    LOG_ERROR("{} cannot be moved: {}", hosted.partition->name().to_string(),
              finished.error().message);
    return go_on(hosted, kFailurePause);
  }
  if (!*finished) return go_on(hosted, Duration(0));
  moving_.erase(hosted.partition->name());
}

}  // namespace millrace::node
