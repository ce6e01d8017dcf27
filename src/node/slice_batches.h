// The batches of a range of a log that is about to be given to somebody, by their headers.
// Not here: reading the log (storage), what becomes of them (node/share_partitions).
// Threads: those of the log.
#pragma once

#include <vector>

#include "storage/log.h"

namespace millrace::node {

struct SliceBatch {
  record::BatchHeader header;
  uint64_t position = 0;  // in the slice's file
  uint64_t end() const { return position + static_cast<uint64_t>(header.size_in_bytes()); }
};

// Those that are wholly in it: a read may end within one. kCorrupt, kIo: what stands there is no
// batch, or cannot be read.
Result<std::vector<SliceBatch>> batches_of(const storage::ReadSlice& slice);

}  // namespace millrace::node
