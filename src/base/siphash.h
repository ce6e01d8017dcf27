// SipHash-2-4 with 128 bits of output (Aumasson, Bernstein 2012): a hash that nobody who does not
// know its key can find collisions of. For tables that hold the hash in place of what was hashed.
// Not here: checksums (base/crc32c). Nothing that is stored or sent may depend on it.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace millrace {

struct HashKey {
  uint64_t a = 0, b = 0;
};

struct Hash128 {
  uint64_t a = 0, b = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

Hash128 siphash128(const HashKey& key, ByteView bytes);

}  // namespace millrace
