#include "base/hash.h"

#include <climits>

namespace millrace {
namespace {

// One code point of UTF-8 at `at`, advancing it. Malformed bytes give U+FFFD, as Java's decoder
// does.
uint32_t next_code_point(std::string_view text, size_t& at) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t first = byte(at++);
  if (first < 0x80) return first;
  int extra = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
  if (extra == 0) return 0xFFFD;
  uint32_t code = first & (0x3F >> extra);
  for (int i = 0; i < extra; ++i) {
    if (at >= text.size() || (byte(at) & 0xC0) != 0x80) return 0xFFFD;
    code = (code << 6) | (byte(at++) & 0x3F);
  }
  return code;
}

}  // namespace

int32_t murmur2(ByteView bytes) {
  constexpr uint32_t kSeed = 0x9747b28c, kMultiplier = 0x5bd1e995;
  constexpr int kShift = 24;
  const auto length = static_cast<uint32_t>(bytes.size());
  uint32_t hash = kSeed ^ length;
  size_t at = 0;
  for (; at + 4 <= bytes.size(); at += 4) {
    uint32_t word;
    std::memcpy(&word, bytes.data() + at, 4);  // little-endian by definition of murmur2
    word *= kMultiplier;
    word ^= word >> kShift;
    word *= kMultiplier;
    hash = (hash * kMultiplier) ^ word;
  }
  const size_t left = bytes.size() - at;
  if (left >= 3) hash ^= static_cast<uint32_t>(bytes[at + 2]) << 16;
  if (left >= 2) hash ^= static_cast<uint32_t>(bytes[at + 1]) << 8;
  if (left >= 1) hash = (hash ^ bytes[at]) * kMultiplier;
  hash ^= hash >> 13;
  hash *= kMultiplier;
  hash ^= hash >> 15;
  return static_cast<int32_t>(hash);
}

int32_t partition_of_key(ByteView key, int32_t partition_count) {
  return (murmur2(key) & INT_MAX) % partition_count;
}

int32_t java_string_hash(std::string_view utf8) {
  uint32_t hash = 0;
  for (size_t at = 0; at < utf8.size();) {
    uint32_t code = next_code_point(utf8, at);
    if (code >= 0x10000) {
      code -= 0x10000;
      hash = 31 * hash + (0xD800 + (code >> 10));
      code = 0xDC00 + (code & 0x3FF);
    }
    hash = 31 * hash + code;
  }
  return static_cast<int32_t>(hash);
}

int32_t coordinator_partition(std::string_view key, int32_t partition_count) {
  int32_t hash = java_string_hash(key);
  int32_t magnitude = hash == INT_MIN ? 0 : hash < 0 ? -hash : hash;
  return magnitude % partition_count;
}

}  // namespace millrace
