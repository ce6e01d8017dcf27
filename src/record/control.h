// Control records: what brokers and controllers write into a log for themselves. A control batch
// holds one (or, at the head of a snapshot or of a leader's term, a few); key = i16 version 0 and
// i16 type.
// Not here: the values of types 2 to 6, which are protocol messages (wire/ encodes them; this
// carries their bytes), and what a marker does (storage/, txn/).
// KIP-98 (markers), KIP-595 (leader change), KIP-630 (snapshots), KIP-853 (version, voters).
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "record/builder.h"

namespace millrace::record {

enum class ControlType : int16_t {
  kUnknown = -1,  // a type of a later version: skipped, never an error
  kAbort = 0,
  kCommit = 1,
  kLeaderChange = 2,
  kSnapshotHeader = 3,
  kSnapshotFooter = 4,
  kKraftVersion = 5,
  kKraftVoters = 6,
};

std::array<uint8_t, 4> control_key(ControlType type);
// kCorrupt if the key is too short or its version negative.
Result<ControlType> parse_control_key(ByteView key);

struct ControlRecord {
  ControlType type = ControlType::kUnknown;
  TimestampMs timestamp = kNoTimestamp;
  ByteView value;
};

// A batch of one control record. `options.control` is set for the caller; transactional is his
// (markers are, the others are not).
ByteBuffer build_control_batch(BatchOptions options, const ControlRecord& record);

}  // namespace millrace::record
