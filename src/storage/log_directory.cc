#include "storage/log_directory.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace millrace::storage {
namespace {

constexpr const char* kCleanShutdown = "/.kafka_cleanshutdown";
constexpr const char* kRecoveryPoints = "/recovery-point-offset-checkpoint";
constexpr const char* kLogStarts = "/log-start-offset-checkpoint";
constexpr const char* kHighWatermarks = "/replication-offset-checkpoint";
constexpr const char* kCleaned = "/cleaner-offset-checkpoint";
constexpr const char* kRecoveryPointsCopy = "/.millrace-recovery-points";
constexpr const char* kFailedSync = "/.millrace-failed-sync";
constexpr const char* kDurableEpoch = "/.millrace-durable-epoch";
constexpr size_t kCopyBytes = 1 << 20;
constexpr std::string_view kFutureSuffix = "-future";
constexpr std::string_view kDeleteSuffix = "-delete";
constexpr size_t kHexDigits = 32;
constexpr size_t kMaxName = 255;  // bytes that a file name may have

std::string hex_of(const Uuid& id) {
  std::string hex;
  for (uint8_t byte : id.bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

Offset offset_of(const OffsetCheckpoint& offsets, const TopicPartition& partition) {
  auto found = offsets.find(partition);
  return found == offsets.end() ? Offset(0) : found->second;
}

// Writes what the file holds to where it stands, so that the next sync has to take it to the
// medium.
Result<> write_file_again(env::Disk& disk, const std::string& path) {
  ASSIGN_OR_RETURN(auto file, disk.open(path, env::OpenMode::kReadWrite));
  ByteBuffer bytes(kCopyBytes);
  for (uint64_t position = 0;;) {
    ASSIGN_OR_RETURN(size_t got, file->read_at(bytes, position));
    if (got == 0) return {};
    RETURN_IF_ERROR(file->write_at(ByteView(bytes).first(got), position));
    position += got;
  }
}

}  // namespace

std::optional<TopicPartition> parse_partition_directory(std::string_view name) {
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || dash + 1 == name.size()) return std::nullopt;
  int64_t partition = 0;
  for (char c : name.substr(dash + 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    partition = partition * 10 + (c - '0');
    if (partition > INT32_MAX) return std::nullopt;
  }
  return TopicPartition{std::string(name.substr(0, dash)),
                        PartitionIndex(static_cast<int32_t>(partition))};
}

std::optional<TopicPartition> parse_future_directory(std::string_view name) {
  if (!name.ends_with(kFutureSuffix)) return std::nullopt;
  name.remove_suffix(kFutureSuffix.size());
  const size_t dot = name.rfind('.');
  const bool is_hex = dot != std::string_view::npos && name.size() - dot - 1 == kHexDigits &&
                      name.find_first_not_of("0123456789abcdef", dot + 1) == std::string_view::npos;
  return is_hex ? parse_partition_directory(name.substr(0, dot)) : std::nullopt;
}

bool can_be_moved(const TopicPartition& partition) {
  return partition.to_string().size() + 1 + kHexDigits + kFutureSuffix.size() <= kMaxName;
}

Result<MetaProperties> LogDirectory::read_identity(env::Disk& disk, const std::string& path) {
  ASSIGN_OR_RETURN(auto text, env::read_file(disk, path + "/meta.properties"));
  auto properties = parse_meta_properties(as_text(text));
  if (!properties)
    return std::unexpected(std::move(properties).error().within(path + "/meta.properties"));
  return properties;
}

bool is_of_the_disk(const Error& error) {
  return error.code == Errc::kIo || error.code == Errc::kNotFound;
}

Result<std::unique_ptr<LogDirectory>> LogDirectory::open(env::Disk& disk, const std::string& path,
                                                         const MetaProperties& expected) {
  std::unique_ptr<LogDirectory> directory(new LogDirectory(disk, path));
  RETURN_IF_ERROR(directory->load(expected));
  return directory;
}

Result<> LogDirectory::load(const MetaProperties& expected) {
  RETURN_IF_ERROR(env::make_durable_directories(*disk_, path_));
  ASSIGN_OR_RETURN(lock_, disk_->lock(path_ + "/.lock"));
  RETURN_IF_ERROR(identify(expected));
  if (auto text = env::read_file(*disk_, path_ + kCleanShutdown)) {
    stopped_cleanly_ = true;
    previous_broker_epoch_ = parse_clean_shutdown(as_text(*text));
  }
  // Epochs grow: the larger is of the later process.
  if (auto text = env::read_file(*disk_, path_ + kDurableEpoch))
    previous_broker_epoch_ = std::max(previous_broker_epoch_, parse_clean_shutdown(as_text(*text)));
  ASSIGN_OR_RETURN(recovery_points_, read_recovery_points());
  const auto failed_sync = env::read_file(*disk_, path_ + kFailedSync);
  if (failed_sync) RETURN_IF_ERROR(write_doubtful_files_again());
  if (!failed_sync && failed_sync.error().code != Errc::kNotFound)
    return std::unexpected(failed_sync.error());
  ASSIGN_OR_RETURN(auto log_starts, read_checkpoint(kLogStarts));
  log_starts_ = std::move(log_starts).value_or(OffsetCheckpoint{});
  ASSIGN_OR_RETURN(auto high_watermarks, read_checkpoint(kHighWatermarks));
  high_watermarks_ = std::move(high_watermarks).value_or(OffsetCheckpoint{});
  ASSIGN_OR_RETURN(auto cleaned, read_checkpoint(kCleaned));
  cleaned_ = std::move(cleaned).value_or(OffsetCheckpoint{});
  RETURN_IF_ERROR(remove_deleted());
  ASSIGN_OR_RETURN(auto entries, disk_->list(path_));
  for (const auto& entry : entries) {
    if (!entry.is_directory) continue;
    if (auto future = parse_future_directory(entry.name))
      futures_.emplace(std::move(*future), entry.name);
    else if (auto partition = parse_partition_directory(entry.name))
      partitions_.insert(std::move(*partition));
  }
  return {};
}

Result<> LogDirectory::identify(const MetaProperties& expected) {
  auto found = read_identity(*disk_, path_);
  if (!found && found.error().code != Errc::kNotFound)
    return std::unexpected(std::move(found).error());
  if (found && found->cluster_id != expected.cluster_id)
    return fail(Errc::kInvalid, fmt::format("{} belongs to cluster {}, not to {}", path_,
                                            found->cluster_id, expected.cluster_id));
  if (found && found->node_id != expected.node_id)
    return fail(Errc::kInvalid, fmt::format("{} belongs to node {}, not to node.id={}", path_,
                                            found->node_id, expected.node_id));
  id_ = found && found->directory_id ? *found->directory_id
                                     : expected.directory_id.value_or(Uuid::zero());
  if (found && found->directory_id) return {};
  MetaProperties fresh = expected;
  fresh.directory_id = id_;
  return env::write_file_atomically(*disk_, path_ + "/meta.properties",
                                    as_bytes(print_meta_properties(fresh)));
}

Result<OffsetCheckpoint> LogDirectory::read_recovery_points() {
  ASSIGN_OR_RETURN(const auto points, read_checkpoint(kRecoveryPoints));
  ASSIGN_OR_RETURN(const auto copy, read_checkpoint(kRecoveryPointsCopy));
  if (points && copy) return lower_of(*points, *copy);
  return points.value_or(copy.value_or(OffsetCheckpoint{}));
}

Result<std::optional<OffsetCheckpoint>> LogDirectory::read_checkpoint(const std::string& name) {
  auto text = env::read_file(*disk_, path_ + name);
  if (!text && text.error().code == Errc::kNotFound) return std::nullopt;
  if (!text) return std::unexpected(std::move(text).error());
  auto offsets = parse_offset_checkpoint(as_text(*text));
  if (offsets) return std::move(*offsets);
  LOG_WARN("{}{}: {}; it is not used", path_, name, offsets.error().message);
  return std::nullopt;
}

std::string LogDirectory::path_of(const TopicPartition& partition) const {
  return path_ + "/" + partition.to_string();
}

Offset LogDirectory::checkpointed_recovery_point(const TopicPartition& partition) const {
  return offset_of(recovery_points_, partition);
}

Offset LogDirectory::checkpointed_high_watermark(const TopicPartition& partition) const {
  return offset_of(high_watermarks_, partition);
}

std::optional<Uuid> LogDirectory::topic_id_of(const TopicPartition& partition) const {
  auto text = env::read_file(*disk_, path_of(partition) + "/partition.metadata");
  if (!text) return std::nullopt;
  auto id = parse_partition_metadata(as_text(*text));
  return id ? std::optional(*id) : std::nullopt;
}

LogRecovery LogDirectory::recovery_of(const TopicPartition& partition, bool may_exist) const {
  const auto cleaned = cleaned_.find(partition);
  return {.recovery_point = checkpointed_recovery_point(partition),
          .log_start = offset_of(log_starts_, partition),
          .clean = stopped_cleanly_,
          .may_exist = may_exist,
          .keeps_damage = true,
          .cleaned_to = cleaned == cleaned_.end() ? std::nullopt : std::optional(cleaned->second)};
}

Result<std::unique_ptr<Log>> LogDirectory::open_log(const TopicPartition& partition,
                                                    const SharedLogOptions& options) {
  const bool may_exist = !partitions_.insert(partition).second;
  return Log::open(*disk_, path_of(partition), options, recovery_of(partition, may_exist));
}

Result<std::unique_ptr<Log>> LogDirectory::open_future(const TopicPartition& partition,
                                                       const SharedLogOptions& options,
                                                       const Uuid& suffix) {
  const auto [named, fresh] = futures_.try_emplace(
      partition, fmt::format("{}.{}{}", partition.to_string(), hex_of(suffix), kFutureSuffix));
  const std::string path = path_ + "/" + named->second;
  if (fresh) {
    RETURN_IF_ERROR(disk_->make_directories(path));
    RETURN_IF_ERROR(disk_->sync_directory(path_));
  }
  const LogRecovery recovery =
      fresh ? LogRecovery{.may_exist = false, .keeps_damage = true} : recovery_of(partition, true);
  return Log::open(*disk_, path, options, recovery);
}

Result<std::string> LogDirectory::promote_future(const TopicPartition& partition) {
  const std::string from = path_ + "/" + futures_.at(partition), to = path_of(partition);
  if (disk_->exists(from)) {  // an empty log has no directory
    RETURN_IF_ERROR(disk_->rename(from, to));
    RETURN_IF_ERROR(disk_->sync_directory(path_));
  }
  futures_.erase(partition);
  partitions_.insert(partition);
  return to;
}

Result<std::string> LogDirectory::mark_future_deleted(const TopicPartition& partition,
                                                      const Uuid& suffix) {
  auto named = futures_.find(partition);
  if (named == futures_.end()) return std::string();
  const std::string from = path_ + "/" + named->second;
  futures_.erase(named);
  return rename_deleted(from, partition, suffix);
}

void LogDirectory::note_failed_sync(env::Disk& disk, const std::string& path) {
  if (auto made = disk.open(path + kFailedSync, env::OpenMode::kCreate); !made)
    LOG_ERROR("{}: {}; restart the machine before the broker", path, made.error().message);
}

Result<> LogDirectory::write_doubtful_files_again() {
  LOG_WARN(
      "{}: a sync failed in the last run; everything since the recovery points is written again",
      path_);
  ASSIGN_OR_RETURN(auto entries, disk_->list(path_));
  RETURN_IF_ERROR(write_again(path_, Offset(0)));
  for (const auto& entry : entries) {
    const auto partition = parse_partition_directory(entry.name);
    if (!entry.is_directory || !partition) continue;
    RETURN_IF_ERROR(write_again(path_ + "/" + entry.name, offset_of(recovery_points_, *partition)));
  }
  RETURN_IF_ERROR(disk_->sync_filesystem(path_));
  RETURN_IF_ERROR(disk_->remove(path_ + kFailedSync));
  return disk_->sync_directory(path_);
}

// All files but segments that end at or below `trusted_below`.
Result<> LogDirectory::write_again(const std::string& directory, Offset trusted_below) {
  ASSIGN_OR_RETURN(auto entries, disk_->list(directory));
  Offset next_base(INT64_MAX);  // of the segment behind: names ascend with their offsets
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->is_directory) continue;
    const bool is_segment = entry->name.ends_with(".log");
    // Snapshots of the metadata are read-only, and were synced before they got their name.
    const bool trusted =
        (is_segment && next_base <= trusted_below) || entry->name.ends_with(".checkpoint");
    if (is_segment) next_base = Offset(std::atoll(entry->name.c_str()));
    if (!trusted) RETURN_IF_ERROR(write_file_again(*disk_, directory + "/" + entry->name));
  }
  return {};
}

Result<std::string> LogDirectory::mark_deleted(const TopicPartition& partition,
                                               const Uuid& suffix) {
  ASSIGN_OR_RETURN(auto renamed, rename_deleted(path_of(partition), partition, suffix));
  partitions_.erase(partition);
  // They say nothing of the next one of that name.
  for (auto* points : {&recovery_points_, &log_starts_, &high_watermarks_, &cleaned_})
    points->erase(partition);
  return renamed;
}

Result<std::string> LogDirectory::rename_deleted(const std::string& from,
                                                 const TopicPartition& partition,
                                                 const Uuid& suffix) {
  if (!disk_->exists(from)) return std::string();
  const std::string hex = hex_of(suffix);
  // The topic's part of the name gives way.
  std::string name = partition.to_string();
  name.resize(std::min(name.size(), kMaxName - hex.size() - 1 - kDeleteSuffix.size()));
  const std::string to = fmt::format("{}/{}.{}{}", path_, name, hex, kDeleteSuffix);
  RETURN_IF_ERROR(disk_->rename(from, to));
  RETURN_IF_ERROR(disk_->sync_directory(path_));
  return to;
}

Result<> LogDirectory::restore(const TopicPartition& partition, const std::string& marked) {
  partitions_.insert(partition);
  if (marked.empty()) return {};
  RETURN_IF_ERROR(disk_->rename(marked, path_of(partition)));
  return disk_->sync_directory(path_);
}

Result<> LogDirectory::remove_deleted() {
  ASSIGN_OR_RETURN(auto entries, disk_->list(path_));
  for (const auto& entry : entries)
    if (entry.is_directory && entry.name.ends_with(kDeleteSuffix))
      RETURN_IF_ERROR(remove_tree(path_ + "/" + entry.name));
  return {};
}

Result<> LogDirectory::remove_tree(const std::string& path) {
  ASSIGN_OR_RETURN(auto entries, disk_->list(path));
  for (const auto& entry : entries) {
    const std::string inside = path + "/" + entry.name;
    RETURN_IF_ERROR(entry.is_directory ? remove_tree(inside) : disk_->remove(inside));
  }
  return disk_->remove(path);
}

Result<> LogDirectory::write_checkpoint(const std::string& name, const std::string& text) {
  return env::write_file_atomically(*disk_, path_ + name, as_bytes(text));
}

Result<> LogDirectory::write_recovery_points(const OffsetCheckpoint& offsets) {
  RETURN_IF_ERROR(write_checkpoint(kRecoveryPointsCopy, print_checked_offset_checkpoint(offsets)));
  return write_checkpoint(kRecoveryPoints, print_offset_checkpoint(offsets));
}
Result<> LogDirectory::write_log_starts(const OffsetCheckpoint& offsets) {
  return write_checkpoint(kLogStarts, print_checked_offset_checkpoint(offsets));
}
Result<> LogDirectory::write_high_watermarks(const OffsetCheckpoint& offsets) {
  return write_checkpoint(kHighWatermarks, print_offset_checkpoint(offsets));
}

Result<> LogDirectory::write_cleaned(const OffsetCheckpoint& offsets) {
  std::string text = print_checked_offset_checkpoint(offsets);
  if (text == cleaned_as_written_ || (offsets.empty() && cleaned_.empty())) return {};
  RETURN_IF_ERROR(write_checkpoint(kCleaned, text));
  cleaned_as_written_ = std::move(text);
  return {};
}

Result<> LogDirectory::write_clean_shutdown(BrokerEpoch epoch) {
  return env::write_file_atomically(*disk_, path_ + kCleanShutdown,
                                    as_bytes(print_clean_shutdown(epoch)));
}

Result<> LogDirectory::clear_clean_shutdown() {
  if (!disk_->exists(path_ + kCleanShutdown)) return {};
  RETURN_IF_ERROR(disk_->remove(path_ + kCleanShutdown));
  return disk_->sync_directory(path_);
}

Result<> LogDirectory::note_durable_epoch(BrokerEpoch epoch) {
  return env::write_file_atomically(*disk_, path_ + kDurableEpoch,
                                    as_bytes(print_clean_shutdown(epoch)));
}

}  // namespace millrace::storage
