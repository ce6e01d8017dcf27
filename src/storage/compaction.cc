#include "storage/compaction.h"

#include <algorithm>

#include "base/assert.h"
#include "record/builder.h"

namespace millrace::storage {
namespace {

constexpr size_t kMaxControlBatch = 1 << 20;

}  // namespace

double Cleanable::ratio() const {
  const uint64_t total = clean_bytes + cleanable_bytes;
  return total == 0 ? 0 : static_cast<double>(cleanable_bytes) / static_cast<double>(total);
}

bool Cleanable::is_due(double min_ratio) const {
  if (clean_bytes + cleanable_bytes == 0) return false;
  return (is_overdue && cleanable_bytes > 0) || ratio() > min_ratio;
}

CleanedTransactions::CleanedTransactions(std::vector<AbortedTransaction> aborted)
    : aborted_(std::move(aborted)) {
  std::ranges::sort(aborted_, std::ranges::greater{}, &AbortedTransaction::first_offset);
}

void CleanedTransactions::begin_up_to(Offset offset) {
  for (; !aborted_.empty() && aborted_.back().first_offset <= offset; aborted_.pop_back())
    ongoing_aborted_.try_emplace(aborted_.back().producer_id, Ongoing{aborted_.back()});
}

bool CleanedTransactions::on_batch(const record::BatchHeader& header) {
  begin_up_to(header.last_offset());
  if (!header.attributes.transactional()) return false;
  auto aborted = ongoing_aborted_.find(header.producer_id);
  if (aborted == ongoing_aborted_.end()) {
    ongoing_committed_.insert(header.producer_id);
    return false;
  }
  aborted->second.was_met = true;
  return true;
}

bool CleanedTransactions::on_control_batch(const record::BatchHeader& header,
                                           std::optional<record::ControlType> type) {
  begin_up_to(header.last_offset());
  if (!type) return true;
  if (*type == record::ControlType::kCommit)
    return ongoing_committed_.erase(header.producer_id) == 0;
  if (*type != record::ControlType::kAbort) return false;
  const auto aborted = ongoing_aborted_.extract(header.producer_id);
  if (!aborted || !aborted.mapped().was_met) return true;
  met_.push_back(aborted.mapped().transaction);
  return false;
}

std::vector<AbortedTransaction> CleanedTransactions::take_met() { return std::exchange(met_, {}); }

Result<std::optional<record::ControlType>> control_type(const record::BatchView& batch,
                                                        record::ReadScratch& scratch) {
  if (batch.header().record_count == 0) return std::nullopt;
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch, kMaxControlBatch));
  record::RecordView marker;
  ASSIGN_OR_RETURN(const bool is_there, reader.next(marker));
  if (!is_there || !marker.key) return fail(Errc::kCorrupt, "a control record has no key");
  ASSIGN_OR_RETURN(const auto type, record::parse_control_key(*marker.key));
  return type;
}

bool BatchFilter::is_last_of_producer(const record::BatchHeader& header) const {
  if (!header.has_producer_id()) return false;
  const auto producer = rules_.producers->find(header.producer_id);
  if (producer == rules_.producers->end()) return false;
  if (producer->second.last_data) return header.last_offset() == *producer->second.last_data;
  return header.attributes.control() && header.producer_epoch == producer->second.epoch;
}

Result<BatchFilter::Retention> BatchFilter::retention_of(const record::BatchView& batch) {
  const record::BatchHeader& header = batch.header();
  Retention retention;
  if (header.attributes.control()) {
    ASSIGN_OR_RETURN(const auto type, control_type(batch, scratch_));
    retention.is_spent_marker = transactions_.on_control_batch(header, type);
    const auto horizon = header.delete_horizon();
    retention.drops_records = retention.is_spent_marker && horizon && *horizon <= rules_.now;
  } else {
    retention.drops_records = transactions_.on_batch(header);
  }
  // The last batch of the round says where the log's offsets had come to.
  if (is_last_of_producer(header) || header.next_offset() == rules_.round_end)
    retention.empty = Empty::kKept;
  return retention;
}

bool BatchFilter::stays(const record::BatchHeader& header, const record::RecordView& record) {
  if (header.attributes.control() || record.offset >= rules_.map_end) return true;
  if (!record.key) {
    ++counts_.records_without_key;
    return false;
  }
  const auto newest = rules_.map->get(*record.key);
  if (newest && record.offset < *newest) return false;
  const auto horizon = header.delete_horizon();
  return record.value || !horizon || rules_.now < *horizon;
}

// False: some do not stay.
Result<bool> BatchFilter::collect(const record::BatchView& batch) {
  ASSIGN_OR_RETURN(auto reader, record::RecordReader::open(batch, scratch_, kMaxUnpacked));
  bool all = true;
  for (;;) {
    record::RecordView record;
    ASSIGN_OR_RETURN(const bool more, reader.next(record));
    if (!more) break;
    const bool kept = stays(batch.header(), record);
    if (kept) retained_.push_back(record);
    all &= kept;
  }
  counts_.records_kept += retained_.size();
  return all;
}

Result<> BatchFilter::filter(const record::BatchView& batch, ByteBuffer& out) {
  const record::BatchHeader& header = batch.header();
  if (header.is_legacy())
    return fail(Errc::kUnsupported, "messages of magic 0 and 1 are not compacted");
  ASSIGN_OR_RETURN(const Retention retention, retention_of(batch));
  counts_.records_read += static_cast<uint64_t>(header.record_count);
  retained_.clear();
  bool all = false;
  if (!retention.drops_records) {
    ASSIGN_OR_RETURN(all, collect(batch));
  }
  if (retained_.empty()) {
    if (retention.empty == Empty::kDeleted) return {};
    const ByteBuffer empty = record::build_empty_batch(header);
    out.insert(out.end(), empty.begin(), empty.end());
    return {};
  }
  const bool has_tombstones =
      std::ranges::any_of(retained_, [](const auto& record) { return !record.value; });
  const auto horizon = header.delete_horizon();
  const bool begins_horizon = (has_tombstones || retention.is_spent_marker) && !horizon;
  if (all && !begins_horizon)
    out.insert(out.end(), batch.bytes().begin(), batch.bytes().end());
  else
    rebuild(header,
            begins_horizon ? std::optional(rules_.now + rules_.delete_retention_ms) : horizon, out);
  return {};
}

void BatchFilter::rebuild(const record::BatchHeader& header, std::optional<TimestampMs> horizon,
                          ByteBuffer& out) {
  const record::TimestampType timestamp_type = header.timestamp_type();
  record::BatchBuilder builder({.base_offset = header.base_offset,
                                .leader_epoch = header.leader_epoch,
                                .codec = *header.attributes.codec(),
                                .timestamp_type = timestamp_type,
                                .log_append_time = header.max_timestamp,
                                .producer_id = header.producer_id,
                                .producer_epoch = header.producer_epoch,
                                .base_sequence = header.base_sequence,
                                .transactional = header.attributes.transactional(),
                                .control = header.attributes.control(),
                                .delete_horizon = horizon,
                                .last_offset = header.last_offset()});
  for (const record::RecordView& record : retained_) {
    headers_.clear();
    for (const record::HeaderView& each : record.headers) headers_.push_back(each);
    builder.append_at(record.offset, {.timestamp = record.timestamp,
                                      .key = record.key,
                                      .value = record.value,
                                      .headers = headers_});
  }
  const ByteBuffer built = std::move(builder).build();
  out.insert(out.end(), built.begin(), built.end());
}

std::vector<size_t> group_segments(std::span<const CompactionSource> segments,
                                   std::span<const SegmentSizes> sizes, const GroupLimits& limits) {
  ASSERT(segments.size() == sizes.size());
  std::vector<size_t> groups;
  for (size_t first = 0; first < segments.size();) {
    SegmentSizes total = sizes[first];
    size_t next = first + 1;
    for (; next < segments.size(); ++next) {
      const SegmentSizes& more = sizes[next];
      const Offset end = next + 1 < segments.size() ? segments[next + 1].base : limits.end;
      const bool fits = total.log + more.log <= limits.segment_bytes &&
                        total.index + more.index <= limits.index_bytes &&
                        total.time_index + more.time_index <= limits.index_bytes &&
                        (more.log == 0 || end - 1 - segments[first].base <= INT32_MAX);
      if (!fits) break;
      total = {.log = total.log + more.log,
               .index = total.index + more.index,
               .time_index = total.time_index + more.time_index};
    }
    groups.push_back(next - first);
    first = next;
  }
  return groups;
}

}  // namespace millrace::storage
