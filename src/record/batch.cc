#include "record/batch.h"

#include <fmt/format.h>
#include <zlib.h>

#include "base/assert.h"
#include "base/crc32c.h"

namespace millrace::record {
namespace {

// Where the fields of a magic 2 header stand (docs/format/record.md).
constexpr size_t kLengthAt = 8, kEpochAt = 12, kMagicAt = 16, kCrcAt = 17, kAttributesAt = 21,
                 kLastDeltaAt = 23, kBaseTimestampAt = 27, kMaxTimestampAt = 35, kProducerIdAt = 43,
                 kProducerEpochAt = 51, kSequenceAt = 53, kCountAt = 57;

// Of a magic 0 or 1 message: offset, size, crc, magic, attributes, [timestamp], key, value.
constexpr size_t kLegacyCrcAt = 12, kLegacyAttributesAt = 17, kLegacyTimestampAt = 18;
constexpr int32_t kLeastLegacyLength[] = {14, 22};
constexpr size_t kPeekBytes = 17;  // up to and with the magic byte

BatchHeader read_current(const uint8_t* at) {
  return {.base_offset = Offset(load_big<int64_t>(at)),
          .length = load_big<int32_t>(at + kLengthAt),
          .leader_epoch = LeaderEpoch(load_big<int32_t>(at + kEpochAt)),
          .magic = kCurrentMagic,
          .crc = load_big<uint32_t>(at + kCrcAt),
          .attributes = Attributes(load_big<uint16_t>(at + kAttributesAt)),
          .last_offset_delta = load_big<int32_t>(at + kLastDeltaAt),
          .base_timestamp = TimestampMs(load_big<int64_t>(at + kBaseTimestampAt)),
          .max_timestamp = TimestampMs(load_big<int64_t>(at + kMaxTimestampAt)),
          .producer_id = ProducerId(load_big<int64_t>(at + kProducerIdAt)),
          .producer_epoch = ProducerEpoch(load_big<int16_t>(at + kProducerEpochAt)),
          .base_sequence = ProducerSequence(load_big<int32_t>(at + kSequenceAt)),
          .record_count = load_big<int32_t>(at + kCountAt)};
}

BatchHeader read_legacy(const uint8_t* at, int8_t magic) {
  BatchHeader header{.base_offset = Offset(load_big<int64_t>(at)),
                     .length = load_big<int32_t>(at + kLengthAt),
                     .magic = magic,
                     .crc = load_big<uint32_t>(at + kLegacyCrcAt),
                     .attributes = Attributes(at[kLegacyAttributesAt])};
  if (magic == 1) {
    header.base_timestamp = TimestampMs(load_big<int64_t>(at + kLegacyTimestampAt));
    header.max_timestamp = header.base_timestamp;
  }
  header.record_count = header.attributes.compressed() ? -1 : 1;
  return header;
}

// Whether last_offset() and next_offset() are numbers of 64 bits that do not lie before
// base_offset: everything behind relies on it.
bool offsets_fit(const BatchHeader& header) {
  int64_t next = 0;
  return header.last_offset_delta >= 0 &&
         !__builtin_add_overflow(header.base_offset.value(), header.last_offset_delta, &next) &&
         !__builtin_add_overflow(next, 1, &next);
}

void seal(MutableByteView batch) {
  store_big(batch.data() + kCrcAt, crc32c(batch.subspan(kAttributesAt)));
}

}  // namespace

ProducerSequence advance_sequence(ProducerSequence sequence, int32_t count) {
  return ProducerSequence(static_cast<int32_t>((int64_t{sequence.value()} + count) & 0x7FFFFFFF));
}

ProducerSequence BatchHeader::last_sequence() const {
  if (base_sequence == kNoSequence) return kNoSequence;
  return advance_sequence(base_sequence, last_offset_delta);
}

std::optional<TimestampMs> BatchHeader::delete_horizon() const {
  if (magic < kCurrentMagic || !attributes.has_delete_horizon()) return std::nullopt;
  return base_timestamp;
}

Result<std::optional<BatchHeader>> peek_header(ByteView bytes) {
  if (bytes.size() < kPeekBytes) return std::nullopt;
  const auto length = load_big<int32_t>(bytes.data() + kLengthAt);
  const auto magic = static_cast<int8_t>(bytes[kMagicAt]);
  if (magic < 0 || magic > kCurrentMagic)
    return fail(Errc::kCorrupt, fmt::format("magic {} is unknown", magic));
  const int32_t least = magic == kCurrentMagic
                            ? static_cast<int32_t>(kBatchHeaderSize - kBatchOverhead)
                            : kLeastLegacyLength[magic];
  if (length < least)
    return fail(Errc::kCorrupt, fmt::format("batch length {} is below {}", length, least));
  const size_t needed =
      magic == kCurrentMagic ? kBatchHeaderSize : kBatchOverhead + static_cast<size_t>(least);
  if (bytes.size() < needed) return std::nullopt;
  const BatchHeader header =
      magic == kCurrentMagic ? read_current(bytes.data()) : read_legacy(bytes.data(), magic);
  if (!offsets_fit(header))
    return fail(Errc::kCorrupt, fmt::format("base offset {} with last offset delta {}",
                                            header.base_offset, header.last_offset_delta));
  return header;
}

Result<BatchView> BatchView::parse(ByteView bytes) {
  ASSIGN_OR_RETURN(auto header, peek_header(bytes));
  if (!header || std::cmp_greater(header->size_in_bytes(), bytes.size()))
    return fail(Errc::kTruncated, "the batch is cut short");
  if (std::cmp_less(header->size_in_bytes(), bytes.size()))
    return fail(Errc::kCorrupt, "there are bytes behind the batch");
  return BatchView(bytes, *header);
}

bool BatchView::verify_crc() const {
  if (header_.magic == kCurrentMagic) return crc32c(bytes_.subspan(kAttributesAt)) == header_.crc;
  ByteView covered = bytes_.subspan(kMagicAt);
  return crc32(0, covered.data(), static_cast<uInt>(covered.size())) == header_.crc;
}

Result<std::optional<BatchView>> BatchIterator::next() {
  ByteView rest = run_.subspan(position_);
  ASSIGN_OR_RETURN(auto header, peek_header(rest));
  if (!header || std::cmp_greater(header->size_in_bytes(), rest.size())) return std::nullopt;
  const auto size = static_cast<size_t>(header->size_in_bytes());
  position_ += size;
  return BatchView(rest.first(size), *header);
}

void patch_base_offset(MutableByteView batch, Offset base_offset) {
  store_big(batch.data(), base_offset.value());
}

void patch_leader_epoch(MutableByteView batch, LeaderEpoch epoch) {
  store_big(batch.data() + kEpochAt, epoch.value());
}

void patch_max_timestamp(MutableByteView batch, TimestampType type, TimestampMs max_timestamp) {
  const Attributes old(load_big<uint16_t>(batch.data() + kAttributesAt));
  const Attributes now =
      old.with(Attributes::kLogAppendTime, type == TimestampType::kLogAppendTime);
  if (now == old && load_big<int64_t>(batch.data() + kMaxTimestampAt) == max_timestamp.value())
    return;
  store_big(batch.data() + kAttributesAt, now.bits());
  store_big(batch.data() + kMaxTimestampAt, max_timestamp.value());
  seal(batch);
}

}  // namespace millrace::record
