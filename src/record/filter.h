// A batch without some of its records, as compaction leaves it: offsets, last offset, producer
// fields and base sequence stay, whatever is dropped, and a batch of which nothing is dropped is
// kept as the bytes it was.
// Not here: which records go (storage's cleaner decides, and hands in the decision).
// Threads: one caller at a time. KIP-534 (delete horizon).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "record/batch.h"
#include "record/record.h"

namespace millrace::record {

// What becomes of a batch that has lost its last record.
enum class EmptyBatch : uint8_t { kDrop, kKeepHeader };

struct FilterOptions {
  std::function<bool(const RecordView&)> keep;
  EmptyBatch when_empty = EmptyBatch::kDrop;
  // Stamped on the batch if it keeps a tombstone and has no horizon yet: now + delete.retention.ms.
  std::optional<TimestampMs> new_delete_horizon;
  // The batch is a marker of a transaction whose data is all gone: it takes a horizon as well.
  bool marker_of_empty_transaction = false;
  size_t max_decompressed = 0;
};

enum class FilterOutcome : uint8_t { kUnchanged, kRewritten, kEmptied, kDropped };

struct FilteredBatch {
  FilterOutcome outcome = FilterOutcome::kDropped;
  ByteBuffer rewritten;  // kRewritten and kEmptied: the new batch; kUnchanged: use the old bytes
  int32_t records_read = 0;
  int32_t records_kept = 0;
  TimestampMs max_timestamp = kNoTimestamp;  // of the kept records
  Offset offset_of_max_timestamp = kNoOffset;
};

// Magic 0 and 1 messages come out as magic 2 when something is dropped from them.
Result<FilteredBatch> filter_batch(const BatchView& batch, const FilterOptions& options,
                                   ReadScratch& scratch);

}  // namespace millrace::record
