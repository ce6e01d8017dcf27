// What a share group wants of the share coordinators (KIP-932), which know what of its partitions
// was delivered: to begin with some partitions, or to forget them. Part of a decision
// (group/coordinator.h); the host brings it there (node/partition_groups).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/uuid.h"
#include "machine/replicated.h"
#include "wire/errors.h"

namespace millrace::group {

inline constexpr Offset kUninitializedOffset{-1};  // where share.auto.offset.reset says

struct ShareStateWish {
  enum class Kind : uint8_t { kInitialize, kDelete };
  struct Partition {
    Uuid topic_id;
    PartitionIndex index;
    Offset start_offset = kUninitializedOffset;  // kInitialize
    friend bool operator==(const Partition&, const Partition&) = default;
  };

  // The request that it comes of: a group has one wish at most of each.
  machine::Ticket cause{};
  std::string group_id;
  Kind kind = Kind::kInitialize;
  int32_t state_epoch = 0;            // kInitialize: the group's
  std::vector<Partition> partitions;  // one at least
};

struct ShareStateOutcome {
  ShareStateWish wish;
  std::vector<wire::ErrorCode> errors;  // of its partitions, in their order
};

}  // namespace millrace::group
