#include "storage/producer_state.h"

#include <algorithm>

#include "base/crc32c.h"

namespace millrace::storage {
namespace {

// A snapshot: int16 version 1, uint32 CRC-32C of what follows, int32 count, entries of 46 bytes.
constexpr int16_t kVersion = 1;
constexpr size_t kCoveredAt = 6, kEntriesAt = 10, kEntryBytes = 46;

template <class T>
void put(ByteBuffer& out, T value) {
  const size_t at = out.size();
  out.resize(at + sizeof(T));
  store_big(out.data() + at, value);
}

}  // namespace

ProducerSequence ProducedBatch::base_sequence() const {
  if (last_sequence == record::kNoSequence) return last_sequence;
  return record::advance_sequence(last_sequence, -offset_delta);
}

SequenceVerdict ProducerState::check(const record::BatchHeader& header) const {
  auto found = producers_.find(header.producer_id);
  const bool known = found != producers_.end();
  const SequenceVerdict verdict =
      known ? check_known(header, found->second) : SequenceVerdict(Accepted{});
  const auto* refused = std::get_if<SequenceError>(&verdict);
  const bool leaves_gap = known ? refused && *refused == SequenceError::kOutOfOrderSequence : true;
  return leaves_gap && is_behind_refused(header) ? SequenceError::kBehindRefused : verdict;
}

SequenceVerdict ProducerState::check_known(const record::BatchHeader& header,
                                           const ProducerEntry& producer) const {
  if (header.producer_epoch < producer.epoch) return SequenceError::kInvalidProducerEpoch;
  if (header.producer_epoch > producer.epoch)
    return header.base_sequence.value() == 0 ? SequenceVerdict(Accepted{})
                                             : SequenceError::kOutOfOrderSequence;
  for (size_t i = 0; i < producer.batch_count; ++i) {
    const ProducedBatch& batch = producer.batches[i];
    const bool is_repeated = batch.base_sequence() == header.base_sequence &&
                             batch.last_sequence == header.last_sequence();
    if (is_repeated &&
        (!header.attributes.transactional() || producer.is_in_open_transaction(batch)))
      return batch;
  }
  // Behind a marker with a new epoch, as at the start of any, sequences begin at 0.
  const ProducedBatch* last = producer.last();
  const bool has_sequence = last && last->last_sequence != record::kNoSequence;
  const ProducerSequence expected =
      has_sequence ? record::advance_sequence(last->last_sequence, 1) : ProducerSequence(0);
  if (header.base_sequence != expected) return SequenceError::kOutOfOrderSequence;
  return Accepted{};
}

// Sequences go around at 2^31: behind is what lies less than half of that further on.
bool ProducerState::is_behind_refused(const record::BatchHeader& header) const {
  auto found = refused_.find(header.producer_id);
  if (found == refused_.end() || found->second.epoch != header.producer_epoch) return false;
  const uint32_t distance = (static_cast<uint32_t>(header.base_sequence.value()) -
                             static_cast<uint32_t>(found->second.base_sequence.value())) &
                            INT32_MAX;
  return distance != 0 && distance < uint32_t{1} << 30;
}

void ProducerState::refuse(const record::BatchHeader& header) {
  if (is_behind_refused(header)) return;
  if (refused_.size() >= kMaxRefused) refused_.clear();
  refused_[header.producer_id] = {.epoch = header.producer_epoch,
                                  .base_sequence = header.base_sequence};
}

void ProducerState::update(const record::BatchHeader& header, TimestampMs now) {
  refused_.erase(header.producer_id);
  ProducerEntry& producer = producers_[header.producer_id];
  if (header.producer_epoch != producer.epoch) producer.batch_count = 0;
  producer.epoch = header.producer_epoch;
  if (producer.batch_count == ProducerEntry::kKept) {
    std::ranges::rotate(producer.batches, producer.batches.begin() + 1);
    --producer.batch_count;
  }
  producer.batches[producer.batch_count++] = {.last_sequence = header.last_sequence(),
                                              .last_offset = header.last_offset(),
                                              .offset_delta = header.last_offset_delta,
                                              .timestamp = header.max_timestamp};
  producer.last_timestamp = now;
  if (!header.attributes.transactional() || producer.transaction_start) return;
  producer.transaction_start = header.base_offset;
  open_.insert(header.base_offset);
}

void ProducerState::end_transaction(const record::BatchHeader& marker, int32_t coordinator_epoch) {
  ProducerEntry& producer = producers_[marker.producer_id];
  if (marker.producer_epoch != producer.epoch) producer.batch_count = 0;
  producer.epoch = marker.producer_epoch;
  producer.coordinator_epoch = coordinator_epoch;
  producer.last_timestamp = marker.max_timestamp;
  if (!producer.transaction_start) return;
  open_.erase(*producer.transaction_start);
  ended_.push_back({*producer.transaction_start, marker.base_offset});
  producer.transaction_start.reset();
}

void ProducerState::complete_from(const ProducerState& recent) {
  for (auto& [id, producer] : producers_) {
    auto found = recent.producers_.find(id);
    if (found == recent.producers_.end() || found->second.epoch != producer.epoch) continue;
    const ProducedBatch *own = producer.last(), *last = found->second.last();
    if (own == nullptr || last == nullptr || own->last_offset != last->last_offset) continue;
    producer.batches = found->second.batches;
    producer.batch_count = found->second.batch_count;
  }
}

void ProducerState::expire(TimestampMs before) {
  std::erase_if(producers_, [&](const auto& entry) {
    return entry.second.last_timestamp < before && !entry.second.transaction_start;
  });
}

std::optional<Offset> ProducerState::first_unstable_offset() const {
  if (open_.empty()) return std::nullopt;
  return *open_.begin();
}

std::optional<Offset> ProducerState::first_unstable_offset(Offset high_watermark) const {
  std::optional<Offset> first = first_unstable_offset();
  for (const Ended& ended : ended_)
    if (ended.marker >= high_watermark && (!first || ended.start < *first)) first = ended.start;
  return first;
}

void ProducerState::replicated(Offset high_watermark) {
  const auto reached = std::ranges::find_if(
      ended_, [&](const Ended& ended) { return ended.marker >= high_watermark; });
  ended_.erase(ended_.begin(), reached);
}

ByteBuffer ProducerState::snapshot() const {
  ByteBuffer out;
  put(out, kVersion);
  put(out, uint32_t{0});
  put(out, static_cast<int32_t>(producers_.size()));
  for (const auto& [id, producer] : producers_) {
    const ProducedBatch last =
        producer.last() ? *producer.last() : ProducedBatch{.last_offset = record::kNoOffset};
    put(out, id.value());
    put(out, producer.epoch.value());
    put(out, last.last_sequence.value());
    put(out, last.last_offset.value());
    put(out, last.offset_delta);
    put(out, producer.last_timestamp.value());
    put(out, producer.coordinator_epoch);
    put(out, producer.transaction_start.value_or(record::kNoOffset).value());
  }
  store_big(out.data() + 2, crc32c(ByteView(out).subspan(kCoveredAt)));
  return out;
}

Result<ProducerState> ProducerState::parse_snapshot(ByteView bytes) {
  if (bytes.size() < kEntriesAt || load_big<int16_t>(bytes.data()) != kVersion)
    return fail(Errc::kCorrupt, "a producer snapshot does not begin with version 1");
  if (load_big<uint32_t>(bytes.data() + 2) != crc32c(bytes.subspan(kCoveredAt)))
    return fail(Errc::kCorrupt, "the checksum of a producer snapshot is wrong");
  const auto count = load_big<int32_t>(bytes.data() + kCoveredAt);
  if (count < 0 || (bytes.size() - kEntriesAt) / kEntryBytes != static_cast<size_t>(count))
    return fail(Errc::kCorrupt, "a producer snapshot has another number of entries than it says");
  ProducerState state;
  for (int32_t i = 0; i < count; ++i) {
    const uint8_t* at = bytes.data() + kEntriesAt + static_cast<size_t>(i) * kEntryBytes;
    ProducerEntry& producer = state.producers_[ProducerId(load_big<int64_t>(at))];
    producer.epoch = ProducerEpoch(load_big<int16_t>(at + 8));
    const Offset last_offset(load_big<int64_t>(at + 14));
    if (last_offset.value() >= 0)
      producer.batches[producer.batch_count++] = {
          .last_sequence = ProducerSequence(load_big<int32_t>(at + 10)),
          .last_offset = last_offset,
          .offset_delta = load_big<int32_t>(at + 22),
          .timestamp = TimestampMs(load_big<int64_t>(at + 26))};
    producer.last_timestamp = TimestampMs(load_big<int64_t>(at + 26));
    producer.coordinator_epoch = load_big<int32_t>(at + 34);
    const Offset start(load_big<int64_t>(at + 38));
    if (start.value() < 0) continue;
    producer.transaction_start = start;
    state.open_.insert(start);
  }
  return state;
}

}  // namespace millrace::storage
