#include "storage/segment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/probe.h"

namespace millrace::storage {
namespace {

constexpr size_t kScanPiece = 1 << 20;  // bytes read at once by a scan
constexpr size_t kHeaderPiece = 4096;   // by a walk over headers: small batches come many at once
constexpr size_t kOffsetEntry = 8, kTimeEntry = 12;

}  // namespace

std::string segment_file_name(Offset base_offset) {
  return fmt::format("{:020}", base_offset.value());
}

std::optional<Offset> offset_in_file_name(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix) || name.size() != 20 + suffix.size()) return std::nullopt;
  int64_t value = 0;
  for (char c : name.substr(0, 20)) {
    if (c < '0' || c > '9' || value > INT64_MAX / 10 - 1) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return Offset(value);
}

Segment::Segment(env::Disk& disk, const std::string& directory, Offset base_offset,
                 std::string_view suffix)
    : disk_(&disk),
      base_offset_(base_offset),
      path_(directory + "/" + segment_file_name(base_offset)),
      suffix_(suffix) {}

void Segment::moved_to(const std::string& directory) {
  path_ = directory + "/" + segment_file_name(base_offset_);
}

Result<std::shared_ptr<env::File>> Segment::file() {
  if (!file_) {
    ASSIGN_OR_RETURN(file_, disk_->open(path_ + ".log" + suffix_, env::OpenMode::kReadWrite));
  }
  return file_;
}

Result<> Segment::create() {
  ASSIGN_OR_RETURN(file_, disk_->open(path_ + ".log" + suffix_, env::OpenMode::kReplace));
  indexes_loaded_ = true;
  return {};
}

Result<> Segment::write(std::span<const ByteView> pieces) {
  ASSIGN_OR_RETURN(auto to, file());
  return to->write_at(pieces, size_);
}

void Segment::note_appended(const record::BatchHeader& header, uint64_t index_interval) {
  note_timestamp(header);
  if (bytes_since_index_ > index_interval) {
    offset_index_.push_back({header.last_offset(), static_cast<uint32_t>(size_),
                             static_cast<uint32_t>(header.size_in_bytes())});
    add_time_entry();
    bytes_since_index_ = 0;
  }
  size_ += static_cast<uint64_t>(header.size_in_bytes());
  bytes_since_index_ += static_cast<uint64_t>(header.size_in_bytes());
}

Result<TimestampMs> Segment::first_batch_timestamp() {
  if (first_timestamp_ != kNoTimestamp || size_ == 0) return first_timestamp_;
  ASSIGN_OR_RETURN(auto from, file());
  ASSIGN_OR_RETURN(const auto header, header_at(*from, 0));
  if (header) first_timestamp_ = header->max_timestamp;
  return first_timestamp_;
}

Result<bool> Segment::is_all_older_than(TimestampMs limit) {
  bool all = true;
  const auto visit = [&](const record::BatchHeader& header, ByteView, uint64_t) {
    all = header.max_timestamp < limit;
    return all;
  };
  ASSIGN_OR_RETURN(uint64_t walked, walk_headers(Offset(INT64_MAX), visit));
  return all && walked == size_;
}

Result<TimestampMs> Segment::largest_timestamp() {
  if (largest_timestamp_ == kNoTimestamp && size_ > 0) RETURN_IF_ERROR(load_indexes());
  return largest_timestamp_;
}

void Segment::note_timestamp(const record::BatchHeader& header) {
  if (first_timestamp_ == kNoTimestamp) first_timestamp_ = header.max_timestamp;
  if (header.max_timestamp <= largest_timestamp_) return;
  largest_timestamp_ = header.max_timestamp;
  largest_timestamp_offset_ = header.last_offset();
}

void Segment::add_time_entry() {
  if (largest_timestamp_ == kNoTimestamp) return;
  if (!time_index_.empty() && time_index_.back().timestamp >= largest_timestamp_) return;
  time_index_.push_back({largest_timestamp_, largest_timestamp_offset_});
}

// An index is an aid: whatever is wrong with its file, it is left empty and scans begin at the
// front.
Result<> Segment::load_indexes() {
  if (indexes_loaded_) return {};
  indexes_loaded_ = true;
  auto offsets = env::read_file(*disk_, path_ + ".index" + suffix_);
  if (offsets && offsets->size() % kOffsetEntry == 0)
    for (size_t at = 0; at < offsets->size(); at += kOffsetEntry) {
      const Offset last = base_offset_ + load_big<int32_t>(offsets->data() + at);
      const auto position = load_big<uint32_t>(offsets->data() + at + 4);
      const bool ascends = offset_index_.empty() ? last >= base_offset_
                                                 : last > offset_index_.back().last_offset &&
                                                       position > offset_index_.back().position;
      if (!ascends || position >= size_) break;  // preallocated zeros, or rot
      offset_index_.push_back({last, position});
    }
  auto times = env::read_file(*disk_, path_ + ".timeindex" + suffix_);
  if (times && times->size() % kTimeEntry == 0)
    for (size_t at = 0; at < times->size(); at += kTimeEntry) {
      const TimestampMs timestamp(load_big<int64_t>(times->data() + at));
      const Offset offset = base_offset_ + load_big<int32_t>(times->data() + at + 8);
      if (!time_index_.empty() && timestamp <= time_index_.back().timestamp) break;
      time_index_.push_back({timestamp, offset});
    }
  if (largest_timestamp_ == kNoTimestamp && !time_index_.empty()) {
    largest_timestamp_ = time_index_.back().timestamp;
    largest_timestamp_offset_ = time_index_.back().offset;
  }
  return {};
}

Result<uint64_t> Segment::tail_position(uint64_t bytes) {
  RETURN_IF_ERROR(load_indexes());
  if (size_ <= bytes) return 0;
  auto after = std::ranges::upper_bound(offset_index_, size_ - bytes, {}, &IndexEntry::position);
  return after == offset_index_.begin() ? 0 : checked_position(*std::prev(after));
}

// An index file may have rotted: what it says of a batch is compared with the batch, once. A wrong
// position would pass over batches that are there.
Result<uint64_t> Segment::checked_position(IndexEntry& entry) {
  if (entry.size > 0) return entry.position;
  ASSIGN_OR_RETURN(auto from, file());
  uint8_t bytes[record::kBatchHeaderSize];
  ASSIGN_OR_RETURN(size_t got, from->read_at(bytes, entry.position));
  auto header = record::peek_header({bytes, got});
  if (header && *header && (*header)->last_offset() == entry.last_offset) {
    entry.size = static_cast<uint32_t>((*header)->size_in_bytes());
    return entry.position;
  }
  PROBE("segment.index_does_not_fit");
  LOG_WARN("{}.index does not fit the log; it is not used", path_);
  offset_index_.clear();
  return 0;
}

Result<uint64_t> Segment::scan_position(Offset offset) {
  RETURN_IF_ERROR(load_indexes());
  auto after = std::ranges::upper_bound(offset_index_, offset, {}, &IndexEntry::last_offset);
  return after == offset_index_.begin() ? 0 : checked_position(*std::prev(after));
}

std::optional<BatchPlace> Segment::indexed_batch(Offset offset) const {
  auto entry = std::ranges::lower_bound(offset_index_, offset, {}, &IndexEntry::last_offset);
  if (entry == offset_index_.begin() || entry == offset_index_.end()) return std::nullopt;
  const IndexEntry& before = *std::prev(entry);
  const bool adjacent =
      before.size > 0 && before.position + uint64_t{before.size} == entry->position;
  if (!adjacent || entry->size == 0) return std::nullopt;
  return BatchPlace{.position = entry->position, .size = entry->size};
}

Result<uint64_t> Segment::scan_position(TimestampMs target) {
  RETURN_IF_ERROR(load_indexes());
  auto after = std::ranges::lower_bound(time_index_, target, {}, &TimeIndexEntry::timestamp);
  if (after == time_index_.begin()) return 0;
  const TimeIndexEntry entry = *std::prev(after);
  ASSIGN_OR_RETURN(const uint64_t position, scan_position(entry.offset));
  std::optional<record::BatchHeader> named;
  RETURN_IF_ERROR(scan(position, [&](const record::BatchHeader& header, ByteView, uint64_t) {
    if (header.last_offset() >= entry.offset) named = header;
    return !named;
  }));
  if (named && named->base_offset <= entry.offset && named->max_timestamp == entry.timestamp)
    return position;
  PROBE("segment.time_index_does_not_fit");
  LOG_WARN("{}.timeindex does not fit the log; it is not used", path_);
  time_index_.clear();
  return 0;
}

void Segment::add_damage(const DamagedRange& range) {
  std::erase_if(damage_, [&](const DamagedRange& known) {
    return known.position < range.end && range.position < known.end;
  });
  damage_.insert(std::ranges::upper_bound(damage_, range.position, {}, &DamagedRange::position),
                 range);
}

const DamagedRange* Segment::damage_behind(uint64_t position) const {
  auto found = std::ranges::upper_bound(damage_, position, {}, &DamagedRange::end);
  return found == damage_.end() ? nullptr : &*found;
}

Result<uint64_t> Segment::scan(uint64_t position, const Visit& visit) {
  for (;;) {
    const DamagedRange* damage = damage_behind(position);
    if (damage && damage->position <= position) {
      position = damage->end;
      continue;
    }
    const uint64_t limit = damage ? damage->position : size_;
    ASSIGN_OR_RETURN(position, scan_up_to({.position = position, .limit = limit}, visit));
    if (!damage || position != limit) return position;
  }
}

Result<uint64_t> Segment::scan_up_to(const Walk& walk, const Visit& visit) {
  const uint64_t limit = walk.limit;
  uint64_t position = walk.position;
  ASSIGN_OR_RETURN(auto from, file());
  ByteBuffer piece(std::min<uint64_t>(kScanPiece, limit - std::min(limit, position)));
  while (position < limit) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(piece.size(), limit - position));
    ASSIGN_OR_RETURN(size_t got, from->read_at(MutableByteView(piece).first(wanted), position));
    record::BatchIterator batches(ByteView(piece).first(got));
    for (;;) {
      const uint64_t at = position + batches.position();
      auto batch = batches.next();
      if (!batch)
        return fail(Errc::kCorrupt,
                    fmt::format("{}.log at {}: {}", path_, at, batch.error().message));
      if (!*batch) break;
      if (!visit((*batch)->header(), (*batch)->bytes(), at)) return at;
    }
    if (batches.position() > 0) {
      position += batches.position();
      continue;
    }
    // The batch at the front is larger than the piece, or torn.
    auto header = record::peek_header(ByteView(piece).first(got));
    if (!header || !*header || position + static_cast<uint64_t>((*header)->size_in_bytes()) > limit)
      return fail(Errc::kCorrupt, fmt::format("{}.log at {}: half a batch", path_, position));
    piece.resize(static_cast<size_t>((*header)->size_in_bytes()));
  }
  return position;
}

Result<uint64_t> Segment::walk_headers(Offset below, const Visit& visit) {
  for (uint64_t position = 0;;) {
    const DamagedRange* damage = damage_behind(position);
    if (damage && damage->position <= position) {
      position = damage->end;
      continue;
    }
    const uint64_t limit = damage ? damage->position : size_;
    ASSIGN_OR_RETURN(position,
                     walk_up_to({.position = position, .limit = limit, .below = below}, visit));
    if (!damage || position != limit) return position;
  }
}

Result<uint64_t> Segment::walk_up_to(const Walk& walk, const Visit& visit) {
  ASSIGN_OR_RETURN(auto from, file());
  ByteBuffer piece(kHeaderPiece), whole;
  uint64_t position = walk.position;
  while (position < walk.limit) {
    ASSIGN_OR_RETURN(size_t got, from->read_at(piece, position));
    ByteView rest = ByteView(piece).first(got);
    const uint64_t begin = position;
    while (!rest.empty() && position < walk.limit) {
      auto header = record::peek_header(rest);
      if (!header || !*header) break;
      const auto size = static_cast<uint64_t>((*header)->size_in_bytes());
      if (size > walk.limit - position || (*header)->last_offset() >= walk.below) return position;
      ByteView batch = rest.first(std::min<uint64_t>(size, rest.size()));
      if ((*header)->attributes.control() && batch.size() < size) {
        whole.resize(size);
        RETURN_IF_ERROR(from->read_at(whole, position));
        batch = whole;
      }
      if (!visit(**header, batch, position)) return position;
      position += size;
      rest = rest.subspan(std::min<uint64_t>(size, rest.size()));
    }
    if (position == begin) return position;
  }
  return position;
}

Result<std::optional<Offset>> Segment::resume(uint64_t index_interval) {
  const uint64_t listed = size_;
  RETURN_IF_ERROR(load_indexes());
  if (listed == 0) return base_offset_;
  if (offset_index_.empty() || time_index_.empty()) return std::nullopt;
  const IndexEntry last = offset_index_.back();
  ASSIGN_OR_RETURN(auto from, file());
  uint8_t front[record::kBatchHeaderSize];
  ASSIGN_OR_RETURN(size_t got, from->read_at(front, 0));
  auto first = record::peek_header({front, got});
  if (!first || !*first) return std::nullopt;
  first_timestamp_ = (*first)->max_timestamp;
  std::vector<record::BatchHeader> behind;
  auto end = scan(last.position, [&](const record::BatchHeader& header, ByteView, uint64_t) {
    behind.push_back(header);
    return behind.size() > 1 || header.last_offset() == last.last_offset;
  });
  if (!end || *end != listed) return std::nullopt;
  note_timestamp(behind[0]);
  bytes_since_index_ = static_cast<uint64_t>(behind[0].size_in_bytes());
  size_ = last.position + bytes_since_index_;
  for (size_t i = 1; i < behind.size(); ++i) note_appended(behind[i], index_interval);
  return behind.back().next_offset();
}

void Segment::forget_indexes() {
  offset_index_.clear();
  time_index_.clear();
  indexes_loaded_ = true;
  bytes_since_index_ = 0;
  size_ = 0;
  first_timestamp_ = largest_timestamp_ = kNoTimestamp;
}

Result<> Segment::truncate(uint64_t size) {
  ASSIGN_OR_RETURN(auto from, file());
  RETURN_IF_ERROR(from->truncate(size));
  size_ = size;
  return {};
}

Result<Segment::Files> Segment::seal() {
  ASSIGN_OR_RETURN(Files written, write_indexes());
  offset_index_ = {};
  time_index_ = {};
  indexes_loaded_ = false;
  file_.reset();
  return written;
}

Result<Segment::Files> Segment::write_indexes() {
  RETURN_IF_ERROR(load_indexes());
  if (size_ > 0) add_time_entry();
  ByteBuffer offsets(offset_index_.size() * kOffsetEntry), times(time_index_.size() * kTimeEntry);
  for (size_t i = 0; i < offset_index_.size(); ++i) {
    uint8_t* at = offsets.data() + i * kOffsetEntry;
    store_big(at, static_cast<int32_t>(offset_index_[i].last_offset - base_offset_));
    store_big(at + 4, offset_index_[i].position);
  }
  for (size_t i = 0; i < time_index_.size(); ++i) {
    uint8_t* at = times.data() + i * kTimeEntry;
    store_big(at, time_index_[i].timestamp.value());
    store_big(at + 8, static_cast<int32_t>(time_index_[i].offset - base_offset_));
  }
  Files written;
  for (auto [suffix, bytes] : {std::pair(".index", &offsets), std::pair(".timeindex", &times)}) {
    ASSIGN_OR_RETURN(auto to, disk_->open(path_ + suffix + suffix_, env::OpenMode::kReplace));
    RETURN_IF_ERROR(to->write_at(*bytes, 0));
    written.push_back(std::move(to));
  }
  return written;
}

Result<std::vector<std::string>> Segment::mark_deleted() {
  std::vector<std::string> renamed;
  for (const std::string_view kind : kSegmentFiles) {
    const std::string stem = path_ + std::string(kind);
    if (!disk_->exists(stem + suffix_)) continue;
    RETURN_IF_ERROR(disk_->rename(stem + suffix_, stem + ".deleted"));
    renamed.push_back(stem + ".deleted");
  }
  return renamed;
}

Result<> Segment::change_suffix(std::string_view suffix) {
  for (const std::string_view kind : kSegmentFiles) {
    const std::string stem = path_ + std::string(kind);
    if (disk_->exists(stem + suffix_))
      RETURN_IF_ERROR(disk_->rename(stem + suffix_, stem + std::string(suffix)));
  }
  suffix_ = suffix;
  return {};
}

}  // namespace millrace::storage
