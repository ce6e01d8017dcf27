// Lists of nodes as partitions have them, read as sets.
#pragma once

#include <algorithm>
#include <vector>

#include "base/ids.h"

namespace millrace::controller {

inline bool contains(const std::vector<NodeId>& set, NodeId id) {
  return std::ranges::find(set, id) != set.end();
}

inline bool contains_all(const std::vector<NodeId>& set, const std::vector<NodeId>& others) {
  return std::ranges::all_of(others, [&](NodeId id) { return contains(set, id); });
}

inline std::vector<NodeId> without(std::vector<NodeId> set, NodeId id) {
  std::erase(set, id);
  return set;
}

inline std::vector<NodeId> without_all(std::vector<NodeId> set, const std::vector<NodeId>& gone) {
  std::erase_if(set, [&](NodeId id) { return contains(gone, id); });
  return set;
}

}  // namespace millrace::controller
