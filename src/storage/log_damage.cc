// What a log does about bytes that rotted: finds how far they go, keeps them aside, passes over
// them, and takes good ones in their place.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/probe.h"
#include "storage/log.h"

namespace millrace::storage {
namespace {

Result<ByteBuffer> read_range(env::File& file, const DamagedRange& range) {
  ByteBuffer bytes(static_cast<size_t>(range.size()));
  ASSIGN_OR_RETURN(const size_t got, file.read_at(bytes, range.position));
  bytes.resize(got);
  return bytes;
}

}  // namespace

bool Log::is_damaged() const {
  return std::ranges::any_of(segments_, [](const auto& each) { return !each->damage().empty(); });
}

std::vector<DamagedRange> Log::damage() const {
  std::vector<DamagedRange> all;
  for (const auto& segment : segments_)
    all.insert(all.end(), segment->damage().begin(), segment->damage().end());
  return all;
}

const DamagedRange* Log::damage_of(Offset offset) const {
  if (segments_.empty()) return nullptr;
  for (const DamagedRange& range : segments_[segment_of(offset)]->damage())
    if (range.from <= offset && offset < range.below) return &range;
  return nullptr;
}

// No checksum covers an offset: one that rotted has a batch reach into the one behind it, though it
// does not begin where the one before it ends.
Result<bool> Log::stands_right(env::File& file, const Place& place) {
  ASSIGN_OR_RETURN(const bool good, is_good_batch(file, place.position));
  ASSIGN_OR_RETURN(const auto header, header_at(file, place.position));
  if (!good || !header || header->base_offset <= place.next) return good;
  const uint64_t behind = place.position + static_cast<uint64_t>(header->size_in_bytes());
  ASSIGN_OR_RETURN(const bool has_next, is_good_batch(file, behind));
  if (!has_next) return true;
  ASSIGN_OR_RETURN(const auto next, header_at(file, behind));
  return header->next_offset() <= next->base_offset;
}

// A length that rotted puts the fault into the batch behind: the one before is looked at first.
Result<DamagedRange> Log::extent_of_damage(Segment& segment, const Suspect& suspect,
                                           Offset claimed_end) {
  ASSIGN_OR_RETURN(auto file, segment.file());
  Place at = suspect.bad;
  if (suspect.last.position < at.position) {
    ASSIGN_OR_RETURN(const bool right, stands_right(*file, suspect.last));
    if (!right) at = suspect.last;
  }
  const bool is_last = &segment == active();
  const Offset limit = is_last ? claimed_end : segment_end(segment.base_offset());
  const DamagedRange* known = segment.damage_behind(at.position);
  const uint64_t size = known ? known->position : segment.size();
  const BatchSearch search{.position = at.position + 1,
                           .size = size,
                           .from = at.next,
                           .below = is_last ? segment.base_offset() + INT32_MAX : limit};
  ASSIGN_OR_RETURN(auto found, find_good_batch(segment, at.position, search));
  const Offset below = found ? found->base_offset : known ? known->from : limit;
  return DamagedRange{.position = at.position,
                      .end = found ? found->position : size,
                      .from = at.next,
                      .below = below};
}

// Where the damaged batch says that it ends, if that can be: the records of another log may stand
// in ours, and are no batches of it.
Result<std::optional<BatchFound>> Log::find_good_batch(Segment& segment, uint64_t damaged,
                                                       const BatchSearch& search) {
  ASSIGN_OR_RETURN(auto file, segment.file());
  ASSIGN_OR_RETURN(auto header, header_at(*file, damaged));
  if (header) {
    const uint64_t end = damaged + static_cast<uint64_t>(header->size_in_bytes());
    ASSIGN_OR_RETURN(auto next, end < search.size ? header_at(*file, end)
                                                  : Result<std::optional<record::BatchHeader>>());
    if (next && next->base_offset >= search.from) {
      ASSIGN_OR_RETURN(const bool good, is_good_batch(*file, end));
      if (good)
        return BatchFound{.position = end,
                          .end = end + static_cast<uint64_t>(next->size_in_bytes()),
                          .base_offset = next->base_offset,
                          .next_offset = next->next_offset()};
    }
    if (end == search.size) return std::nullopt;
  }
  return find_batch(*file, search);
}

Result<std::optional<DamagedRange>> Log::examine(Offset offset) {
  if (segments_.empty() || offset >= log_end_) return std::nullopt;
  RETURN_IF_ERROR(settle_swap());  // what is found is to stay where it is found
  Segment& segment = *segments_[segment_of(offset)];
  ASSIGN_OR_RETURN(uint64_t position, segment.scan_position(offset));
  ASSIGN_OR_RETURN(auto file, segment.file());
  std::optional<Place> last;
  const Offset end = segment_end(offset);
  Offset next = segment.base_offset();
  while (position < segment.size()) {
    if (const DamagedRange* known = segment.damage_behind(position);
        known && known->position <= position) {
      position = known->end;
      next = known->below;
      last.reset();
      continue;
    }
    ASSIGN_OR_RETURN(auto header, header_at(*file, position));
    if (header && !last) next = std::max(next, std::min(header->base_offset, offset));
    const bool fits = header && header->base_offset >= next && header->base_offset < end &&
                      header->next_offset() <= end &&
                      std::cmp_less_equal(header->size_in_bytes(), segment.size() - position);
    bool good = fits;
    const Place here{position, next};
    if (fits && header->last_offset() >= offset) {
      ASSIGN_OR_RETURN(good, stands_right(*file, here));
      if (good) return std::nullopt;
    }
    if (!good) {
      ASSIGN_OR_RETURN(auto range,
                       extent_of_damage(segment, {last.value_or(here), here}, log_end_));
      return range.from < range.below ? std::optional(range) : std::nullopt;
    }
    last = here;
    next = header->next_offset();
    position += static_cast<uint64_t>(header->size_in_bytes());
  }
  return std::nullopt;
}

Offset Log::segment_end(Offset offset) const {
  if (segments_.empty()) return log_end_;
  const size_t next = segment_of(offset) + 1;
  return next < segments_.size() ? segments_[next]->base_offset() : log_end_;
}

Result<bool> Log::right_epoch(Offset offset) {
  if (segments_.empty() || offset >= log_end_ || damage_of(offset)) return false;
  Segment& segment = *segments_[segment_of(offset)];
  ASSIGN_OR_RETURN(auto file, segment.file());
  ASSIGN_OR_RETURN(uint64_t position, segment.scan_position(offset));
  ASSIGN_OR_RETURN(auto header, header_at(*file, position));
  while (header && header->last_offset() < offset) {
    position += static_cast<uint64_t>(header->size_in_bytes());
    ASSIGN_OR_RETURN(header, header_at(*file, position));
  }
  if (!header) return false;
  // Of a log that was compacted it may be the one behind the offset.
  const LeaderEpoch epoch = epoch_of(header->base_offset);
  if (header->leader_epoch == epoch) return false;
  ASSIGN_OR_RETURN(const bool good, is_good_batch(*file, position));
  if (!good) return false;
  ByteBuffer front(record::kBatchHeaderSize);
  ASSIGN_OR_RETURN(const size_t got, file->read_at(front, position));
  if (got < front.size()) return false;
  record::patch_leader_epoch(front, epoch);
  RETURN_IF_ERROR(file->write_at(front, position));
  PROBE("log.epochs_righted");
  LOG_WARN("{}.log: the batch at offset {} had leader epoch {}, which rotted; it is {}",
           segment.path(), header->base_offset, header->leader_epoch, epoch);
  unsynced_.push_back(std::move(file));
  changed_ = true;
  return true;
}

void Log::quarantine(const DamagedRange& range) {
  quarantine(*segments_[segment_of(range.from)], range);
}

void Log::quarantine(Segment& segment, const DamagedRange& range) {
  PROBE("log.quarantines");
  segment.add_damage(range);
  changed_ = true;
  LOG_ERROR(
      "{}.log is damaged, {}: this data was synced, so the medium lost it. It is kept aside and "
      "not served; all else is",
      segment.path(), range.to_string());
  if (auto kept = keep_aside(segment, range); !kept)
    LOG_ERROR("{}: {}", damage_path(segment, range), kept.error().message);
}

Result<> Log::keep_aside(Segment& segment, const DamagedRange& range) {
  ASSIGN_OR_RETURN(auto file, segment.file());
  ASSIGN_OR_RETURN(const ByteBuffer bytes, read_range(*file, range));
  return env::write_file_atomically(*disk_, damage_path(segment, range), bytes);
}

std::string Log::damage_path(const Segment& segment, const DamagedRange& range) const {
  return directory_ + "/" + damage_file_name({.segment = segment.base_offset(), .range = range});
}

// The file that kept it stays, under a name that says that it is over.
Result<> Log::put_away(const std::string& path) {
  if (!disk_->exists(path)) return {};
  const std::string_view kind = path;
  const std::string stem(kind.substr(0, kind.size() - kDamagedSuffix.size()));
  RETURN_IF_ERROR(disk_->rename(path, stem + std::string(kOldDamageSuffix)));
  return disk_->sync_directory(directory_);
}

// What the process before knew of, unless it is good again: restored from a copy, perhaps.
Result<> Log::load_damage(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto named = parse_damage_file_name(name);
    if (!named) continue;
    auto segment = std::ranges::find(segments_, named->segment, &Segment::base_offset);
    bool is_there = segment != segments_.end() && named->range.end <= (*segment)->size();
    if (is_there) {
      ASSIGN_OR_RETURN(auto file, (*segment)->file());
      ASSIGN_OR_RETURN(const ByteBuffer bytes, read_range(*file, named->range));
      is_there = !are_good_batches(bytes, named->range);
    }
    if (is_there) {
      (*segment)->add_damage(named->range);
      LOG_WARN("{}.log is still damaged, {}", (*segment)->path(), named->range.to_string());
    } else {
      LOG_INFO("{}/{} is over", directory_, name);
      RETURN_IF_ERROR(put_away(directory_ + "/" + name));
    }
  }
  return {};
}

// Of a segment that goes, or of the part of it that is cut off.
Result<> Log::forget_damage(Segment& segment, uint64_t from_position) {
  const std::vector<DamagedRange> known = segment.damage();
  for (const DamagedRange& range : known) {
    if (range.end <= from_position) continue;
    segment.forget_damage(range);
    RETURN_IF_ERROR(put_away(damage_path(segment, range)));
  }
  return {};
}

Segment* Log::segment_with(const DamagedRange& range) {
  for (const auto& segment : segments_)
    if (std::ranges::find(segment->damage(), range) != segment->damage().end())
      return segment.get();
  return nullptr;
}

Result<> Log::overwrite_damage(const DamagedRange& range, const Mended& mended) {
  Segment* segment = segment_with(range);
  if (!segment) return fail(Errc::kNotFound, "it is not damaged any more");
  if (!are_good_batches(mended.batches, range))
    return fail(Errc::kCorrupt, "these are no good batches");
  const bool is_all = mended.below >= range.below;
  // The last bytes of a segment that is not written to any more need not be as many as they were.
  const bool may_differ = range.end == segment->size() && segment != active();
  const bool fits =
      is_all ? mended.batches.size() == range.size() : mended.batches.size() < range.size();
  if (!fits && !may_differ)
    return fail(Errc::kInvalid,
                fmt::format("{} bytes up to offset {} in place of {}", mended.batches.size(),
                            mended.below, range.to_string()));
  ASSIGN_OR_RETURN(auto file, segment->file());
  RETURN_IF_ERROR(file->write_at(mended.batches, range.position));
  unsynced_.push_back(std::move(file));
  changed_ = true;
  return {};
}

Result<> Log::shrink_damage(const DamagedRange& range, const Mended& mended) {
  Segment* segment = segment_with(range);
  if (!segment) return fail(Errc::kNotFound, "it is not damaged any more");
  PROBE("log.mended");
  DamagedRange left = range;
  left.position += mended.batches.size();
  left.from = mended.below;
  segment->forget_damage(range);
  LOG_INFO("{}.log: good again up to offset {} of {}", segment->path(), left.from,
           range.to_string());
  if (left.from >= left.below) {
    if (left.position != range.end) RETURN_IF_ERROR(segment->truncate(left.position));
    return put_away(damage_path(*segment, range));
  }
  left.end = std::max(left.end, left.position);
  segment->add_damage(left);
  return disk_->rename(damage_path(*segment, range), damage_path(*segment, left));
}

}  // namespace millrace::storage
