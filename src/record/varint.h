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

constexpr int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

inline std::optional<int64_t> get_long_varlong(ByteView bytes, size_t& position) {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (position >= bytes.size()) return std::nullopt;
    const uint8_t byte = bytes[position++];
    if (shift == 63 && byte > 1) return std::nullopt;
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return unzigzag(value);
  }
  return std::nullopt;
}

// Reads at `position` and moves it; nothing when the bytes end early or the number is over 64 bits.
// Nearly all are of one byte or two, and a record has six of them.
inline std::optional<int64_t> get_varlong(ByteView bytes, size_t& position) {
  const uint8_t* at = bytes.data() + position;
  const size_t left = bytes.size() - position;
  if (left > 0 && at[0] < 0x80) {
    ++position;
    return unzigzag(at[0]);
  }
  if (left > 1 && at[1] < 0x80) {
    position += 2;
    return unzigzag((at[0] & 0x7FU) | static_cast<uint64_t>(at[1]) << 7);
  }
  return get_long_varlong(bytes, position);
}

inline std::optional<int32_t> get_varint(ByteView bytes, size_t& position) {
  auto value = get_varlong(bytes, position);
  if (!value || *value < INT32_MIN || *value > INT32_MAX) return std::nullopt;
  return static_cast<int32_t>(*value);
}

}  // namespace millrace::record
