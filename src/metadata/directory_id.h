// Ids of log directories as partitions and brokers have them (KIP-858): which are reserved, and
// whether a replica's directory is there.
// Not here: making ids (node), who has which (Image).
#pragma once

#include <algorithm>
#include <vector>

#include "base/uuid.h"

namespace millrace::metadata {

inline constexpr Uuid kMigratingDirectory = Uuid::of_words({0, 0});   // of before 3.7-IV2
inline constexpr Uuid kUnassignedDirectory = Uuid::of_words({0, 1});  // the broker will say
inline constexpr Uuid kLostDirectory = Uuid::of_words({0, 2});        // it failed

// Ids below 100 mean something else than a directory.
inline bool is_reserved_directory(const Uuid& id) {
  constexpr uint8_t kReserved = 100;
  return std::all_of(id.bytes.begin(), id.bytes.end() - 1, [](uint8_t b) { return b == 0; }) &&
         id.bytes.back() < kReserved;
}

// Where the replica lies is known.
inline bool is_placed(const Uuid& id) {
  return id != kMigratingDirectory && id != kUnassignedDirectory;
}

// A broker that registered before there were directory ids has none: it is taken to have them all.
inline bool is_online_directory(const Uuid& id, const std::vector<Uuid>& online) {
  if (!is_placed(id)) return true;
  return id != kLostDirectory && (online.empty() || std::ranges::find(online, id) != online.end());
}

}  // namespace millrace::metadata
