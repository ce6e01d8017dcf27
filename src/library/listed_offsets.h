// Offsets of partitions by timestamps, asked of their leaders (ListOffsets).
// Not here: what a consumer reads (client/core/fetcher.h).
#pragma once

#include <map>

#include "base/ids.h"
#include "library/loop.h"

namespace millrace::library {

struct ListedOffset {
  Offset offset;
  TimestampMs timestamp = kNoTimestamp;
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
  int16_t error = 0;
};

using Timestamps = std::map<TopicPartition, int64_t>;  // -1 the end, -2 the start, ...
using ListedOffsets = std::map<TopicPartition, ListedOffset>;

enum class Isolation : int8_t { kReadUncommitted = 0, kReadCommitted = 1 };

// An error code by partition; where a leader has moved it is looked for a few times. Fails where a
// broker cannot be asked.
Result<ListedOffsets> list_offsets(Loop& loop, const Timestamps& timestamps,
                                   Isolation isolation = Isolation::kReadUncommitted);

}  // namespace millrace::library
