// The order in which Java's HashMap has its entries, which is the one in which some scripts print
// lines: by the buckets that the hash codes fall into.
// Not here: buckets that became trees (more than eight keys in one of them).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace millrace::app::kafka {

// String.hashCode, of ASCII.
inline uint32_t java_hash(std::string_view text) {
  uint32_t hash = 0;
  for (const char c : text) hash = 31 * hash + static_cast<uint8_t>(c);
  return hash;
}
// Long.hashCode.
inline uint32_t java_hash(int64_t number) {
  const auto bits = static_cast<uint64_t>(number);
  return static_cast<uint32_t>(bits ^ (bits >> 32));
}
// TopicPartition.hashCode.
inline uint32_t java_hash(const TopicPartition& partition) {
  const uint32_t seed = 31 + static_cast<uint32_t>(partition.partition.value());
  return 31 * seed + java_hash(partition.topic);
}

// Sorts by a key, and leaves what has the same one in order.
template <class Entry, class KeyOf>
void sort_in_order(std::vector<Entry>& entries, KeyOf key_of) {
  using Key = std::decay_t<decltype(key_of(entries.front()))>;
  std::vector<std::pair<Key, size_t>> places;
  for (const auto& entry : entries) places.emplace_back(key_of(entry), places.size());
  std::ranges::sort(places);
  std::vector<Entry> sorted;
  sorted.reserve(entries.size());
  for (const auto& [key, place] : places) sorted.push_back(std::move(entries[place]));
  entries = std::move(sorted);
}

// Sorts entries that were put into a HashMap one after the other. `key_of` gives what is hashed;
// `buckets` is what the map began with, a power of two.
template <class Entry, class KeyOf>
void sort_as_hash_map(std::vector<Entry>& entries, KeyOf key_of, uint32_t buckets = 16) {
  while (entries.size() > buckets * 3 / 4) buckets *= 2;
  sort_in_order(entries, [&](const Entry& entry) {
    const uint32_t hash = java_hash(key_of(entry));
    return (hash ^ (hash >> 16)) & (buckets - 1);
  });
}

}  // namespace millrace::app::kafka
