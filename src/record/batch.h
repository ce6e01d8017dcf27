// A record batch as it stands on the wire and in a log segment: header, view, iteration over a run
// of batches, patches in place. Magic 2 is the format of every batch that is written; magic 0 and 1
// messages, which upgraded clusters still hold in old segments, are parsed by the same functions.
// Not here: the records inside (record/record.h), making batches (record/builder.h), what a client
// may send (record/produce_validation.h), files (storage/).
// Ownership: a view points into the bytes it was parsed from and lives no longer. No allocation on
// any path that succeeds.
// Threads: values, no shared state.
// Invariants:
//   (1) a BatchView spans exactly size_in_bytes() bytes;
//   (2) parsing checks framing only (length, magic, header present), never the CRC or the records:
//      verify_crc() and RecordReader do.
// KIP-98 (format), KIP-534 (delete horizon); docs/format/record.md has every byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "record/compression.h"

namespace millrace::record {

inline constexpr size_t kBatchOverhead = 12;  // base offset and length: what `length` leaves out
inline constexpr size_t kBatchHeaderSize = 61;
inline constexpr int8_t kCurrentMagic = 2;
inline constexpr ProducerEpoch kNoProducerEpoch{-1};
inline constexpr ProducerSequence kNoSequence{-1};
inline constexpr Offset kNoOffset{-1};

enum class TimestampType : uint8_t { kCreateTime = 0, kLogAppendTime = 1, kNone = 2 };  // none: v0

// The attributes word of a batch.
class Attributes {
 public:
  static constexpr uint16_t kCodecMask = 0x07;
  static constexpr uint16_t kLogAppendTime = 0x08;
  static constexpr uint16_t kTransactional = 0x10;
  static constexpr uint16_t kControl = 0x20;
  static constexpr uint16_t kDeleteHorizon = 0x40;

  constexpr Attributes() = default;
  constexpr explicit Attributes(uint16_t bits) : bits_(bits) {}

  constexpr uint16_t bits() const { return bits_; }
  constexpr uint8_t codec_id() const { return bits_ & kCodecMask; }
  Result<Codec> codec() const { return codec_of_id(codec_id()); }
  constexpr bool compressed() const { return codec_id() != 0; }
  constexpr TimestampType timestamp_type() const {
    return bits_ & kLogAppendTime ? TimestampType::kLogAppendTime : TimestampType::kCreateTime;
  }
  constexpr bool transactional() const { return bits_ & kTransactional; }
  constexpr bool control() const { return bits_ & kControl; }
  constexpr bool has_delete_horizon() const { return bits_ & kDeleteHorizon; }

  constexpr Attributes with(uint16_t flag, bool on = true) const {
    return Attributes(static_cast<uint16_t>(on ? bits_ | flag : bits_ & ~flag));
  }
  constexpr Attributes with_codec(Codec codec) const {
    return Attributes(static_cast<uint16_t>((bits_ & ~kCodecMask) | static_cast<uint16_t>(codec)));
  }
  friend constexpr bool operator==(Attributes, Attributes) = default;

 private:
  uint16_t bits_ = 0;
};

// The 61 bytes of a magic 2 header. For magic 0 and 1 the fields those formats lack have the values
// Kafka gives them: no epoch, no producer, record_count 1, or -1 (unknown) for a compressed
// wrapper; base_offset is the offset field of the message, which for a wrapper is its *last* offset
// (first_offset() looks inside).
struct BatchHeader {
  Offset base_offset;
  int32_t length = 0;
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
  int8_t magic = kCurrentMagic;
  uint32_t crc = 0;  // CRC-32C of bytes 21..end; magic 0 and 1: CRC-32 of bytes 16..end
  Attributes attributes;
  int32_t last_offset_delta = 0;
  TimestampMs base_timestamp = kNoTimestamp;  // the delete horizon when that bit is set
  TimestampMs max_timestamp = kNoTimestamp;
  ProducerId producer_id = kNoProducerId;
  ProducerEpoch producer_epoch = kNoProducerEpoch;
  ProducerSequence base_sequence = kNoSequence;
  int32_t record_count = 0;

  int64_t size_in_bytes() const { return int64_t{length} + static_cast<int64_t>(kBatchOverhead); }
  Offset last_offset() const { return base_offset + last_offset_delta; }
  Offset next_offset() const { return last_offset() + 1; }
  bool has_producer_id() const { return producer_id.value() > kNoProducerId.value(); }
  ProducerSequence last_sequence() const;  // wraps 2147483647 -> 0; kNoSequence without one
  TimestampType timestamp_type() const {
    return magic == 0 ? TimestampType::kNone : attributes.timestamp_type();
  }
  // When tombstones and markers of this batch may go (KIP-534).
  std::optional<TimestampMs> delete_horizon() const;
  bool is_legacy() const { return magic < kCurrentMagic; }
};

// The sequence `count` steps after `sequence`, in the ring 0..2147483647.
ProducerSequence advance_sequence(ProducerSequence sequence, int32_t count);

// Reads a header from the front of `bytes`, which need not hold the batch: kBatchHeaderSize bytes
// are always enough. nullopt: more bytes are needed. kCorrupt: length or magic impossible.
Result<std::optional<BatchHeader>> peek_header(ByteView bytes);

class BatchView {
 public:
  // `bytes` is exactly one batch: kTruncated if it ends early, kCorrupt if it is not one or is
  // followed by anything.
  static Result<BatchView> parse(ByteView bytes);

  const BatchHeader& header() const { return header_; }
  ByteView bytes() const { return bytes_; }
  size_t size_in_bytes() const { return bytes_.size(); }
  Offset base_offset() const { return header_.base_offset; }
  Offset last_offset() const { return header_.last_offset(); }
  Offset next_offset() const { return header_.next_offset(); }

  // Whether the stored checksum is that of the bytes. Base offset and leader epoch are outside it.
  bool verify_crc() const;
  // Magic 2 only: the records section, compressed if the attributes say so.
  ByteView payload() const { return bytes_.subspan(kBatchHeaderSize); }

 private:
  friend class BatchIterator;
  BatchView(ByteView bytes, const BatchHeader& header) : bytes_(bytes), header_(header) {}

  ByteView bytes_;
  BatchHeader header_;
};

// Walks a run of concatenated batches: a segment, or what a fetch or a client carries.
class BatchIterator {
 public:
  explicit BatchIterator(ByteView run) : run_(run) {}

  // The next batch. nullopt: the run is at its end, or what is left is the front of a batch that
  // goes on beyond the run (then remaining() is not 0: a torn tail, or read more). kCorrupt: the
  // bytes at position() start no batch; the iterator stays there.
  Result<std::optional<BatchView>> next();

  size_t position() const { return position_; }
  size_t remaining() const { return run_.size() - position_; }

 private:
  ByteView run_;
  size_t position_ = 0;
};

// Patches of a magic 2 batch in place. `batch` spans one batch that BatchView::parse accepted
// (ASSERT: magic and size). Base offset and leader epoch are outside the CRC; the others recompute
// it, and do nothing at all when the value stands there already.
void patch_base_offset(MutableByteView batch, Offset base_offset);
void patch_leader_epoch(MutableByteView batch, LeaderEpoch epoch);
// Sets the timestamp type with the max timestamp, as they change together: kLogAppendTime and now
// make every record of the batch read as `now`.
void patch_max_timestamp(MutableByteView batch, TimestampType type, TimestampMs max_timestamp);

}  // namespace millrace::record
