// The records inside a batch: a view of one, and a reader that walks them in order, decompressing
// as it goes. Reads magic 2 batches and, through the same calls, magic 0 and 1 messages with their
// compressed wrappers (absolute inner offsets in magic 0, relative ones in magic 1).
// Not here: framing and CRC of the batch (record/batch.h), checks of what a client sent
// (record/produce_validation.h).
// Ownership: a RecordView points into the batch or the reader's window and lives until the next
// call of the reader. Threads: one caller at a time.
// Invariants: (1) no count or length of the bytes is trusted: each record is checked against its
// own length and the bytes there are; (2) the reader ends without an error only if exactly
// record_count records filled the payload exactly; (3) memory is the largest record, at most the
// limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "record/batch.h"
#include "record/compression.h"

namespace millrace::record {

struct HeaderView {
  std::string_view key;
  std::optional<ByteView> value;
};

// The headers of a record, in order, repeated keys included. Already checked: iterating cannot
// fail.
class HeaderList {
 public:
  class Iterator {
   public:
    Iterator(const uint8_t* at, int32_t left) : at_(at), left_(left) { load(); }
    const HeaderView& operator*() const { return current_; }
    Iterator& operator++() {
      --left_;
      load();
      return *this;
    }
    bool operator!=(const Iterator& other) const { return left_ != other.left_; }

   private:
    void load();
    const uint8_t* at_;
    int32_t left_;
    HeaderView current_;
  };

  HeaderList() = default;
  HeaderList(const uint8_t* encoded, int32_t count) : encoded_(encoded), count_(count) {}
  int32_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  Iterator begin() const { return {encoded_, count_}; }
  Iterator end() const { return {nullptr, 0}; }

 private:
  const uint8_t* encoded_ = nullptr;
  int32_t count_ = 0;
};

struct RecordView {
  Offset offset;
  TimestampMs timestamp = kNoTimestamp;  // the batch's max timestamp under LogAppendTime
  ProducerSequence sequence = kNoSequence;
  std::optional<ByteView> key;
  std::optional<ByteView> value;  // nullopt: a tombstone
  HeaderList headers;
  int32_t size_in_bytes = 0;  // encoded, with its length prefix (magic 0 and 1: whole message)
};

// What a reader may spend, and the contexts and memory it works in. Keep one a shard; a reader uses
// it exclusively while it lives.
struct ReadScratch {
  Decompressor decompressor;
  ByteBuffer window;
};

class RecordReader {
 public:
  // `batch` and `scratch` outlive the reader. `max_decompressed` bounds the output of a compressed
  // batch as a whole. Fails with kUnsupported for an unknown codec.
  static Result<RecordReader> open(const BatchView& batch, ReadScratch& scratch,
                                   size_t max_decompressed);

  // The next record into `record`; false: there are no more. After an error only destruction is
  // allowed. kCorrupt: records or compressed bytes are broken (decompression_failed() tells which);
  // kLimit: max_decompressed was reached.
  Result<bool> next(RecordView& record);
  bool decompression_failed() const { return decompression_failed_; }
  // Bytes of records that passed so far, uncompressed.
  int64_t uncompressed_bytes() const { return consumed_; }

 private:
  RecordReader(const BatchView& batch, ReadScratch& scratch) : batch_(&batch), scratch_(&scratch) {}
  Result<> open_legacy(size_t max_decompressed);
  Result<bool> next_record(RecordView& record);
  Result<bool> next_legacy(RecordView& record);
  Result<bool> check_end();
  // Makes at least `wanted` bytes available at the front of window_ if the payload still has them.
  Result<> fill(size_t wanted);
  Result<> fill_more(size_t wanted);

  const BatchView* batch_;
  ReadScratch* scratch_;
  ByteView window_;  // bytes of the payload that are at hand and not consumed
  bool streaming_ = false;
  bool decompression_failed_ = false;
  int32_t index_ = 0;
  int64_t consumed_ = 0;
  int64_t legacy_offset_base_ = 0;  // added to inner offsets of a wrapper
};

// The offset of the first record: the header's base offset, or for a compressed magic 0 or 1
// wrapper the one found inside.
Result<Offset> first_offset(const BatchView& batch, ReadScratch& scratch, size_t max_decompressed);

}  // namespace millrace::record
