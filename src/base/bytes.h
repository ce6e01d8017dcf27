// Views and owners of bytes. Big-endian loads and stores, as everything of Kafka's is big-endian.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace millrace {

using ByteView =
    std::span<const uint8_t>;  // does not own; the comment at each use says what keeps it alive
using MutableByteView = std::span<uint8_t>;
using ByteBuffer = std::vector<uint8_t>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline ByteBuffer copy_of(ByteView bytes) { return {bytes.begin(), bytes.end()}; }

// The integer that stands at `at` in big-endian order. The caller has checked that sizeof(T) bytes
// are there.
template <class T>
T load_big(const uint8_t* at) {
  std::make_unsigned_t<T> value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (sizeof(T) == 2) value = __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
  return static_cast<T>(value);
}

template <class T>
void store_big(uint8_t* at, T signed_value) {
  auto value = static_cast<std::make_unsigned_t<T>>(signed_value);
  if constexpr (sizeof(T) == 2) value = __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
  std::memcpy(at, &value, sizeof value);
}

}  // namespace millrace
