#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <climits>

namespace millrace {

uint32_t crc32c(ByteView bytes, uint32_t seed) {
  uint32_t state = ~seed;
  while (!bytes.empty()) {
    size_t piece = std::min<size_t>(bytes.size(), INT_MAX);
    // ISA-L takes a non-const pointer and an int length, and only reads.
    state = crc32_iscsi(const_cast<uint8_t*>(bytes.data()), static_cast<int>(piece), state);
    bytes = bytes.subspan(piece);
  }
  return ~state;
}

}  // namespace millrace
