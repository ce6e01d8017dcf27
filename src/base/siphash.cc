#include "base/siphash.h"

#include <bit>
#include <cstring>

namespace millrace {
namespace {

struct State {
  uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void take(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  uint64_t finish(uint8_t mark, uint64_t& marked) {
    marked ^= mark;
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

uint64_t little_word(const uint8_t* at, size_t bytes) {
  uint64_t word = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&word, at, bytes);
  } else {
    for (size_t i = 0; i < bytes; ++i) word |= uint64_t{at[i]} << (8 * i);
  }
  return word;
}

}  // namespace

Hash128 siphash128(const HashKey& key, ByteView bytes) {
  State state{.v0 = key.a ^ 0x736f6d6570736575,
              .v1 = key.b ^ 0x646f72616e646f6d ^ 0xee,
              .v2 = key.a ^ 0x6c7967656e657261,
              .v3 = key.b ^ 0x7465646279746573};
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) state.take(little_word(bytes.data() + at, 8));
  const uint64_t rest = bytes.size() > at ? little_word(bytes.data() + at, bytes.size() - at) : 0;
  state.take(rest | uint64_t{bytes.size() & 0xff} << 56);
  Hash128 hash;
  hash.a = state.finish(0xee, state.v2);
  hash.b = state.finish(0xdd, state.v1);
  return hash;
}

}  // namespace millrace
