// What a follower takes from the bytes of a Fetch response: whole, undamaged batches of the
// leader's epoch or before, in the order of their offsets.
// Not here: appending them (storage/log).
// Inputs: bytes that a peer sent; nothing in them is trusted.
#pragma once

#include <vector>

#include "base/error.h"
#include "record/batch.h"

namespace millrace::replica {

struct FetchedFrom {
  Offset log_end;  // batches begin here or, in a compacted log, behind it
  LeaderEpoch leader_epoch;
  bool log_is_empty = false;  // then the first batch may begin before it
};

// Views into `records`. A batch that is cut off at the end is left out, and so is everything from
// the first batch of a later epoch on, which belongs to a leader that is not followed yet.
// kCorrupt: damage, or offsets that do not ascend.
Result<std::vector<record::BatchView>> fetched_batches(ByteView records, const FetchedFrom& from);

}  // namespace millrace::replica
