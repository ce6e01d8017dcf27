// What is kept of a share partition: a partition of a topic as one share group consumes it
// (KIP-932).
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/uuid.h"

namespace millrace::share {

struct SharePartitionKey {
  std::string group;
  Uuid topic;
  PartitionIndex partition{0};
  friend auto operator<=>(const SharePartitionKey&, const SharePartitionKey&) = default;
};

// Numbers of the wire and of __share_group_state. kAcquired is never kept.
enum class DeliveryState : int8_t {
  kAvailable = 0,
  kAcquired = 1,
  kAcknowledged = 2,
  kArchived = 4,
};

struct StateBatch {
  Offset first{0};
  Offset last{0};  // inclusive
  DeliveryState state = DeliveryState::kAvailable;
  int16_t delivery_count = 0;
  friend bool operator==(const StateBatch&, const StateBatch&) = default;
};

inline constexpr Offset kNoStartOffset{-1};  // not initialised

struct PersistedState {
  int32_t state_epoch = 0;
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
  Offset start_offset = kNoStartOffset;
  int32_t delivery_complete_count = -1;
  std::vector<StateBatch> batches;  // ascending, apart
  friend bool operator==(const PersistedState&, const PersistedState&) = default;
};

}  // namespace millrace::share
