// Moves of logs between log directories (KIP-113): the part of node/partition_host that touches the
// directories. The order of a move's end, so that a crash at any point leaves one whole log: the
// copy has everything durably; the log's directory gets a name that means that it is gone; the copy
// gets the log's name. Between the two there is a copy and no log, which is what a start completes
// (promote_abandoned_future); before there are both, and the log is the truth.
#include <fmt/format.h>

#include "base/log.h"
#include "base/probe.h"
#include "node/partition_host.h"
#include "replica/fetched_batches.h"

namespace millrace::node {
namespace {

// Of the log's end, copied while nobody can write to it.
constexpr size_t kLastBytes = 256 << 10;

Result<> sync(env::Disk& disk, storage::Log& log) {
  const storage::Unsynced unsynced = log.take_unsynced();
  for (const auto& file : unsynced.files) RETURN_IF_ERROR(file->sync());
  if (disk.exists(log.path())) RETURN_IF_ERROR(disk.sync_directory(log.path()));
  log.mark_synced(unsynced.log_end);
  return {};
}

// Appends to the copy what the log has behind it, as long as it is little. False: there is more.
Result<bool> copy_last(PartitionState& state, storage::Log& copy, TimestampMs now) {
  const Offset end = state.log().log_end();
  ASSIGN_OR_RETURN(
      auto slice,
      state.log().read(
          {.from = copy.log_end(), .below = end, .max_bytes = kLastBytes, .at_least_one = false}));
  ByteBuffer bytes(slice.length);
  if (slice.length > 0) RETURN_IF_ERROR(slice.file->read_at(bytes, slice.position));
  RETURN_IF_ERROR(append_copied(copy, bytes, now));
  return copy.log_end() == end;
}

}  // namespace

Result<> append_copied(storage::Log& copy, ByteView bytes, TimestampMs now) {
  const bool is_empty = copy.log_start() == copy.log_end();
  const replica::FetchedFrom from{
      .log_end = copy.log_end(), .leader_epoch = LeaderEpoch(INT32_MAX), .log_is_empty = is_empty};
  ASSIGN_OR_RETURN(const auto batches, replica::fetched_batches(bytes, from));
  if (!batches.empty() && batches[0].base_offset() < copy.log_end())
    RETURN_IF_ERROR(copy.start_over_at(batches[0].base_offset()));
  return copy.append_as_is(batches, now);
}

Volume* PartitionHost::volume_at(const std::string& path) const {
  for (const auto& volume : volumes_)
    if (volume->directory().path() == path && !volume->is_offline()) return volume.get();
  return nullptr;
}

Result<> PartitionHost::open_future(const HostedPartition& hosted, Volume& volume,
                                    const Uuid& suffix) {
  const auto options = with_partition(
      *hosted.partition, [](PartitionState& state) { return log_options_of(state.settings()); });
  auto log = volume.directory().open_future(hosted.partition->name(), options, suffix);
  if (!log) return std::unexpected(std::move(log).error());
  (*log)->set_topic_id(hosted.partition->topic_id());
  with_partition(*hosted.partition, [&](PartitionState& state) {
    state.set_future(std::make_unique<FutureLog>(std::move(*log), &volume));
  });
  return {};
}

// The process before was copying.
Result<> PartitionHost::attach_future(const HostedPartition& hosted) {
  for (const auto& volume : volumes_) {
    if (!volume->directory().has_future(hosted.partition->name())) continue;
    RETURN_IF_ERROR(open_future(hosted, *volume, Uuid::zero()));
    // Both were cut after a crash, each by itself.
    return with_partition(*hosted.partition, [](PartitionState& state) -> Result<> {
      storage::Log& future = *state.future()->log;
      const Offset common = std::min(future.log_end(), state.log().log_end());
      if (future.epoch_of(common - 1) == state.log().epoch_of(common - 1))
        return future.truncate_to(common);
      return future.start_over_at(state.log().log_start());
    });
  }
  return {};
}

Result<> PartitionHost::begin_move(const HostedPartition& hosted, Volume& to, const Uuid& suffix) {
  if (!failed_directories_.empty() || !offline_directories().empty())
    return fail(Errc::kIo, "a log directory is offline, which may have a copy already");
  LOG_INFO("{} moves from {} to {}", hosted.partition->name().to_string(),
           hosted.volume()->directory().path(), to.directory().path());
  return open_future(hosted, to, suffix);
}

void PartitionHost::cancel_move(const HostedPartition& hosted, const Uuid& suffix) {
  Volume* volume = with_partition(*hosted.partition, [](PartitionState& state) {
    Volume* lies_in = state.future() ? state.future()->volume : nullptr;
    state.set_future(nullptr);
    return lies_in;
  });
  if (volume) remove_future(*volume, hosted.partition->name(), suffix);
}

// Under the lock, so that nothing comes in between.
Result<bool> PartitionHost::replace_log(const HostedPartition& hosted, PartitionState& state,
                                        const MoveEnd& end) {
  FutureLog* future = state.future();
  if (!future || state.is_offline() || future->volume->is_offline()) return false;
  storage::LogDirectory& from = hosted.volume()->directory();
  storage::LogDirectory& to = future->volume->directory();
  const TopicPartition& name = hosted.partition->name();
  ASSIGN_OR_RETURN(const bool has_all, copy_last(state, *future->log, end.now));
  if (!has_all) return false;
  RETURN_IF_ERROR(sync(future->volume->disk(), *future->log));
  future->log->advance_log_start(state.log().log_start());
  if (const auto cleaned = state.log().cleaned_to()) future->log->note_cleaned(*cleaned);
  ASSIGN_OR_RETURN(const std::string gone, from.mark_deleted(name, end.suffix));
  auto path = to.promote_future(name);
  if (!path) {
    (void)from.restore(name, gone);
    return std::unexpected(std::move(path).error());
  }
  future->log->moved_to(*path);
  Volume* const volume = future->volume;
  (void)state.adopt_future();
  place(hosted, state, *volume);
  return true;
}

Result<bool> PartitionHost::finish_move(const HostedPartition& hosted, const MoveEnd& end) {
  Volume& from = *hosted.volume();
  auto finished = with_partition(
      *hosted.partition, [&](PartitionState& state) { return replace_log(hosted, state, end); });
  if (!finished || !*finished) return finished;
  Volume& to = *hosted.volume();
  PROBE("partition.moved");
  LOG_INFO("{} lies in {} now", hosted.partition->name().to_string(), to.directory().path());
  to.thread().run([this, &to, &from] {
    (void)write_checkpoints(to);
    from.thread().run([this, &from] {
      (void)write_checkpoints(from);
      if (auto removed = from.directory().remove_deleted(); !removed)
        LOG_WARN("{}; the next start tries again", removed.error().message);
    });
  });
  return true;
}

}  // namespace millrace::node
