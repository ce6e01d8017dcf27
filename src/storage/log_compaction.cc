// What a log says of itself to compaction, and how it takes cleaned segments in place of its own.
#include <algorithm>

#include "base/assert.h"
#include "base/probe.h"
#include "storage/log.h"

namespace millrace::storage {

Result<bool> Log::is_overdue(Offset first_dirty, TimestampMs now) {
  if (options_->max_compaction_lag_ms == INT64_MAX) return false;
  for (size_t i = segment_of(first_dirty); i + 1 < segments_.size(); ++i) {
    ASSIGN_OR_RETURN(const TimestampMs first, segments_[i]->first_batch_timestamp());
    if (first.value() > 0 && now - first > options_->max_compaction_lag_ms) return true;
  }
  return false;
}

Result<std::optional<Cleanable>> Log::cleanable(Offset stable, TimestampMs now) {
  if (segments_.size() < 2 || is_damaged()) return std::nullopt;
  // What is behind the log's end was cleaned before it was cut.
  Offset dirty = cleaned_to_.value_or(log_start_);
  if (dirty < log_start_ || dirty > log_end_) dirty = log_start_;
  const size_t active_index = segments_.size() - 1;
  size_t end = std::min(segment_of(stable), active_index);
  if (options_->min_compaction_lag_ms > 0)
    for (size_t i = segment_of(dirty); i < end; ++i) {
      ASSIGN_OR_RETURN(const TimestampMs newest, segments_[i]->largest_timestamp());
      if (now - newest < options_->min_compaction_lag_ms) end = i;
    }
  Cleanable found{.first_dirty = dirty, .first_uncleanable = segments_[end]->base_offset()};
  for (size_t i = 0; i <= active_index && segments_[i]->base_offset() < dirty; ++i)
    found.clean_bytes += segments_[i]->size();
  for (size_t i = segment_of(dirty); i < end; ++i) found.cleanable_bytes += segments_[i]->size();
  ASSIGN_OR_RETURN(found.is_overdue, is_overdue(dirty, now));
  return found;
}

Result<CompactionPlan> Log::plan_compaction(const Cleanable& cleanable, TimestampMs now) {
  CompactionPlan plan{.directory = directory_,
                      .options = *options_,
                      .sources = {},
                      .first_dirty = cleanable.first_dirty,
                      .first_uncleanable = cleanable.first_uncleanable,
                      .aborted = {},
                      .producers = {},
                      .now = now};
  for (size_t i = 0; segments_[i]->base_offset() < plan.first_uncleanable; ++i)
    plan.sources.push_back({.segment = segments_[i],
                            .path = segments_[i]->path(),
                            .base = segments_[i]->base_offset(),
                            .end = segments_[i + 1]->base_offset(),
                            .size = segments_[i]->size()});
  ASSERT(!plan.sources.empty(), "nothing below {} can be cleaned", plan.first_uncleanable);
  ASSIGN_OR_RETURN(plan.dirty_position,
                   segments_[segment_of(plan.first_dirty)]->scan_position(plan.first_dirty));
  plan.aborted =
      aborted_.overlapping({.from = plan.sources.front().base, .below = plan.first_uncleanable});
  for (const auto& [id, producer] : producers_->producers()) {
    const ProducedBatch* last = producer.last();
    plan.producers[id] = {.last_data = last ? std::optional(last->last_offset) : std::nullopt,
                          .epoch = producer.epoch};
  }
  return plan;
}

std::optional<size_t> Log::place_of_swap(const CleanedGroup& group) const {
  const auto first = std::ranges::find_if(
      segments_, [&](const auto& each) { return each == group.sources.front(); });
  const size_t place = static_cast<size_t>(first - segments_.begin());
  if (place + group.sources.size() >= segments_.size()) return std::nullopt;
  for (size_t i = 0; i < group.sources.size(); ++i)
    if (segments_[place + i] != group.sources[i] || !group.sources[i]->damage().empty())
      return std::nullopt;
  return segments_[place + group.sources.size()]->base_offset() == group.end ? std::optional(place)
                                                                             : std::nullopt;
}

Result<bool> Log::begin_swap(CleanedGroup&& group) {
  RETURN_IF_ERROR(settle_swap());  // one that failed half way
  if (!place_of_swap(group)) return false;
  RETURN_IF_ERROR(group.cleaned->change_suffix(kSwapSuffix));
  swap_ = std::make_unique<Swap>(Swap{.group = std::move(group), .adopted = nullptr});
  return true;
}

Result<std::optional<std::vector<std::string>>> Log::adopt_swap() {
  if (!swap_) return std::nullopt;
  CleanedGroup& group = swap_->group;
  const auto place = place_of_swap(group);
  ASSERT(place, "the segments that are exchanged in {} have changed", directory_);
  PROBE("log.swap");
  std::vector<std::string> gone;
  const auto begin = segments_.begin() + static_cast<ptrdiff_t>(*place);
  for (size_t i = 0; i < group.sources.size(); ++i) {
    Segment& old = **(begin + static_cast<ptrdiff_t>(i));
    if (i > 0)  // the state of producers where it began is not asked for any more
      gone.push_back(directory_ + "/" + segment_file_name(old.base_offset()) + ".snapshot");
    ASSIGN_OR_RETURN(auto renamed, old.mark_deleted());
    std::ranges::move(renamed, std::back_inserter(gone));
  }
  if (group.aborted.empty()) gone.push_back(group.cleaned->path() + ".txnindex");
  aborted_.replace({.from = group.cleaned->base_offset(), .below = group.end}, group.aborted);
  swap_->adopted = std::move(group.cleaned);
  *begin = swap_->adopted;
  segments_.erase(begin + 1, begin + static_cast<ptrdiff_t>(group.sources.size()));
  changed_ = true;
  return gone;
}

Result<bool> Log::finish_swap() {
  if (!swap_) return false;
  RETURN_IF_ERROR(swap_->adopted->change_suffix(""));
  swap_.reset();
  return true;
}

Result<> Log::settle_swap() {
  if (!swap_) return {};
  PROBE("log.swap_settled");
  std::optional<std::vector<std::string>> gone;
  RETURN_IF_ERROR(disk_->sync_directory(directory_));
  if (!swap_->adopted) {
    ASSIGN_OR_RETURN(gone, adopt_swap());
    RETURN_IF_ERROR(disk_->sync_directory(directory_));
  }
  RETURN_IF_ERROR(finish_swap());
  RETURN_IF_ERROR(disk_->sync_directory(directory_));
  if (gone) remove_gone(*gone);
  return {};
}

// What cannot be removed now the next start removes.
void Log::remove_gone(const std::vector<std::string>& paths) {
  for (const std::string& path : paths)
    if (disk_->exists(path)) (void)disk_->remove(path);
}

}  // namespace millrace::storage
