// The zig-zag varints of records, as Java's ByteUtils writes them.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace millrace::record {

inline void put_varlong(ByteBuffer& out, int64_t value) {
  auto rest = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  for (; rest >= 0x80; rest >>= 7) out.push_back(static_cast<uint8_t>(rest | 0x80));
  out.push_back(static_cast<uint8_t>(rest));
}

inline size_t varlong_size(int64_t value) {
  auto rest = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  size_t size = 1;
  for (; rest >= 0x80; rest >>= 7) ++size;
  return size;
}

// Reads at `position` and moves it; nothing when the bytes end early or the number is over 64 bits.
inline std::optional<int64_t> get_varlong(ByteView bytes, size_t& position) {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (position >= bytes.size()) return std::nullopt;
    const uint8_t byte = bytes[position++];
    if (shift == 63 && byte > 1) return std::nullopt;
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  return std::nullopt;
}

inline std::optional<int32_t> get_varint(ByteView bytes, size_t& position) {
  auto value = get_varlong(bytes, position);
  if (!value || *value < INT32_MIN || *value > INT32_MAX) return std::nullopt;
  return static_cast<int32_t>(*value);
}

}  // namespace millrace::record
