#include "storage/log_cleaner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "base/probe.h"

namespace millrace::storage {
namespace {

constexpr uint64_t kSyncBytes = 32 << 20;  // at once, so that the last sync has little to write

// As many slots as the memory has room for, but no more than there can be keys.
size_t slots_for(const CompactionPlan& plan, const CleanerLimits& limits) {
  const auto room = static_cast<size_t>(limits.map_bytes / OffsetMap::kSlotBytes);
  const auto most_keys = static_cast<double>(plan.first_uncleanable - plan.first_dirty);
  const double wanted = std::ceil(most_keys / limits.load_factor) + 1;
  return wanted < static_cast<double>(room) ? static_cast<size_t>(wanted) : room;
}

std::vector<AbortedTransaction> aborted_from(const CompactionPlan& plan, Offset offset) {
  auto aborted = plan.aborted;
  std::erase_if(aborted, [&](const AbortedTransaction& t) { return t.last_offset < offset; });
  return aborted;
}

}  // namespace

LogCleaner::LogCleaner(env::Disk& disk, CompactionPlan plan, const CleanerLimits& limits)
    : disk_(&disk),
      plan_(std::move(plan)),
      limits_(limits),
      in_(limits.io_bytes),
      map_(slots_for(plan_, limits), limits.key) {
  most_keys_ = static_cast<size_t>(static_cast<double>(map_.slots()) * limits_.load_factor);
  map_transactions_.emplace(aborted_from(plan_, plan_.first_dirty));
  while (mapped_ < plan_.sources.size() && plan_.sources[mapped_].end <= plan_.first_dirty)
    ++mapped_;
}

Result<std::unique_ptr<LogCleaner>> LogCleaner::open(env::Disk& disk, CompactionPlan plan,
                                                     const CleanerLimits& limits) {
  if (static_cast<double>(limits.map_bytes / OffsetMap::kSlotBytes) * limits.load_factor <= 1)
    return fail(Errc::kInvalid,
                fmt::format("a map of {} bytes is too small for one key", limits.map_bytes));
  return std::unique_ptr<LogCleaner>(new LogCleaner(disk, std::move(plan), limits));
}

Result<LogCleaner::State> LogCleaner::step() {
  ASSERT(state_ != State::kGroupCleaned && state_ != State::kDone);
  ASSIGN_OR_RETURN(state_, state_ == State::kMapping ? map_piece() : clean_piece());
  return state_;
}

Result<> LogCleaner::begin_reading(const CompactionSource& source, uint64_t position) {
  reading_ = {.source = &source, .file = nullptr, .position = position, .next = source.base};
  if (source.size == 0) return {};
  ASSIGN_OR_RETURN(reading_.file, disk_->open(source.path + ".log", env::OpenMode::kRead));
  return {};
}

std::unexpected<Error> LogCleaner::doubted(std::string_view what) {
  doubt_ = reading_.next;
  return fail(Errc::kCorrupt,
              fmt::format("{}.log at {}: {}", reading_.source->path, reading_.position, what));
}

Result<ByteView> LogCleaner::read_piece() {
  in_.resize(limits_.io_bytes);
  for (;;) {
    const uint64_t left = reading_.source->size - reading_.position;
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(in_.size(), left));
    ASSIGN_OR_RETURN(const size_t got,
                     reading_.file->read_at(MutableByteView(in_).first(wanted), reading_.position));
    statistics_.bytes_read += got;
    const ByteView bytes = ByteView(in_).first(got);
    const auto header = record::peek_header(bytes);
    if (!header || !*header) return doubted("no batch");
    const auto size = static_cast<uint64_t>((*header)->size_in_bytes());
    if (size > left) return doubted("half a batch");
    if (size <= got) return bytes;
    in_.resize(static_cast<size_t>(size));
  }
}

// What rotted must not get a new checksum.
Result<> LogCleaner::look_at(const record::BatchView& batch) {
  if (!batch.verify_crc()) return doubted("a wrong checksum");
  const bool fits = batch.base_offset() >= reading_.next &&
                    batch.last_offset() >= batch.base_offset() &&
                    batch.next_offset() <= reading_.source->end;
  if (!fits) return doubted("an offset that cannot be there");
  reading_.next = batch.next_offset();
  return {};
}

Result<bool> LogCleaner::map_batch(const record::BatchView& batch) {
  const record::BatchHeader& header = batch.header();
  if (header.is_legacy())
    return fail(Errc::kUnsupported, "messages of magic 0 and 1 are not compacted");
  if (header.attributes.control()) {
    ASSIGN_OR_RETURN(const auto type, control_type(batch, scratch_));
    (void)map_transactions_->on_control_batch(header, type);
    return true;
  }
  if (map_transactions_->on_batch(header) || header.last_offset() < plan_.first_dirty) return true;
  ASSIGN_OR_RETURN(auto reader,
                   record::RecordReader::open(batch, scratch_, BatchFilter::kMaxUnpacked));
  record::RecordView record;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.next(record));
    if (!more) return true;
    if (!record.key || record.offset < plan_.first_dirty) continue;
    if (map_.size() >= most_keys_) return false;
    map_.put(*record.key, record.offset);
    map_end_ = record.offset + 1;
  }
}

Result<LogCleaner::State> LogCleaner::map_piece() {
  if (mapped_ >= plan_.sources.size()) {
    RETURN_IF_ERROR(begin_cleaning());
    return groups_.empty() ? State::kDone : State::kCleaning;
  }
  const CompactionSource& source = plan_.sources[mapped_];
  if (reading_.source != &source)
    RETURN_IF_ERROR(
        begin_reading(source, source.base <= plan_.first_dirty ? plan_.dirty_position : 0));
  if (reading_.position >= source.size) {
    map_end_ = source.end;  // offsets that are missing belong to it too
    ++mapped_;
    return State::kMapping;
  }
  const uint64_t before = statistics_.bytes_read;
  ASSIGN_OR_RETURN(const ByteView bytes, read_piece());
  statistics_.map_bytes_read += statistics_.bytes_read - before;
  record::BatchIterator batches(bytes);
  const uint64_t begin = reading_.position;
  for (;;) {
    auto batch = batches.next();
    if (!batch) return doubted(batch.error().message);
    if (!*batch) return State::kMapping;
    RETURN_IF_ERROR(look_at(**batch));
    ASSIGN_OR_RETURN(const bool has_room, map_batch(**batch));
    if (!has_room) {
      PROBE("cleaner.map_full");
      mapped_ = plan_.sources.size();
      return State::kMapping;
    }
    if ((*batch)->last_offset() >= plan_.first_dirty) map_end_ = (*batch)->next_offset();
    reading_.position = begin + batches.position();
  }
}

// Of files that are not there: 0.
Result<std::vector<SegmentSizes>> LogCleaner::sizes_of_sources() {
  ASSIGN_OR_RETURN(const auto entries, disk_->list(plan_.directory));
  std::map<Offset, uint64_t> indexes, time_indexes;
  for (const auto& entry : entries) {
    if (auto base = offset_in_file_name(entry.name, ".index")) indexes[*base] = entry.size;
    if (auto base = offset_in_file_name(entry.name, ".timeindex")) time_indexes[*base] = entry.size;
    if (auto base = offset_in_file_name(entry.name, ".txnindex")) has_transactions_.insert(*base);
  }
  std::vector<SegmentSizes> sizes;
  for (const CompactionSource& source : plan_.sources)
    sizes.push_back({.log = source.size,
                     .index = indexes[source.base],
                     .time_index = time_indexes[source.base]});
  return sizes;
}

Result<> LogCleaner::begin_cleaning() {
  statistics_.keys = map_.size();
  statistics_.map_used = static_cast<double>(map_.size() * OffsetMap::kSlotBytes) /
                         static_cast<double>(limits_.map_bytes);
  reading_ = {};
  std::erase_if(plan_.sources,
                [&](const CompactionSource& source) { return source.base >= map_end_; });
  if (plan_.sources.empty()) return {};
  ASSIGN_OR_RETURN(const auto sizes, sizes_of_sources());
  groups_ = group_segments(plan_.sources, sizes,
                           {.segment_bytes = plan_.options.segment_bytes,
                            .index_bytes = plan_.options.max_index_bytes,
                            .end = plan_.first_uncleanable});
  filter_.emplace(BatchFilter::Rules{.map = &map_,
                                     .map_end = map_end_,
                                     .round_end = plan_.first_uncleanable,
                                     .now = plan_.now,
                                     .delete_retention_ms = plan_.options.delete_retention_ms,
                                     .producers = &plan_.producers},
                  CleanedTransactions(plan_.aborted));
  return {};
}

Result<> LogCleaner::begin_group() {
  group_.end = group_.next + groups_[next_group_++];
  group_.writes_transactions = false;
  for (size_t i = group_.next; i < group_.end; ++i)
    group_.writes_transactions |= has_transactions_.contains(plan_.sources[i].base);
  group_.cleaned = std::make_unique<Segment>(*disk_, plan_.directory,
                                             plan_.sources[group_.next].base, kCleanedSuffix);
  return group_.cleaned->create();
}

Result<LogCleaner::State> LogCleaner::clean_piece() {
  if (!group_.cleaned) RETURN_IF_ERROR(begin_group());
  const CompactionSource& source = plan_.sources[group_.next];
  if (reading_.source != &source) RETURN_IF_ERROR(begin_reading(source, 0));
  if (reading_.position >= source.size) {
    if (++group_.next < group_.end) return State::kCleaning;
    RETURN_IF_ERROR(finish_group());
    return State::kGroupCleaned;
  }
  ASSIGN_OR_RETURN(const ByteView bytes, read_piece());
  record::BatchIterator batches(bytes);
  const uint64_t begin = reading_.position;
  for (;;) {
    auto batch = batches.next();
    if (!batch) return doubted(batch.error().message);
    if (!*batch) break;
    RETURN_IF_ERROR(look_at(**batch));
    if (auto kept = filter_->filter(**batch, out_); !kept) {
      if (kept.error().code == Errc::kCorrupt) doubt_ = (*batch)->base_offset();
      return std::unexpected(std::move(kept).error());
    }
    reading_.position = begin + batches.position();
  }
  RETURN_IF_ERROR(write_out());
  statistics_.records = filter_->counts();
  return State::kCleaning;
}

Result<> LogCleaner::write_out() {
  if (out_.empty()) return {};
  Segment& segment = *group_.cleaned;
  const uint64_t before = segment.size();
  const ByteView bytes = out_;
  RETURN_IF_ERROR(segment.write({&bytes, 1}));
  record::BatchIterator batches(out_);
  for (;;) {
    ASSIGN_OR_RETURN(const auto batch, batches.next());
    if (!batch) break;
    segment.note_appended(batch->header(), plan_.options.index_interval_bytes);
  }
  ASSIGN_OR_RETURN(auto file, segment.file());
  if (before / kSyncBytes != segment.size() / kSyncBytes)
    RETURN_IF_ERROR(file->sync());
  else
    file->start_writeback({.position = before, .length = out_.size()});
  statistics_.bytes_written += out_.size();
  out_.clear();
  return {};
}

Result<> LogCleaner::finish_group() {
  Segment& segment = *group_.cleaned;
  ASSIGN_OR_RETURN(auto file, segment.file());
  RETURN_IF_ERROR(file->sync());
  ASSIGN_OR_RETURN(const auto indexes, segment.seal());
  for (const auto& index : indexes) RETURN_IF_ERROR(index->sync());
  group_.aborted = filter_->take_met_aborted();
  group_.writes_transactions |= !group_.aborted.empty();
  if (group_.writes_transactions) {
    TransactionIndex index;
    for (const AbortedTransaction& each : group_.aborted) index.add(each);
    const std::string path = segment.path() + ".txnindex" + std::string(kCleanedSuffix);
    ASSIGN_OR_RETURN(auto to, disk_->open(path, env::OpenMode::kReplace));
    RETURN_IF_ERROR(to->write_at(index.print({.from = Offset(0), .below = Offset(INT64_MAX)}), 0));
    RETURN_IF_ERROR(to->sync());
  }
  return disk_->sync_directory(plan_.directory);
}

CleanedGroup LogCleaner::take_group() {
  ASSERT(state_ == State::kGroupCleaned);
  CleanedGroup group{.cleaned = std::move(group_.cleaned),
                     .sources = {},
                     .end = plan_.sources[group_.end - 1].end,
                     .aborted = std::move(group_.aborted)};
  const size_t first = group_.end - groups_[next_group_ - 1];
  for (size_t i = first; i < group_.end; ++i) group.sources.push_back(plan_.sources[i].segment);
  group_ = {.cleaned = nullptr, .next = group_.end};
  reading_ = {};
  state_ = next_group_ < groups_.size() ? State::kCleaning : State::kDone;
  return group;
}

void LogCleaner::discard() {
  if (group_.cleaned) discard_cleaned(*disk_, *group_.cleaned);
  group_.cleaned.reset();
}

}  // namespace millrace::storage
