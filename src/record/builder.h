// Makes magic 2 record batches, byte for byte as Kafka's own builder does.
// Not here: control records (record/control.h). Inputs are trusted (the caller's own data); sizes
// must fit a batch: a batch over 2 GiB hits an ASSERT, so bound what is appended with
// size_so_far().
// Threads: one caller at a time.
// Invariants:
//   (1) offsets ascend;
//   (2) base_timestamp is that of the first record, or the delete horizon; max_timestamp the
//      largest, or the log append time;
//   (3) what build() returns, BatchView::parse and verify_crc() accept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/ids.h"
#include "record/batch.h"
#include "record/compression.h"
#include "record/record.h"

namespace millrace::record {

struct BatchOptions {
  Offset base_offset{0};
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
  Codec codec = Codec::kNone;
  std::optional<int> level;  // none: the codec's preset
  TimestampType timestamp_type = TimestampType::kCreateTime;
  TimestampMs log_append_time = kNoTimestamp;  // the max timestamp under kLogAppendTime
  ProducerId producer_id = kNoProducerId;
  ProducerEpoch producer_epoch = kNoProducerEpoch;
  ProducerSequence base_sequence = kNoSequence;
  bool transactional = false;
  bool control = false;
  std::optional<TimestampMs> delete_horizon;
  std::optional<Offset> last_offset;  // of the batch; none: that of its last record
};

struct NewRecord {
  TimestampMs timestamp = kNoTimestamp;
  std::optional<ByteView> key;
  std::optional<ByteView> value;
  std::span<const HeaderView> headers;
};

class BatchBuilder {
 public:
  struct Deltas {
    int64_t timestamp = 0;
    int64_t offset = 0;
  };
  explicit BatchBuilder(const BatchOptions& options);

  // At the offset after the last one.
  void append(const NewRecord& record);
  // At its own offset, which lies at or beyond the next one (gaps are what compaction leaves).
  void append_at(Offset offset, const NewRecord& record);

  int32_t record_count() const { return count_; }
  Offset next_offset() const { return next_offset_; }
  // Size of the batch if it were built now, uncompressed.
  size_t size_so_far() const { return bytes_.size(); }
  TimestampMs max_timestamp() const;

  // The batch. The builder is used up.
  ByteBuffer build() &&;

 private:
  BatchOptions options_;
  ByteBuffer bytes_;  // room for the header, then records uncompressed
  Offset next_offset_;
  std::optional<TimestampMs> base_timestamp_;
  TimestampMs max_timestamp_ = kNoTimestamp;
  int32_t count_ = 0;
};

// What compaction leaves of a batch whose records are all gone: its header, which says how far its
// producer and its log had come.
ByteBuffer build_empty_batch(const BatchHeader& of);

}  // namespace millrace::record
