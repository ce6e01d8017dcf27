#include "record/builder.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "record/varint.h"

namespace millrace::record {
namespace {

constexpr size_t kCrcAt = 17, kCoveredAt = 21;

// Timestamps are the producer's, and any number: a difference beyond 64 bits wraps, and the
// reader's sum wraps back.
int64_t wrapped_delta(TimestampMs timestamp, TimestampMs base) {
  return static_cast<int64_t>(static_cast<uint64_t>(timestamp.value()) -
                              static_cast<uint64_t>(base.value()));
}

size_t nullable_size(const std::optional<ByteView>& bytes) {
  return bytes ? varlong_size(static_cast<int64_t>(bytes->size())) + bytes->size() : 1;
}

void put_nullable(ByteBuffer& out, const std::optional<ByteView>& bytes) {
  put_varlong(out, bytes ? static_cast<int64_t>(bytes->size()) : -1);
  if (bytes) out.insert(out.end(), bytes->begin(), bytes->end());
}

size_t body_size(const NewRecord& record, BatchBuilder::Deltas deltas) {
  size_t size = 1 + varlong_size(deltas.timestamp) + varlong_size(deltas.offset) +
                nullable_size(record.key) + nullable_size(record.value) +
                varlong_size(static_cast<int64_t>(record.headers.size()));
  for (const HeaderView& header : record.headers)
    size += nullable_size(as_bytes(header.key)) + nullable_size(header.value);
  return size;
}

// Writes the 61 bytes in front of `payload_size` bytes of records; the CRC comes last, over them.
void put_header(MutableByteView batch, const BatchHeader& header) {
  uint8_t* at = batch.data();
  store_big(at, header.base_offset.value());
  store_big(at + 8, static_cast<int32_t>(batch.size() - kBatchOverhead));
  store_big(at + 12, header.leader_epoch.value());
  at[16] = static_cast<uint8_t>(kCurrentMagic);
  store_big(at + 21, header.attributes.bits());
  store_big(at + 23, header.last_offset_delta);
  store_big(at + 27, header.base_timestamp.value());
  store_big(at + 35, header.max_timestamp.value());
  store_big(at + 43, header.producer_id.value());
  store_big(at + 51, header.producer_epoch.value());
  store_big(at + 53, header.base_sequence.value());
  store_big(at + 57, header.record_count);
  store_big(at + kCrcAt, crc32c(batch.subspan(kCoveredAt)));
}

}  // namespace

BatchBuilder::BatchBuilder(const BatchOptions& options)
    : options_(options), bytes_(kBatchHeaderSize), next_offset_(options.base_offset) {}

void BatchBuilder::append(const NewRecord& record) { append_at(next_offset_, record); }

void BatchBuilder::append_at(Offset offset, const NewRecord& record) {
  ASSERT(offset >= next_offset_, "offset {} after {}", offset, next_offset_);
  if (!base_timestamp_) base_timestamp_ = options_.delete_horizon.value_or(record.timestamp);
  const Deltas deltas{.timestamp = wrapped_delta(record.timestamp, *base_timestamp_),
                      .offset = offset - options_.base_offset};
  put_varlong(bytes_, static_cast<int64_t>(body_size(record, deltas)));
  bytes_.push_back(0);
  put_varlong(bytes_, deltas.timestamp);
  put_varlong(bytes_, deltas.offset);
  put_nullable(bytes_, record.key);
  put_nullable(bytes_, record.value);
  put_varlong(bytes_, static_cast<int64_t>(record.headers.size()));
  for (const HeaderView& header : record.headers) {
    put_nullable(bytes_, as_bytes(header.key));
    put_nullable(bytes_, header.value);
  }
  ASSERT(bytes_.size() <= INT32_MAX, "batch of {} bytes", bytes_.size());
  max_timestamp_ = std::max(max_timestamp_, record.timestamp);
  next_offset_ = offset + 1;
  ++count_;
}

TimestampMs BatchBuilder::max_timestamp() const {
  return options_.timestamp_type == TimestampType::kLogAppendTime ? options_.log_append_time
                                                                  : max_timestamp_;
}

ByteBuffer BatchBuilder::build() && {
  if (options_.codec != Codec::kNone) {
    ByteBuffer packed(kBatchHeaderSize);
    compress(options_.codec, options_.level.value_or(level_range(options_.codec).preset),
             ByteView(bytes_).subspan(kBatchHeaderSize), packed);
    bytes_ = std::move(packed);
  }
  const Offset last = options_.last_offset.value_or(next_offset_ - 1);
  ASSERT(last >= next_offset_ - 1, "a batch that ends at {} has a record at {}", last,
         next_offset_ - 1);
  Attributes attributes = Attributes().with_codec(options_.codec);
  attributes = attributes.with(Attributes::kLogAppendTime,
                               options_.timestamp_type == TimestampType::kLogAppendTime);
  attributes = attributes.with(Attributes::kTransactional, options_.transactional);
  attributes = attributes.with(Attributes::kControl, options_.control);
  attributes = attributes.with(Attributes::kDeleteHorizon, options_.delete_horizon.has_value());
  put_header(bytes_, {.base_offset = options_.base_offset,
                      .leader_epoch = options_.leader_epoch,
                      .attributes = attributes,
                      .last_offset_delta = static_cast<int32_t>(last - options_.base_offset),
                      .base_timestamp = base_timestamp_.value_or(kNoTimestamp),
                      .max_timestamp = max_timestamp(),
                      .producer_id = options_.producer_id,
                      .producer_epoch = options_.producer_epoch,
                      .base_sequence = options_.base_sequence,
                      .record_count = count_});
  return std::move(bytes_);
}

ByteBuffer build_empty_batch(const BatchHeader& of) {
  BatchHeader header = of;
  header.attributes =
      of.attributes.with_codec(Codec::kNone).with(Attributes::kDeleteHorizon, false);
  header.base_timestamp = kNoTimestamp;
  header.record_count = 0;
  ByteBuffer bytes(kBatchHeaderSize);
  put_header(bytes, header);
  return bytes;
}

}  // namespace millrace::record
