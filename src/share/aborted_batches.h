// Which of the batches that were read belong to aborted transactions, so that a read_committed
// share group never sees them (KIP-98).
// Not here: which transactions were aborted (storage).
// Threads: values.
#pragma once

#include <span>
#include <vector>

#include "share/share_partition.h"

namespace millrace::share {

// Those of `batches`, which are ascending, that a transaction of `aborted` holds.
std::vector<FetchedBatch> aborted_batches(std::span<const FetchedBatch> batches,
                                          std::span<const AbortedTransaction> aborted);
// `ranges` without the offsets of `batches`; both ascending and apart.
std::vector<AcquiredRange> without(std::span<const AcquiredRange> ranges,
                                   std::span<const FetchedBatch> batches);

}  // namespace millrace::share
