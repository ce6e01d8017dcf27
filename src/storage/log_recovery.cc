// How a log is opened: what the files, the checkpoints and the last stop say of it, and what is
// checked, rebuilt and cut after a crash.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/probe.h"
#include "storage/log.h"

namespace millrace::storage {
namespace {

// Of the log's end, in which the last batches of producers that were at work are looked for.
constexpr uint64_t kProducerTailBytes = 128 * 1024;

}  // namespace

Result<> Log::load(const LogRecovery& recovery) {
  log_start_ = log_end_ = recovery_point_ = recovery.log_start;
  keeps_damage_ = recovery.keeps_damage;
  cleaned_to_ = recovery.cleaned_to;
  if (!recovery.may_exist) return {};
  // Only a directory that is not there means an empty log: one that cannot be read has one.
  auto entries = disk_->list(directory_);
  if (!entries && entries.error().code == Errc::kNotFound) return {};
  if (!entries) return std::unexpected(entries.error());
  ASSIGN_OR_RETURN(const bool completed, complete_swaps(*disk_, directory_, *entries));
  if (completed) {
    ASSIGN_OR_RETURN(entries, disk_->list(directory_));
  }
  std::vector<std::string> damage_names;
  for (const auto& entry : *entries) {
    if (entry.name.ends_with(".deleted")) {
      RETURN_IF_ERROR(disk_->remove(directory_ + "/" + entry.name));
    } else if (auto base = offset_in_file_name(entry.name, ".log")) {
      segments_.push_back(std::make_shared<Segment>(*disk_, directory_, *base));
      segments_.back()->set_size(entry.size);
    } else if (entry.name.ends_with(kDamagedSuffix)) {
      damage_names.push_back(entry.name);
    }
  }
  if (keeps_damage_) RETURN_IF_ERROR(load_damage(damage_names));
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
  if (recovery.clean)
    RETURN_IF_ERROR(scan_active(recovery.recovery_point));
  else
    RETURN_IF_ERROR(recover_from(first, recovery.recovery_point));
  // So that what comes in place of the damage need not be as long as it.
  const DamagedRange* last = active()->damage().empty() ? nullptr : &active()->damage().back();
  return last && last->end == active()->size() ? roll(log_end_) : Result<>{};
}

Result<> Log::load_epochs() {
  auto text = env::read_file(*disk_, directory_ + "/leader-epoch-checkpoint");
  if (!text || text->empty()) return {};  // Apache Kafka leaves an empty one for an empty log
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
  ASSIGN_OR_RETURN(auto end, active()->resume(options_->index_interval_bytes));
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
  producers_ = Lazy(std::move(*state));
  return true;
}

// The newest snapshot at or below the base of the first segment that is scanned; what follows it is
// replayed by that scan.
// `last` is the segment that ends where the snapshot was taken.
Result<> Log::complete_producers(Segment& last) {
  if (producers_->producers().empty()) return {};
  ASSIGN_OR_RETURN(uint64_t from, last.tail_position(kProducerTailBytes));
  ProducerState recent;
  auto scanned = last.scan(from, [&](const record::BatchHeader& header, ByteView, uint64_t) {
    if (header.has_producer_id() && !header.attributes.control())
      recent.update(header, header.max_timestamp);
    return true;
  });
  const bool is_damaged = !scanned && scanned.error().code == Errc::kCorrupt;
  if (!scanned && !(is_damaged && keeps_damage_))
    return std::unexpected(std::move(scanned).error());
  producers_.made().complete_from(recent);
  return {};
}

// The state at the beginning of segment `first`: the newest snapshot up to there, and the batches
// behind it, for a snapshot may be missing (it was not written, for want of space, or is broken).
Result<> Log::restore_producers(size_t first) {
  Offset known = segments_.front()->base_offset();
  ASSIGN_OR_RETURN(auto entries, disk_->list(directory_));
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    auto offset = offset_in_file_name(entry->name, ".snapshot");
    if (!offset || *offset > segments_[first]->base_offset()) continue;
    ASSIGN_OR_RETURN(bool restored, restore_producers_at(*offset));
    if (restored) {
      known = std::max(known, *offset);
      break;
    }
    LOG_WARN("{}/{} cannot be read; an older one is taken", directory_, entry->name);
  }
  const auto visit = [&](const record::BatchHeader& header, ByteView batch, uint64_t) {
    if (header.base_offset >= known) note_batch(header, batch, header.max_timestamp);
    return true;
  };
  for (size_t i = segment_of(known); i < first; ++i)
    RETURN_IF_ERROR(replay_headers(*segments_[i], visit));
  return {};
}

// Of a sealed segment.
Result<> Log::replay_headers(Segment& segment, const Segment::Visit& visit) {
  const Lazy<ProducerState> producers = producers_;
  for (;;) {
    Suspect suspect{.last = {}, .bad = {0, segment.base_offset()}};
    const auto note = [&](const record::BatchHeader& header, ByteView batch, uint64_t position) {
      suspect.last = {position, header.base_offset};
      suspect.bad.next = header.next_offset();
      return visit(header, batch, position);
    };
    ASSIGN_OR_RETURN(suspect.bad.position, segment.walk_headers(Offset(INT64_MAX), note));
    if (suspect.bad.position == segment.size()) return {};
    ASSIGN_OR_RETURN(const auto range, extent_of_damage(segment, suspect, log_end_));
    if (!keeps_damage_ || range.from >= range.below)
      return fail(Errc::kCorrupt,
                  fmt::format("{}.log at {}: no batch", segment.path(), suspect.bad.position));
    quarantine(segment, range);
    producers_ = producers;
  }
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
Result<> Log::scan_active(Offset recovery_point) {
  log_end_ = active()->base_offset();
  RETURN_IF_ERROR(recover_segment(*active(), {.below = Offset(INT64_MAX), .end = recovery_point}));
  recovery_point_ = log_end_;
  return {};
}

Result<> Log::recover_from(size_t first, Offset trusted_below) {
  log_end_ = segments_[first]->base_offset();
  for (size_t i = first; i < segments_.size(); ++i) {
    ASSIGN_OR_RETURN(bool whole, recover_segment(*segments_[i], {trusted_below, trusted_below}));
    // Files that were not synced may have reached the medium in any order: where the end of one did
    // not, nothing counts from there. Compaction leaves gaps as well.
    const bool ends_early = options_->delete_old && !options_->compacts &&
                            i + 1 < segments_.size() && log_end_ >= trusted_below &&
                            log_end_ < segments_[i + 1]->base_offset();
    if (whole && !ends_early) continue;
    PROBE("log.recovery_cuts_tail");
    for (size_t gone = i + 1; gone < segments_.size(); ++gone) {
      LOG_WARN("{}.log lies behind a cut and is removed", segments_[gone]->path());
      RETURN_IF_ERROR(mark_deleted(*segments_[gone]));
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

// Walks one segment, checks every batch at or behind what is trusted, rebuilds its indexes. False:
// a tail was cut off.
Result<bool> Log::recover_segment(Segment& segment, const Trust& trust) {
  const uint64_t listed = segment.size();
  const Lazy<ProducerState> producers = producers_;
  for (;;) {
    ASSIGN_OR_RETURN(const Walked walked, walk_segment(segment, listed, trust.below));
    const uint64_t valid = segment.size();
    ASSIGN_OR_RETURN(const bool last_is_good, ends_well(segment, walked, trust));
    if (last_is_good && (valid == listed || walked.end >= trust.below)) {
      log_end_ = std::max(log_end_, walked.end);
      if (valid == listed) return true;
      LOG_WARN("{}.log: cut from {} to {} bytes, the end of the last whole batch (offset {})",
               segment.path(), listed, valid, walked.end);
      RETURN_IF_ERROR(segment.truncate(valid));
      return false;
    }
    segment.set_size(listed);
    ASSIGN_OR_RETURN(const auto range, extent_of_damage(segment, walked.suspect, trust.end));
    if (!keeps_damage_ || range.from >= range.below)
      return fail(
          Errc::kCorrupt,
          fmt::format("{}.log is damaged at byte {} (offset {}), below the recovery point {}: "
                      "this data was synced, so the medium lost it; nothing is cut",
                      segment.path(), valid, walked.end, trust.end));
    quarantine(segment, range);
    producers_ = producers;
    aborted_.truncate(segment.base_offset());
  }
}

// Headers alone do not tell a length that rotted from a torn tail, nor an offset that did from the
// log's end: where it matters the last batch is read.
Result<bool> Log::ends_well(Segment& segment, const Walked& walked, const Trust& trust) {
  const Place last = walked.suspect.last;
  const bool is_short = &segment == active() && walked.end < trust.end;
  const bool is_trusted = walked.end >= trust.below && last.next < trust.below;
  if (last.position >= segment.size() || !(is_short || is_trusted)) return true;
  ASSIGN_OR_RETURN(auto file, segment.file());
  return stands_right(*file, last);
}

// Up to the first bytes that are no batch, or `listed`; leaves the segment with that size.
Result<Log::Walked> Log::walk_segment(Segment& segment, uint64_t listed, Offset trusted_below) {
  Segment source(*disk_, directory_, segment.base_offset());
  source.set_size(listed);
  for (const DamagedRange& range : segment.damage()) source.add_damage(range);
  segment.forget_indexes();
  Walked walked{.end = segment.base_offset()};
  const auto past_damage = [&](uint64_t position) {
    for (const DamagedRange& range : segment.damage()) {
      if (range.end <= segment.size() || range.position > position) continue;
      segment.set_size(range.end);
      walked.end = range.below;
      walked.suspect.last = {range.end, range.below};
    }
  };
  const auto visit = [&](const record::BatchHeader& header, ByteView bytes, uint64_t position) {
    past_damage(position);
    if (header.base_offset < walked.end) return false;
    if (header.last_offset() >= trusted_below && !record::BatchView::parse(bytes)->verify_crc())
      return false;
    walked.suspect.last = {position, walked.end};
    walked.end = header.next_offset();
    segment.note_appended(header, options_->index_interval_bytes);
    note_batch(header, bytes, header.max_timestamp);
    return true;
  };
  ASSIGN_OR_RETURN(const uint64_t trusted, source.walk_headers(trusted_below, visit));
  auto end = source.scan(trusted, visit);
  if (!end && end.error().code != Errc::kCorrupt) return std::unexpected(std::move(end).error());
  past_damage(segment.size());
  walked.suspect.bad = {segment.size(), walked.end};
  return walked;
}

}  // namespace millrace::storage
