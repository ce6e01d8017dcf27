// The records inside a batch: a view of one, and a reader that walks them in order.
// Not here: framing and CRC of the batch (record/batch.h), checks of what a client sent
// (record/produce_validation.h). The messages of magic 0 and 1 are refused (kUnsupported): they are
// served as they are and never looked into.
// Ownership: a RecordView points into the batch, or into the scratch when the batch is compressed,
// and lives until the reader's scratch is used again.
// Threads: one caller at a time.
// Invariants:
//   (1) no count or length of the bytes is trusted: each record is checked against its own length
//      and the bytes there are;
//   (2) the reader ends without an error only if exactly record_count records filled the payload
//      exactly;
//   (3) a compressed batch takes at most max_decompressed bytes of memory.
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

// Where compressed batches are unpacked. Keep one a shard: memory once taken is used again.
struct ReadScratch {
  ByteBuffer unpacked;
};

class RecordReader {
 public:
  // `batch` and `scratch` outlive the reader. kUnsupported: magic below 2, an unknown codec;
  // kCorrupt: the payload does not unpack; kLimit: it unpacks to more than max_decompressed.
  static Result<RecordReader> open(const BatchView& batch, ReadScratch& scratch,
                                   size_t max_decompressed);

  // The next record into `record`; false: there are no more. After an error only destruction is
  // allowed.
  Result<bool> next(RecordView& record);
  // Bytes of all records, uncompressed.
  int64_t uncompressed_bytes() const { return static_cast<int64_t>(payload_.size()); }

 private:
  RecordReader(const BatchHeader& header, ByteView payload) : header_(header), payload_(payload) {}
  Result<bool> check_end() const;

  BatchHeader header_;
  ByteView payload_;
  size_t position_ = 0;
  int32_t index_ = 0;
};

}  // namespace millrace::record
