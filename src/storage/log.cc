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

// Of the log's end, in which the last batches of producers that were at work are looked for.
constexpr uint64_t kProducerTailBytes = 128 * 1024;

constexpr size_t kMaxControlBatch = 1 << 20;

std::optional<int64_t> digits_before(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix) || name.size() != 20 + suffix.size()) return std::nullopt;
  int64_t value = 0;
  for (char c : name.substr(0, 20)) {
    if (c < '0' || c > '9' || value > INT64_MAX / 10 - 1) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

Result<std::unique_ptr<Log>> Log::open(env::Disk& disk, const std::string& directory,
                                       const LogOptions& options, const LogRecovery& recovery) {
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

Result<> Log::load(const LogRecovery& recovery) {
  log_start_ = log_end_ = recovery_point_ = recovery.log_start;
  if (!recovery.may_exist || !disk_->exists(directory_)) return {};
  ASSIGN_OR_RETURN(auto entries, disk_->list(directory_));
  for (const auto& entry : entries) {
    if (entry.name.ends_with(".deleted") || entry.name.ends_with(".cleaned")) {
      RETURN_IF_ERROR(disk_->remove(directory_ + "/" + entry.name));
    } else if (auto base = digits_before(entry.name, ".log")) {
      segments_.push_back(std::make_unique<Segment>(*disk_, directory_, Offset(*base)));
      segments_.back()->set_size(entry.size);
    }
  }
  RETURN_IF_ERROR(load_epochs());
  if (segments_.empty()) return {};
  log_start_ = std::max(recovery.log_start, segments_.front()->base_offset());
  log_end_ = segments_.back()->base_offset();
  if (recovery.clean) {
    ASSIGN_OR_RETURN(bool resumed, resume());
    if (resumed) return {};
  }
  changed_ = true;
  const size_t first = recovery.clean ? segments_.size() - 1
                                      : segment_of(std::max(recovery.recovery_point, log_start_));
  RETURN_IF_ERROR(restore_producers(first));
  if (first > 0) RETURN_IF_ERROR(complete_producers(*segments_[first - 1]));
  load_transaction_indexes(first);
  if (recovery.clean) return scan_active();
  return recover_from(first, recovery.recovery_point);
}

Result<> Log::load_epochs() {
  auto text = env::read_file(*disk_, directory_ + "/leader-epoch-checkpoint");
  if (!text) return {};
  auto epochs = parse_epoch_checkpoint(as_text(*text));
  if (epochs)
    epochs_ = std::move(*epochs);
  else
    LOG_WARN("{}: leader-epoch-checkpoint: {}; it is rebuilt", directory_, epochs.error().message);
  return {};
}

// After a clean stop: indexes, snapshot and checkpoints say it all. False: one of them is not there
// or does not fit, and the active segment is scanned.
Result<bool> Log::resume() {
  if (epochs_.empty()) return false;
  ASSIGN_OR_RETURN(auto end, active()->resume(options_.index_interval_bytes));
  if (!end) return false;
  ASSIGN_OR_RETURN(bool restored, restore_producers_at(*end));
  if (!restored) return false;
  RETURN_IF_ERROR(complete_producers(*active()));
  load_transaction_indexes(segments_.size());
  log_end_ = recovery_point_ = *end;
  return true;
}

Result<bool> Log::restore_producers_at(Offset offset) {
  auto bytes = env::read_file(*disk_, directory_ + "/" + segment_file_name(offset) + ".snapshot");
  if (!bytes) return false;
  auto state = ProducerState::parse_snapshot(*bytes);
  if (!state) return false;
  producers_ = std::move(*state);
  return true;
}

// The newest snapshot at or below the base of the first segment that is scanned; what follows it is
// replayed by that scan.
// `last` is the segment that ends where the snapshot was taken.
Result<> Log::complete_producers(Segment& last) {
  if (producers_.producers().empty()) return {};
  ASSIGN_OR_RETURN(uint64_t from, last.tail_position(kProducerTailBytes));
  ProducerState recent;
  RETURN_IF_ERROR(last.scan(from, [&](const record::BatchHeader& header, ByteView, uint64_t) {
    if (header.has_producer_id() && !header.attributes.control())
      recent.update(header, header.max_timestamp);
    return true;
  }));
  producers_.complete_from(recent);
  return {};
}

// The state at the beginning of segment `first`: the newest snapshot up to there, and the batches
// behind it, for a snapshot may be missing (it was not written, for want of space, or is broken).
Result<> Log::restore_producers(size_t first) {
  Offset known = segments_.front()->base_offset();
  ASSIGN_OR_RETURN(auto entries, disk_->list(directory_));
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    auto offset = digits_before(entry->name, ".snapshot");
    if (!offset || Offset(*offset) > segments_[first]->base_offset()) continue;
    ASSIGN_OR_RETURN(bool restored, restore_producers_at(Offset(*offset)));
    if (restored) {
      known = std::max(known, Offset(*offset));
      break;
    }
    LOG_WARN("{}/{} cannot be read; an older one is taken", directory_, entry->name);
  }
  const auto visit = [&](const record::BatchHeader& header, ByteView batch, uint64_t) {
    if (header.base_offset >= known) note_batch(header, batch, header.max_timestamp);
    return true;
  };
  for (size_t i = segment_of(known); i < first; ++i) {
    ASSIGN_OR_RETURN(uint64_t walked, segments_[i]->walk_headers(Offset(INT64_MAX), visit));
    if (walked != segments_[i]->size())
      return fail(Errc::kCorrupt,
                  fmt::format("{}.log at {}: no batch", segments_[i]->path(), walked));
  }
  return {};
}

// Of the segments that are not scanned anew.
void Log::load_transaction_indexes(size_t segment_count) {
  for (size_t i = 0; i < segment_count; ++i) {
    auto bytes = env::read_file(*disk_, segments_[i]->path() + ".txnindex");
    if (!bytes) continue;
    if (auto parsed = aborted_.parse(*bytes); !parsed)
      LOG_WARN("{}.txnindex: {}", segments_[i]->path(), parsed.error().message);
  }
}

Result<> Log::write_transaction_index(const Segment& segment) {
  const ByteBuffer bytes = aborted_.print({.from = segment.base_offset(), .below = log_end_});
  if (bytes.empty()) return {};
  return env::write_file_atomically(*disk_, segment.path() + ".txnindex", bytes);
}

// Clean stop, but what it left is not whole: the active segment is walked, to learn the log end and
// the producers since its base.
Result<> Log::scan_active() {
  Segment& segment = *active();
  const uint64_t listed = segment.size();
  segment.forget_indexes();
  segment.set_size(listed);
  std::vector<record::BatchHeader> headers;
  Segment fresh(*disk_, directory_, segment.base_offset());
  fresh.set_size(listed);
  log_end_ = segment.base_offset();
  bool ascends = true;
  RETURN_IF_ERROR(fresh.scan(0, [&](const record::BatchHeader& header, ByteView batch, uint64_t) {
    ascends = header.base_offset >= log_end_;
    if (!ascends) return false;
    headers.push_back(header);
    note_batch(header, batch, header.max_timestamp);
    log_end_ = header.next_offset();
    return true;
  }));
  if (!ascends)
    return fail(Errc::kCorrupt,
                fmt::format("{}.log: offsets do not ascend behind {}", segment.path(), log_end_));
  segment.forget_indexes();
  for (const auto& header : headers) segment.note_appended(header, options_.index_interval_bytes);
  recovery_point_ = log_end_;
  return {};
}

Result<> Log::recover_from(size_t first, Offset trusted_below) {
  log_end_ = segments_[first]->base_offset();
  for (size_t i = first; i < segments_.size(); ++i) {
    ASSIGN_OR_RETURN(bool whole, recover_segment(*segments_[i], trusted_below));
    if (whole) continue;
    PROBE("log.recovery_cuts_tail");
    for (size_t gone = i + 1; gone < segments_.size(); ++gone) {
      LOG_WARN("{}.log lies behind a cut and is removed", segments_[gone]->path());
      RETURN_IF_ERROR(segments_[gone]->mark_deleted());
    }
    segments_.resize(i + 1);
  }
  recovery_point_ = std::min(std::max(trusted_below, log_start_), log_end_);
  std::erase_if(epochs_, [&](const EpochStart& each) { return each.start > log_end_; });
  for (const auto& each : segments_)
    if (auto file = each->file(); file && &each >= &segments_[first]) unsynced_.push_back(*file);
  directory_unsynced_ = true;
  return {};
}

// Walks one segment, checks every batch at or behind `trusted_below`, rebuilds its indexes. False:
// a tail was cut off.
Result<bool> Log::recover_segment(Segment& segment, Offset trusted_below) {
  const uint64_t listed = segment.size();
  Segment source(*disk_, directory_, segment.base_offset());
  source.set_size(listed);
  segment.forget_indexes();
  Offset next = segment.base_offset();
  const auto visit = [&](const record::BatchHeader& header, ByteView bytes, uint64_t) {
    if (header.base_offset < next) return false;
    if (header.last_offset() >= trusted_below && !record::BatchView::parse(bytes)->verify_crc())
      return false;
    next = header.next_offset();
    segment.note_appended(header, options_.index_interval_bytes);
    note_batch(header, bytes, header.max_timestamp);
    return true;
  };
  ASSIGN_OR_RETURN(uint64_t trusted, source.walk_headers(trusted_below, visit));
  auto end = source.scan(trusted, visit);
  if (!end && end.error().code != Errc::kCorrupt) return std::unexpected(std::move(end).error());
  const uint64_t valid = segment.size();
  log_end_ = std::max(log_end_, next);
  if (valid == listed) return true;
  if (next < trusted_below)
    return fail(
        Errc::kCorrupt,
        fmt::format("{}.log is damaged at byte {} (offset {}), below the recovery point {}: "
                    "this data was synced, so the medium lost it; nothing is cut",
                    segment.path(), valid, next, trusted_below));
  LOG_WARN("{}.log: cut from {} to {} bytes, the end of the last whole batch (offset {})",
           segment.path(), listed, valid, next);
  RETURN_IF_ERROR(segment.truncate(valid));
  return false;
}

void Log::note_batch(const record::BatchHeader& header, ByteView batch, TimestampMs now) {
  if (header.leader_epoch > latest_epoch() && header.leader_epoch.value() >= 0)
    epochs_.push_back({header.leader_epoch, header.base_offset});
  if (!header.has_producer_id()) return;
  if (!header.attributes.control()) return producers_.update(header, now);
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
  auto producer = producers_.producers().find(header.producer_id);
  const bool aborts =
      marker.key && record::parse_control_key(*marker.key) == record::ControlType::kAbort;
  if (aborts && producer != producers_.producers().end() && producer->second.transaction_start) {
    const Offset first = *producer->second.transaction_start;
    const auto unstable = producers_.first_unstable_offset();
    aborted_.add({.producer_id = header.producer_id,
                  .first_offset = first,
                  .last_offset = header.last_offset(),
                  .last_stable_offset = unstable ? *unstable : header.last_offset()});
  }
  producers_.end_transaction(header, known ? load_big<int32_t>(marker.value->data() + 2) : -1);
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
  auto next = std::make_unique<Segment>(*disk_, directory_, base_offset);
  RETURN_IF_ERROR(next->create());
  if (Segment* sealed = active()) {
    ASSIGN_OR_RETURN(auto indexes, sealed->seal());
    std::ranges::move(indexes, std::back_inserter(unsynced_));
    RETURN_IF_ERROR(write_transaction_index(*sealed));
    RETURN_IF_ERROR(write_producer_snapshot());
  }
  segments_.push_back(std::move(next));
  active_since_ = kNoTimestamp;
  directory_unsynced_ = true;
  changed_ = true;
  return {};
}

Result<> Log::roll_if_needed(const record::BatchHeader& next, size_t bytes, TimestampMs now) {
  Segment* segment = active();
  if (segment == nullptr) return roll(log_end_);
  if (segment->size() == 0) return {};
  // A segment's age is told by its records, so that old ones from elsewhere are not alone in
  // theirs.
  const bool dated = segment->first_timestamp() != kNoTimestamp;
  const TimestampMs since = dated ? segment->first_timestamp() : active_since_;
  const TimestampMs until = dated ? next.max_timestamp : now;
  const bool full = segment->size() + bytes > options_.segment_bytes;
  const bool old = since != kNoTimestamp && until - since > options_.segment_ms;
  const bool far = log_end_ + next.last_offset_delta - segment->base_offset() > INT32_MAX;
  if (!full && !old && !far && !segment->index_is_full(options_.max_index_bytes)) return {};
  return roll(log_end_);
}

Result<Offset> Log::append(std::span<const MutableByteView> batches, LeaderEpoch epoch,
                           TimestampMs now) {
  ASSERT(!batches.empty());
  size_t bytes = 0;
  for (MutableByteView batch : batches) bytes += batch.size();
  RETURN_IF_ERROR(roll_if_needed(record::BatchView::parse(batches[0])->header(), bytes, now));
  RETURN_IF_ERROR(assign_epoch(epoch, log_end_));
  Segment& segment = *active();
  const Offset base = log_end_;
  Offset next = base;
  std::vector<ByteView> pieces;
  for (MutableByteView batch : batches) {
    record::patch_base_offset(batch, next);
    record::patch_leader_epoch(batch, epoch);
    next = record::BatchView::parse(batch)->next_offset();
    pieces.push_back(batch);
  }
  if (auto written = segment.write(pieces); !written) {
    PROBE("log.append_failed");
    (void)segment.truncate(segment.size());  // what was written in part must not be found later
    return std::unexpected(std::move(written).error());
  }
  for (MutableByteView batch : batches) {
    const record::BatchHeader header = record::BatchView::parse(batch)->header();
    segment.note_appended(header, options_.index_interval_bytes);
    note_batch(header, batch, now);
  }
  if (active_since_ == kNoTimestamp) active_since_ = now;
  log_end_ = next;
  appended_bytes_ += bytes;
  changed_ = true;
  ASSIGN_OR_RETURN(auto file, segment.file());
  if (unsynced_.empty() || unsynced_.back() != file) unsynced_.push_back(file);
  return base;
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
  if (auto known = segment.indexed_batch(offset)) {
    if (batch_size) *batch_size = known->size;
    return known->position;
  }
  ASSIGN_OR_RETURN(uint64_t position, segment.scan_position(offset));
  ASSIGN_OR_RETURN(auto file, segment.file());
  uint8_t bytes[record::kBatchHeaderSize];
  while (position < segment.size()) {
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
      if (header.last_offset() >= log_start_ && header.max_timestamp != kNoTimestamp &&
          (!best || header.max_timestamp > best->timestamp))
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

LeaderEpoch Log::epoch_of(Offset offset) const {
  auto after = std::ranges::upper_bound(epochs_, offset, {}, &EpochStart::start);
  return after == epochs_.begin() ? kNoLeaderEpoch : std::prev(after)->epoch;
}

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
      *disk_, directory_ + "/" + segment_file_name(log_end_) + ".snapshot", producers_.snapshot());
}

Unsynced Log::take_unsynced() {
  return {.files = std::exchange(unsynced_, {}),
          .directory = std::exchange(directory_unsynced_, false),
          .log_end = log_end_,
          .appended_bytes = appended_bytes_};
}

Result<bool> Log::should_delete(Segment& segment, TimestampMs now, uint64_t total) const {
  if (&segment != segments_.back().get() && segments_[1]->base_offset() <= log_start_) return true;
  if (!options_.delete_old) return false;
  ASSIGN_OR_RETURN(const TimestampMs newest, segment.largest_timestamp());
  if (options_.retention_ms >= 0 && newest != kNoTimestamp && now - newest > options_.retention_ms)
    // An index is a hint; what is deleted for its age is old by its own word.
    return segment.is_all_older_than(now - options_.retention_ms);
  return options_.retention_bytes >= 0 &&
         total - segment.size() >= static_cast<uint64_t>(options_.retention_bytes);
}

Result<std::vector<std::string>> Log::delete_old_segments(Offset limit, TimestampMs now) {
  std::vector<std::string> files;
  while (!segments_.empty() && segments_.front()->size() > 0) {
    const Offset end = segments_.size() > 1 ? segments_[1]->base_offset() : log_end_;
    if (end > limit) break;
    ASSIGN_OR_RETURN(bool goes, should_delete(*segments_.front(), now, size_in_bytes()));
    if (!goes) break;
    if (segments_.size() == 1) RETURN_IF_ERROR(roll(log_end_));
    ASSIGN_OR_RETURN(auto renamed, segments_.front()->mark_deleted());
    files.insert(files.end(), renamed.begin(), renamed.end());
    segments_.erase(segments_.begin());
    changed_ = true;
    log_start_ = std::max(log_start_, end);
  }
  return files;
}

Result<> Log::truncate_to(Offset offset) {
  if (offset >= log_end_) return {};
  changed_ = true;
  while (segments_.size() > 1 && segments_.back()->base_offset() >= offset) {
    RETURN_IF_ERROR(segments_.back()->mark_deleted());
    segments_.pop_back();
  }
  Segment& segment = *active();
  ASSIGN_OR_RETURN(uint64_t cut, position_of(segment, offset, nullptr));
  RETURN_IF_ERROR(segment.truncate(cut));
  producers_.clear();
  aborted_.truncate(segment.base_offset());
  RETURN_IF_ERROR(restore_producers(segments_.size() - 1));
  log_end_ = segment.base_offset();
  RETURN_IF_ERROR(recover_segment(segment, log_start_));
  std::erase_if(epochs_, [&](const EpochStart& each) { return each.start >= log_end_; });
  recovery_point_ = std::min(recovery_point_, log_end_);
  return write_epochs();
}

Result<> Log::start_over_at(Offset offset) {
  for (const auto& segment : segments_) RETURN_IF_ERROR(segment->mark_deleted());
  segments_.clear();
  epochs_.clear();
  producers_.clear();
  aborted_.truncate(Offset(0));
  unsynced_.clear();
  log_start_ = log_end_ = recovery_point_ = offset;
  return write_epochs();
}

std::string Log::file_of(Offset offset) const {
  const Offset base = segments_.empty() ? offset : segments_[segment_of(offset)]->base_offset();
  return directory_ + "/" + segment_file_name(base) + ".log";
}

Result<> Log::close() {
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
  for (size_t i = 0; goes_on && i < segments_.size(); ++i)
    RETURN_IF_ERROR(segments_[i]->scan(0, check));
  return outcome;
}

}  // namespace millrace::storage
