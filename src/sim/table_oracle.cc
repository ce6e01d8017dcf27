#include "sim/table_oracle.h"

#include <algorithm>
#include <charconv>

#include "record/record.h"

namespace millrace::sim {
namespace {

constexpr size_t kMaxUnpacked = 1 << 20;

// A tombstone has no value to say which write it is: its place in the log tells.
TableWrite write_of(const record::RecordView& record) {
  TableWrite write{.key = std::string(as_text(record.key.value_or(ByteView()))),
                   .number = -1,
                   .is_tombstone = !record.value.has_value()};
  if (!record.value) return write;
  const std::string_view value = as_text(*record.value);
  const size_t mark = value.rfind('#');
  if (mark == std::string_view::npos || value.substr(0, mark) != write.key) return write;
  std::from_chars(value.data() + mark + 1, value.data() + value.size(), write.number);
  return write;
}

}  // namespace

void TableOracle::acknowledged(int32_t partition, int64_t base_offset, const Batch& batch) {
  Partition& known = partitions_[partition];
  int64_t offset = base_offset;
  for (const TableWrite& write : batch.writes) {
    known.writes[offset] = {write, world_->now()};
    known.keys[write.key].push_back(offset);
    ++offset;
  }
  known.batches[base_offset] = {
      .last = offset - 1, .producer = batch.producer, .sequence = batch.sequence};
}

size_t TableOracle::acknowledged_count() const {
  size_t count = 0;
  for (const auto& [partition, known] : partitions_) count += known.writes.size();
  return count;
}

void TableOracle::check_batch(int32_t partition, const record::BatchHeader& header) {
  const auto& batches = partitions_[partition].batches;
  const auto found = batches.find(header.base_offset.value());
  if (found == batches.end()) return;
  const AcknowledgedBatch& was = found->second;
  if (header.last_offset().value() != was.last || header.producer_id.value() != was.producer ||
      header.base_sequence.value() != was.sequence)
    world_->violated(
        "CP2",
        fmt::format("{}-{}: the batch at {} ends at {}, of producer {} from sequence {}; it "
                    "was acknowledged to {}, of {} from {}",
                    topic_, partition, header.base_offset, header.last_offset(), header.producer_id,
                    header.base_sequence, was.last, was.producer, was.sequence));
}

std::optional<TableOracle::Contents> TableOracle::read(int32_t partition, storage::Log& log,
                                                       Offset high_watermark) {
  Contents contents{
      .start = log.log_start().value(), .active = 0, .high_watermark = high_watermark.value()};
  const std::string file = log.file_of(log.log_end());
  contents.active = std::atoll(file.substr(file.rfind('/') + 1).c_str());
  record::ReadScratch scratch;
  int64_t next = 0;
  auto walked = log.replay([&](const record::BatchHeader& header, ByteView bytes, uint64_t) {
    if (header.base_offset >= high_watermark) return false;
    check_batch(partition, header);
    auto batch = *record::BatchView::parse(bytes);
    auto reader = record::RecordReader::open(batch, scratch, kMaxUnpacked);
    record::RecordView record;
    while (reader && reader->next(record).value_or(false)) {
      if (record.offset.value() < next || record.offset > header.last_offset())
        world_->violated("CP2", fmt::format("{}-{}: offset {} where at least {} must come", topic_,
                                            partition, record.offset, next));
      next = record.offset.value() + 1;
      const TableWrite write = write_of(record);
      contents.records[record.offset.value()] = write;
      contents.newest[write.key] = {record.offset.value(), write};
    }
    next = std::max(next, header.next_offset().value());
    return true;
  });
  if (walked) return contents;
  if (walked.error().code != Errc::kIo)
    world_->violated(
        "CP5", fmt::format("{}-{} cannot be read: {}", topic_, partition, walked.error().message));
  return std::nullopt;
}

bool TableOracle::is_over(const Acknowledged& tombstone) const {
  return tombstone.write.is_tombstone &&
         world_->now() - tombstone.when >= promise_.delete_retention;
}

// A newer record of its key is there; or none at all, because a tombstone's time was over.
bool TableOracle::may_be_gone(const Partition& known, int64_t offset,
                              const Contents& contents) const {
  const Acknowledged& gone = known.writes.at(offset);
  const auto newest = contents.newest.find(gone.write.key);
  if (newest != contents.newest.end()) return newest->second.offset > offset;
  return std::ranges::any_of(known.keys.at(gone.write.key), [&](int64_t later) {
    return later >= offset && later < contents.high_watermark && is_over(known.writes.at(later));
  });
}

void TableOracle::check(int32_t partition, const Contents& contents, bool is_all) {
  const Partition& known = partitions_[partition];
  if (contents.start != 0)
    world_->violated("CP6", fmt::format("{}-{} begins at {}, and nobody deleted anything", topic_,
                                        partition, contents.start));
  for (const auto& [offset, acknowledged] : known.writes) {
    if (offset >= contents.high_watermark && !is_all) break;
    const auto found = contents.records.find(offset);
    const TableWrite& write = acknowledged.write;
    if (found == contents.records.end()) {
      ++compacted_;
      if (offset >= contents.active && !promise_.is_replicated)
        return world_->violated("CP3", fmt::format("{} at {}-{} is gone from the active segment",
                                                   write.value(), topic_, offset));
      if (!may_be_gone(known, offset, contents))
        return world_->violated(
            "CP1", fmt::format("{} at {}-{} is gone, and nothing newer of its "
                               "key is there below {}",
                               write.value(), topic_, offset, contents.high_watermark));
      continue;
    }
    const bool is_same = found->second.key == write.key &&
                         found->second.is_tombstone == write.is_tombstone &&
                         (write.is_tombstone || found->second.number == write.number);
    if (!is_same)
      return world_->violated("CP2", fmt::format("at {}-{} is {} instead of {}", topic_, offset,
                                                 found->second.value(), write.value()));
  }
  if (!is_all) return;
  for (const auto& [key, offsets] : known.keys) {
    const Acknowledged& last = known.writes.at(offsets.back());
    const auto newest = contents.newest.find(key);
    const bool is_last = newest != contents.newest.end() && newest->second.offset == offsets.back();
    if (!is_last && !(newest == contents.newest.end() && is_over(last)))
      return world_->violated("CP4", fmt::format("the newest record of {} in {}-{} is not {}", key,
                                                 topic_, partition, last.write.value()));
  }
}

void TableOracle::look(node::PartitionHost& partitions) {
  for (auto& [partition, known] : partitions_) {
    const auto hosted = partitions.find({topic_, PartitionIndex(partition)});
    if (!hosted) continue;
    with_partition(*hosted.partition, [&](node::PartitionState& state) {
      if (state.is_offline()) return;
      if (const auto found = read(partition, state.log(), state.high_watermark()))
        check(partition, *found, false);
    });
  }
}

void TableOracle::check_all(node::PartitionHost& partitions) {
  for (auto& [partition, known] : partitions_) {
    const auto hosted = partitions.find({topic_, PartitionIndex(partition)});
    if (!hosted) continue;
    with_partition(*hosted.partition, [&](node::PartitionState& state) {
      if (!state.is_leader()) return;
      if (const auto found = read(partition, state.log(), state.high_watermark()))
        check(partition, *found, true);
    });
  }
}

}  // namespace millrace::sim
