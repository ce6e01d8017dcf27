#include "storage/log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "base/probe.h"
#include "record/control.h"
#include "record/record.h"

namespace millrace::storage {
namespace {

constexpr size_t kMaxControlBatch = 1 << 20;

}  // namespace

Result<std::unique_ptr<Log>> Log::open(env::Disk& disk, const std::string& directory,
                                       const SharedLogOptions& options,
                                       const LogRecovery& recovery) {
  std::unique_ptr<Log> log(new Log(disk, directory, options));
  auto loaded = log->load(recovery);
  // DeleteRecords reached the medium and the records did not: what is left lies below the log's
  // start, and the log goes on from there, as Kafka's does.
  if (loaded && log->log_end_ < log->log_start_) {
    LOG_WARN("{}: ends at {}, below its start {}: it begins anew there", directory, log->log_end_,
             log->log_start_);
    loaded = log->start_over_at(log->log_start_);
  }
  if (!loaded) return std::unexpected(std::move(loaded).error().within(directory));
  return log;
}

void Log::note_batch(const record::BatchHeader& header, ByteView batch, TimestampMs now) {
  if (header.leader_epoch > latest_epoch() && header.leader_epoch.value() >= 0)
    epochs_.push_back({header.leader_epoch, header.base_offset});
  if (!header.has_producer_id()) return;
  if (!header.attributes.control()) return producers_.made().update(header, now);
  end_transaction(header, batch);
}

void Log::end_transaction(const record::BatchHeader& header, ByteView batch) {
  record::ReadScratch scratch;
  auto view = record::BatchView::parse(batch);
  auto reader = view ? record::RecordReader::open(*view, scratch, kMaxControlBatch)
                     : Result<record::RecordReader>(std::unexpected(view.error()));
  record::RecordView marker;
  if (!reader || !reader->next(marker).value_or(false)) return;
  const bool known = marker.value && marker.value->size() >= 6;
  auto producer = producers_->producers().find(header.producer_id);
  const bool aborts =
      marker.key && record::parse_control_key(*marker.key) == record::ControlType::kAbort;
  std::optional<Offset> first;
  if (producer != producers_->producers().end()) first = producer->second.transaction_start;
  producers_.made().end_transaction(header,
                                    known ? load_big<int32_t>(marker.value->data() + 2) : -1);
  if (!aborts || !first) return;
  const auto unstable = producers_->first_unstable_offset();
  aborted_.add({.producer_id = header.producer_id,
                .first_offset = *first,
                .last_offset = header.last_offset(),
                .last_stable_offset = unstable ? *unstable : header.last_offset() + 1});
}

Result<> Log::make_directory() {
  RETURN_IF_ERROR(disk_->make_directories(directory_));
  if (!topic_id_.is_zero())
    RETURN_IF_ERROR(env::write_file_atomically(*disk_, directory_ + "/partition.metadata",
                                               as_bytes(print_partition_metadata(topic_id_))));
  const size_t slash = directory_.rfind('/');
  if (slash != std::string::npos)
    RETURN_IF_ERROR(disk_->sync_directory(directory_.substr(0, slash)));
  return {};
}

Result<> Log::roll(Offset base_offset) {
  if (segments_.empty() && !disk_->exists(directory_ + "/partition.metadata"))
    RETURN_IF_ERROR(make_directory());
  if (Segment* sealed = active()) {
    ASSIGN_OR_RETURN(auto indexes, sealed->seal());
    std::ranges::move(indexes, std::back_inserter(unsynced_));
    RETURN_IF_ERROR(write_transaction_index(*sealed));
    RETURN_IF_ERROR(write_producer_snapshot());
  }
  // Last: a start reads the last segment again, and believes what stands beside the others.
  auto next = std::make_shared<Segment>(*disk_, directory_, base_offset);
  RETURN_IF_ERROR(next->create());
  segments_.push_back(std::move(next));
  active_since_ = kNoTimestamp;
  directory_unsynced_ = true;
  changed_ = true;
  return {};
}

Result<> Log::roll_if_needed(const Coming& coming, TimestampMs now) {
  Segment* segment = active();
  if (segment == nullptr) return roll(log_end_);
  if (segment->size() == 0) return {};
  // A segment's age is told by its records, so that old ones from elsewhere are not alone in
  // theirs.
  const bool dated = segment->first_timestamp() != kNoTimestamp;
  const TimestampMs since = dated ? segment->first_timestamp() : active_since_;
  const TimestampMs until = dated ? coming.first.max_timestamp : now;
  const bool full = segment->size() + coming.bytes > options_->segment_bytes;
  const bool old = since != kNoTimestamp && until - since > options_->segment_ms;
  const bool far = coming.last_offset - segment->base_offset() > INT32_MAX;
  if (!full && !old && !far && !segment->index_is_full(options_->max_index_bytes)) return {};
  return roll(log_end_);
}

Result<Offset> Log::append(std::span<const MutableByteView> batches, LeaderEpoch epoch,
                           TimestampMs now) {
  ASSERT(!batches.empty());
  const record::BatchHeader first = record::BatchView::parse(batches[0])->header();
  auto base = append_behind_end(batches, first, {.epoch = epoch, .now = now});
  if (!base && first.has_producer_id()) producers_.made().refuse(first);
  return base;
}

Result<Offset> Log::append_behind_end(std::span<const MutableByteView> batches,
                                      const record::BatchHeader& first, Appending how) {
  const auto [epoch, now] = how;
  size_t bytes = 0;
  for (MutableByteView batch : batches) bytes += batch.size();
  RETURN_IF_ERROR(roll_if_needed(
      {.first = first, .last_offset = log_end_ + first.last_offset_delta, .bytes = bytes}, now));
  RETURN_IF_ERROR(assign_epoch(epoch, log_end_));
  const Offset base = log_end_;
  Offset next = base;
  std::vector<ByteView> pieces;
  for (MutableByteView batch : batches) {
    record::patch_base_offset(batch, next);
    record::patch_leader_epoch(batch, epoch);
    next = record::BatchView::parse(batch)->next_offset();
    pieces.push_back(batch);
  }
  RETURN_IF_ERROR(write(pieces, now));
  return base;
}

Result<> Log::append_as_is(std::span<const record::BatchView> batches, TimestampMs now) {
  if (batches.empty()) return {};
  std::vector<ByteView> pieces;
  size_t bytes = 0;
  for (const record::BatchView& batch : batches) {
    pieces.push_back(batch.bytes());
    bytes += batch.size_in_bytes();
  }
  RETURN_IF_ERROR(roll_if_needed({.first = batches.front().header(),
                                  .last_offset = batches.back().last_offset(),
                                  .bytes = bytes},
                                 now));
  for (const record::BatchView& batch : batches)
    RETURN_IF_ERROR(assign_epoch(batch.header().leader_epoch, batch.base_offset()));
  return write(pieces, now);
}

Result<> Log::write(std::span<const ByteView> pieces, TimestampMs now) {
  Segment& segment = *active();
  if (auto written = segment.write(pieces); !written) {
    PROBE("log.append_failed");
    (void)segment.truncate(segment.size());  // what was written in part must not be found later
    return std::unexpected(std::move(written).error());
  }
  for (ByteView piece : pieces) {
    const record::BatchHeader header = record::BatchView::parse(piece)->header();
    segment.note_appended(header, options_->index_interval_bytes);
    note_batch(header, piece, now);
    log_end_ = header.next_offset();
    appended_bytes_ += piece.size();
  }
  if (active_since_ == kNoTimestamp) active_since_ = now;
  changed_ = true;
  ASSIGN_OR_RETURN(auto file, segment.file());
  if (unsynced_.empty() || unsynced_.back() != file) unsynced_.push_back(file);
  return {};
}

size_t Log::segment_of(Offset offset) const {
  auto after = std::ranges::upper_bound(segments_, offset, {},
                                        [](const auto& segment) { return segment->base_offset(); });
  return after == segments_.begin() ? 0 : static_cast<size_t>(after - segments_.begin() - 1);
}

// The position of the batch that holds `offset` (or of the first one behind it), and its size when
// there is one.
Result<uint64_t> Log::position_of(Segment& segment, Offset offset,
                                  std::optional<size_t>* batch_size) {
  if (auto known = segment.indexed_batch(offset); known && segment.damage().empty()) {
    if (batch_size) *batch_size = known->size;
    return known->position;
  }
  ASSIGN_OR_RETURN(uint64_t position, segment.scan_position(offset));
  ASSIGN_OR_RETURN(auto file, segment.file());
  uint8_t bytes[record::kBatchHeaderSize];
  while (position < segment.size()) {
    if (const DamagedRange* damage = segment.damage_behind(position);
        damage && damage->position <= position) {
      if (offset < damage->below && !batch_size) return damage->position;
      if (offset < damage->below)
        return fail(Errc::kCorrupt,
                    fmt::format("{}.log is damaged, {}", segment.path(), damage->to_string()));
      position = damage->end;
      continue;
    }
    ASSIGN_OR_RETURN(size_t got, file->read_at(bytes, position));
    ASSIGN_OR_RETURN(auto header, record::peek_header({bytes, got}));
    if (!header)
      return fail(Errc::kCorrupt, fmt::format("{}.log at {}: no batch", segment.path(), position));
    if (header->last_offset() >= offset) {
      if (batch_size) *batch_size = static_cast<size_t>(header->size_in_bytes());
      return position;
    }
    const auto size = static_cast<uint64_t>(header->size_in_bytes());
    if (size > segment.size() - position)
      return fail(Errc::kCorrupt, fmt::format("{}.log: the batch at {} is longer than the file",
                                              segment.path(), position));
    position += size;
  }
  return position;
}

Result<ReadSlice> Log::read(const ReadRequest& request) {
  if (segments_.empty() || request.from >= request.below) return ReadSlice{};
  for (size_t i = segment_of(request.from); i < segments_.size(); ++i) {
    Segment& segment = *segments_[i];
    if (segment.base_offset() >= request.below) break;
    std::optional<size_t> first_batch;
    ASSIGN_OR_RETURN(uint64_t begin, position_of(segment, request.from, &first_batch));
    if (!first_batch) continue;  // nothing from there on: the next segment has it
    uint64_t end = segment.size();
    const bool bounded =
        request.below < log_end_ &&
        (i + 1 == segments_.size() || request.below < segments_[i + 1]->base_offset());
    if (bounded) {
      ASSIGN_OR_RETURN(end, position_of(segment, request.below, nullptr));
    }
    end = std::min(end, segment.size());
    if (const DamagedRange* damage = segment.damage_behind(begin))
      end = std::min(end, damage->position);
    if (end < begin || segment.size() - begin < *first_batch)
      return fail(Errc::kCorrupt, fmt::format("{}.log: the batch at {} is longer than the file",
                                              segment.path(), begin));
    size_t length = static_cast<size_t>(std::min<uint64_t>(end - begin, request.max_bytes));
    if (length < *first_batch) length = request.at_least_one ? *first_batch : 0;
    ASSIGN_OR_RETURN(auto file, segment.file());
    return ReadSlice{.file = file, .position = begin, .length = length};
  }
  return ReadSlice{};
}

uint64_t Log::size_in_bytes() const {
  uint64_t total = 0;
  for (const auto& segment : segments_) total += segment->size();
  return total;
}

Result<std::optional<TimestampedOffset>> Log::offset_for_timestamp(TimestampMs target) {
  std::optional<TimestampedOffset> found;
  record::ReadScratch scratch;
  for (const auto& segment : segments_) {
    ASSIGN_OR_RETURN(uint64_t begin, segment->scan_position(target));
    auto visit = [&](const record::BatchHeader& header, ByteView bytes, uint64_t) {
      if (header.max_timestamp < target || header.last_offset() < log_start_) return true;
      auto batch = *record::BatchView::parse(bytes);
      auto reader = record::RecordReader::open(batch, scratch, 1 << 30);
      record::RecordView record;
      while (reader && reader->next(record).value_or(false))
        if (record.timestamp >= target && record.offset >= log_start_) {
          found = TimestampedOffset{record.offset, record.timestamp};
          return false;
        }
      return true;
    };
    RETURN_IF_ERROR(segment->scan(begin, visit));
    if (found) break;
  }
  return found;
}

Result<std::optional<TimestampedOffset>> Log::max_timestamp() {
  std::optional<TimestampedOffset> best;
  for (const auto& segment : segments_)
    RETURN_IF_ERROR(segment->scan(0, [&](const record::BatchHeader& header, ByteView, uint64_t) {
      // An empty batch keeps the timestamp of records that are gone.
      if (header.last_offset() >= log_start_ && header.max_timestamp != kNoTimestamp &&
          header.record_count != 0 && (!best || header.max_timestamp > best->timestamp))
        best = TimestampedOffset{header.last_offset(), header.max_timestamp};
      return true;
    }));
  if (!best) return best;
  return offset_for_timestamp(best->timestamp);
}

LeaderEpoch Log::latest_epoch() const {
  return epochs_.empty() ? kNoLeaderEpoch : epochs_.back().epoch;
}

EpochStart Log::end_of_epoch(LeaderEpoch epoch) const {
  if (epochs_.empty() || epoch > latest_epoch()) return {kNoLeaderEpoch, record::kNoOffset};
  if (epoch == latest_epoch()) return {epoch, log_end_};
  auto after = std::ranges::upper_bound(epochs_, epoch, {}, &EpochStart::epoch);
  if (after == epochs_.begin()) return {epoch, after->start};
  return {std::prev(after)->epoch, after->start};
}

LeaderEpoch Log::epoch_of(Offset offset) const { return storage::epoch_of(epochs_, offset); }

Result<> Log::assign_epoch(LeaderEpoch epoch, Offset start) {
  if (epoch <= latest_epoch()) return {};
  epochs_.push_back({epoch, start});
  return write_epochs();
}

Result<> Log::write_epochs() {
  if (!disk_->exists(directory_)) return {};
  return env::write_file_atomically(*disk_, directory_ + "/leader-epoch-checkpoint",
                                    as_bytes(print_epoch_checkpoint(epochs_)));
}

Result<> Log::write_producer_snapshot() {
  if (log_end_ == Offset(0)) return {};
  return env::write_file_atomically(
      *disk_, directory_ + "/" + segment_file_name(log_end_) + ".snapshot", producers_->snapshot());
}

// They tell of records that were cut off.
Result<> Log::remove_snapshots_behind(Offset offset) {
  if (!disk_->exists(directory_)) return {};
  ASSIGN_OR_RETURN(auto entries, disk_->list(directory_));
  for (const auto& entry : entries)
    if (auto at = offset_in_file_name(entry.name, ".snapshot"); at && *at > offset)
      RETURN_IF_ERROR(disk_->remove(directory_ + "/" + entry.name));
  return {};
}

Unsynced Log::take_unsynced() {
  return {.files = std::exchange(unsynced_, {}),
          .directory = std::exchange(directory_unsynced_, false),
          .log_end = log_end_,
          .appended_bytes = appended_bytes_,
          .cuts = cuts_};
}

Result<bool> Log::should_delete(size_t index, TimestampMs now, uint64_t total) const {
  Segment& segment = *segments_[index];
  const bool is_last = index + 1 == segments_.size();
  if (!is_last && segments_[index + 1]->base_offset() <= log_start_) return true;
  if (!options_->delete_old) return false;
  // Compaction left nothing of it: it goes with what stands behind it.
  if (segment.size() == 0) return is_last ? false : should_delete(index + 1, now, total);
  ASSIGN_OR_RETURN(const TimestampMs newest, segment.largest_timestamp());
  if (options_->retention_ms >= 0 && newest != kNoTimestamp &&
      now - newest > options_->retention_ms)
    // An index is a hint; what is deleted for its age is old by its own word.
    return segment.is_all_older_than(now - options_->retention_ms);
  return options_->retention_bytes >= 0 &&
         total - segment.size() >= static_cast<uint64_t>(options_->retention_bytes);
}

Result<std::vector<std::string>> Log::delete_old_segments(Offset limit, TimestampMs now) {
  std::vector<std::string> files;
  while (segments_.size() > 1 || (!segments_.empty() && segments_.front()->size() > 0)) {
    const Offset end = segments_.size() > 1 ? segments_[1]->base_offset() : log_end_;
    if (end > limit) break;
    ASSIGN_OR_RETURN(bool goes, should_delete(0, now, size_in_bytes()));
    if (!goes) break;
    RETURN_IF_ERROR(settle_swap());
    if (segments_.size() == 1) RETURN_IF_ERROR(roll(log_end_));
    ASSIGN_OR_RETURN(auto renamed, mark_deleted(*segments_.front()));
    files.insert(files.end(), renamed.begin(), renamed.end());
    segments_.erase(segments_.begin());
    changed_ = true;
    log_start_ = std::max(log_start_, end);
  }
  return files;
}

Result<std::vector<std::string>> Log::mark_deleted(Segment& segment) {
  RETURN_IF_ERROR(forget_damage(segment, 0));
  return segment.mark_deleted();
}

Result<> Log::truncate_to(Offset offset) {
  // Epochs that began there and have no records go even when nothing is cut (KAFKA-10706).
  const bool stale = std::erase_if(epochs_, [&](const EpochStart& e) { return e.start >= offset; });
  if (offset >= log_end_) return stale ? write_epochs() : Result<>{};
  RETURN_IF_ERROR(settle_swap());
  if (cleaned_to_) cleaned_to_ = std::min(*cleaned_to_, offset);
  changed_ = true;
  ++cuts_;
  while (segments_.size() > 1 && segments_.back()->base_offset() >= offset) {
    RETURN_IF_ERROR(mark_deleted(*segments_.back()));
    segments_.pop_back();
  }
  Segment& segment = *active();
  ASSIGN_OR_RETURN(uint64_t cut, position_of(segment, offset, nullptr));
  RETURN_IF_ERROR(forget_damage(segment, cut));
  RETURN_IF_ERROR(segment.truncate(cut));
  producers_.reset();
  aborted_.truncate(segment.base_offset());
  RETURN_IF_ERROR(remove_snapshots_behind(offset));
  RETURN_IF_ERROR(restore_producers(segments_.size() - 1));
  log_end_ = segment.base_offset();
  RETURN_IF_ERROR(recover_segment(segment, {offset, offset}));
  std::erase_if(epochs_, [&](const EpochStart& each) { return each.start >= log_end_; });
  recovery_point_ = std::min(recovery_point_, log_end_);
  ASSIGN_OR_RETURN(auto file, segment.file());
  unsynced_.push_back(std::move(file));
  directory_unsynced_ = true;
  return write_epochs();
}

void Log::lower_recovery_point(Offset offset) {
  recovery_point_ = std::min(recovery_point_, offset);
  if (cleaned_to_) cleaned_to_ = std::min(*cleaned_to_, offset);
}

Result<> Log::start_over_at(Offset offset) {
  RETURN_IF_ERROR(settle_swap());
  cleaned_to_.reset();
  for (const auto& segment : segments_) RETURN_IF_ERROR(mark_deleted(*segment));
  segments_.clear();
  epochs_.clear();
  producers_.reset();
  aborted_.truncate(Offset(0));
  RETURN_IF_ERROR(remove_snapshots_behind(Offset(-1)));
  unsynced_.clear();
  ++cuts_;
  changed_ = true;
  log_start_ = log_end_ = recovery_point_ = offset;
  return write_epochs();
}

void Log::moved_to(const std::string& directory) {
  directory_ = directory;
  for (const auto& segment : segments_) segment->moved_to(directory);
}

std::string Log::file_of(Offset offset) const {
  const Offset base = segments_.empty() ? offset : segments_[segment_of(offset)]->base_offset();
  return directory_ + "/" + segment_file_name(base) + ".log";
}

Result<> Log::close() {
  RETURN_IF_ERROR(settle_swap());
  if (segments_.empty() || !changed_) return {};
  ASSIGN_OR_RETURN(auto indexes, active()->write_indexes());
  for (const auto& file : indexes) RETURN_IF_ERROR(file->sync());
  RETURN_IF_ERROR(write_transaction_index(*active()));
  for (const auto& file : take_unsynced().files) RETURN_IF_ERROR(file->sync());
  RETURN_IF_ERROR(write_producer_snapshot());
  RETURN_IF_ERROR(write_epochs());
  RETURN_IF_ERROR(disk_->sync_directory(directory_));
  recovery_point_ = log_end_;
  changed_ = false;
  return {};
}

Result<> Log::replay(const Segment::Visit& visit) {
  Result<> outcome;
  bool goes_on = true;
  const auto check = [&](const record::BatchHeader& header, ByteView batch, uint64_t position) {
    if (record::BatchView::parse(batch)->verify_crc())
      return goes_on = visit(header, batch, position);
    outcome = fail(Errc::kCorrupt,
                   fmt::format("{} at {}: the batch at offset {} has a wrong "
                               "checksum",
                               file_of(header.base_offset), position, header.base_offset));
    return goes_on = false;
  };
  if (is_damaged())
    return fail(Errc::kCorrupt, fmt::format("{} is damaged, {}", file_of(damage().front().from),
                                            damage().front().to_string()));
  for (size_t i = 0; goes_on && i < segments_.size(); ++i)
    RETURN_IF_ERROR(segments_[i]->scan(0, check));
  return outcome;
}

}  // namespace millrace::storage
