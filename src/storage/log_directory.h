// One of log.dirs: its lock, its meta.properties, its checkpoints, and the partition directories in
// it.
// Not here: the logs' contents (storage/log), which partitions should be there (node).
// Threads: one caller at a time; the checkpoint writers may be called on the directory's disk
// thread.
// Errors: kLocked when another process has it, kInvalid when it belongs to another node or cluster
// (the message says which).
#pragma once

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "env/disk.h"
#include "storage/checkpoint.h"
#include "storage/log.h"

namespace millrace::storage {

// The name of a partition's directory, taken apart. Names of other kinds (deleted, stray, not a
// partition) give nothing.
std::optional<TopicPartition> parse_partition_directory(std::string_view name);

class LogDirectory {
 public:
  // Locks the directory and reads its files; makes and formats it when it is new.
  // `expected.directory_id` is used then.
  static Result<std::unique_ptr<LogDirectory>> open(env::Disk& disk, const std::string& path,
                                                    const MetaProperties& expected);
  // Reads meta.properties without locking: whether, and as whom, the directory is formatted.
  static Result<MetaProperties> read_identity(env::Disk& disk, const std::string& path);

  // A sync failed: what the page cache holds may not be on the medium though it counts as clean.
  // Says so to the next start, which writes it again. Best effort: a start after a reboot needs no
  // telling, since it reads the medium.
  static void note_failed_sync(env::Disk& disk, const std::string& path);

  const std::string& path() const { return path_; }
  const Uuid& id() const { return id_; }
  bool stopped_cleanly() const { return stopped_cleanly_; }
  BrokerEpoch previous_broker_epoch() const { return previous_broker_epoch_; }
  Offset checkpointed_recovery_point(const TopicPartition& partition) const;

  // Whether the partition's log was opened here, or is here to be opened.
  bool has(const TopicPartition& partition) const { return partitions_.contains(partition); }
  Result<std::unique_ptr<Log>> open_log(const TopicPartition& partition, const LogOptions& options);

  // Renames the partition's directory so that it is gone for every later start; returns the new
  // path.
  Result<std::string> mark_deleted(const TopicPartition& partition, const Uuid& suffix);
  Result<> remove_tree(const std::string& path);
  Result<> remove_file(const std::string& path) { return disk_->remove(path); }

  Result<> write_recovery_points(const OffsetCheckpoint& offsets);
  Result<> write_log_starts(const OffsetCheckpoint& offsets);
  Result<> write_high_watermarks(const OffsetCheckpoint& offsets);
  // The last act of a clean stop, and the first of a start.
  Result<> write_clean_shutdown(BrokerEpoch epoch);
  Result<> clear_clean_shutdown();

 private:
  LogDirectory(env::Disk& disk, std::string path) : disk_(&disk), path_(std::move(path)) {}
  Result<> load(const MetaProperties& expected);
  Result<> identify(const MetaProperties& expected);
  Result<> write_doubtful_files_again();
  Result<> write_again(const std::string& directory, Offset trusted_below);
  Result<OffsetCheckpoint> read_recovery_points();
  // Nothing: it is not there, or cannot be read, which costs a longer recovery and never data.
  Result<std::optional<OffsetCheckpoint>> read_checkpoint(const std::string& name);
  Result<> write_checkpoint(const std::string& name, const std::string& text);
  std::string path_of(const TopicPartition& partition) const;

  env::Disk* disk_;
  std::string path_;
  std::unique_ptr<env::FileLock> lock_;
  Uuid id_;
  bool stopped_cleanly_ = false;
  BrokerEpoch previous_broker_epoch_{-1};
  OffsetCheckpoint recovery_points_, log_starts_;
  std::unordered_set<TopicPartition> partitions_;
};

}  // namespace millrace::storage
