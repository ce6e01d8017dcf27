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
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "env/disk.h"
#include "storage/checkpoint.h"
#include "storage/log.h"

namespace millrace::storage {

// The name of a partition's directory, taken apart. Names of other kinds (deleted, stray, not a
// partition) give nothing.
std::optional<TopicPartition> parse_partition_directory(std::string_view name);
// `<topic>-<partition>.<32 hex digits>-future`: a copy that is to take the place of a log in
// another log directory. Nothing: another kind of name.
std::optional<TopicPartition> parse_future_directory(std::string_view name);
// Whether the names of these directories fit into what a file system takes.
bool can_be_moved(const TopicPartition& partition);

// Whether what failed is the directory rather than what was asked of it. A file that is gone is as
// bad as one that cannot be read; a full disk is not, since there may be room again.
bool is_of_the_disk(const Error& error);

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
  // Of the process before, if nothing that it acknowledged can have been lost with it: it stopped
  // cleanly, or had called note_durable_epoch(). -1: neither.
  BrokerEpoch previous_broker_epoch() const { return previous_broker_epoch_; }
  Offset checkpointed_recovery_point(const TopicPartition& partition) const;
  // At the last stop; 0 when it is not known.
  Offset checkpointed_high_watermark(const TopicPartition& partition) const;
  // Of the topic that the partition's log was made for; nothing: there is none, or it does not say.
  std::optional<Uuid> topic_id_of(const TopicPartition& partition) const;

  // Whether the partition's log was opened here, or is here to be opened.
  bool has(const TopicPartition& partition) const { return partitions_.contains(partition); }
  Result<std::unique_ptr<Log>> open_log(const TopicPartition& partition,
                                        const SharedLogOptions& options);

  // The same of a future log. That there is one, the next process knows from here on.
  bool has_future(const TopicPartition& partition) const { return futures_.contains(partition); }
  Result<std::unique_ptr<Log>> open_future(const TopicPartition& partition,
                                           const SharedLogOptions& options, const Uuid& suffix);
  // It is the partition's log from now on; returns its path.
  Result<std::string> promote_future(const TopicPartition& partition);
  // As mark_deleted().
  Result<std::string> mark_future_deleted(const TopicPartition& partition, const Uuid& suffix);

  // Renames the partition's directory so that it is gone for every later start; returns the new
  // path.
  Result<std::string> mark_deleted(const TopicPartition& partition, const Uuid& suffix);
  // Takes that back.
  Result<> restore(const TopicPartition& partition, const std::string& marked);
  // All directories that are marked.
  Result<> remove_deleted();
  Result<> remove_tree(const std::string& path);
  Result<> remove_file(const std::string& path) { return disk_->remove(path); }

  Result<> write_recovery_points(const OffsetCheckpoint& offsets);
  Result<> write_log_starts(const OffsetCheckpoint& offsets);
  Result<> write_high_watermarks(const OffsetCheckpoint& offsets);
  // How far compaction has come. Nothing is done when the file says so already.
  Result<> write_cleaned(const OffsetCheckpoint& offsets);
  // The last act of a clean stop, and the first of a start.
  Result<> write_clean_shutdown(BrokerEpoch epoch);
  Result<> clear_clean_shutdown();
  // Under this epoch everything is synced before it is acknowledged, so that a crash loses nothing
  // of it. A file of our own: .kafka_cleanshutdown would say that no log need be recovered.
  Result<> note_durable_epoch(BrokerEpoch epoch);

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
  LogRecovery recovery_of(const TopicPartition& partition, bool may_exist) const;
  Result<std::string> rename_deleted(const std::string& from, const TopicPartition& partition,
                                     const Uuid& suffix);

  env::Disk* disk_;
  std::string path_;
  std::unique_ptr<env::FileLock> lock_;
  Uuid id_;
  bool stopped_cleanly_ = false;
  BrokerEpoch previous_broker_epoch_{-1};
  OffsetCheckpoint recovery_points_, log_starts_, high_watermarks_, cleaned_;
  std::string cleaned_as_written_;
  std::unordered_set<TopicPartition> partitions_;
  std::unordered_map<TopicPartition, std::string> futures_;  // the names of their directories
};

}  // namespace millrace::storage
