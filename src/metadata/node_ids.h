// Node ids as messages and records have them, and back.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace millrace::metadata {

inline std::vector<int32_t> numbers_of(const std::vector<NodeId>& ids) {
  std::vector<int32_t> numbers;
  for (NodeId id : ids) numbers.push_back(id.value());
  return numbers;
}

inline std::vector<NodeId> node_ids_of(const std::vector<int32_t>& numbers) {
  std::vector<NodeId> ids;
  for (int32_t number : numbers) ids.push_back(NodeId(number));
  return ids;
}

}  // namespace millrace::metadata
