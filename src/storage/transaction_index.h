// Which transactions of a partition were aborted: what a read_committed reader needs to skip their
// records. Kafka's `.txnindex` files, one a segment, hold the transactions whose abort marker lies
// in that segment.
// Not here: open transactions (storage/producer_state).
// Threads: those of the log that owns it. Invariant: entries ascend in last_offset, the offset of
// the abort marker.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"

namespace millrace::storage {

struct AbortedTransaction {
  ProducerId producer_id;
  Offset first_offset;
  Offset last_offset;         // of the marker
  Offset last_stable_offset;  // of the partition when the marker was written
  friend bool operator==(const AbortedTransaction&, const AbortedTransaction&) = default;
};

class TransactionIndex {
 public:
  void add(const AbortedTransaction& transaction) { entries_.push_back(transaction); }
  void clear() { entries_.clear(); }
  // Those whose marker lies at or behind `offset` are forgotten.
  void truncate(Offset offset);

  struct Range {
    Offset from;
    Offset below;
  };
  // Those that a reader of the range meets.
  std::vector<AbortedTransaction> overlapping(Range range) const;

  // In place of those whose marker lies in the range.
  void replace(Range markers, const std::vector<AbortedTransaction>& transactions);

  // The bytes of the file of a segment: entries whose marker lies in the range.
  ByteBuffer print(Range markers) const;
  // Adds what a segment's file holds. kCorrupt: its size or a version is wrong.
  Result<> parse(ByteView bytes);

 private:
  std::vector<AbortedTransaction> entries_;
};

}  // namespace millrace::storage
