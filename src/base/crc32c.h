// CRC-32C (Castagnoli), the checksum of record batches. crc32c("123456789") == 0xE3069283.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace millrace {

// The checksum of `bytes` that follow bytes whose checksum was `seed` (0 for none):
// crc32c(ab) == crc32c(b, crc32c(a)).
uint32_t crc32c(ByteView bytes, uint32_t seed = 0);

}  // namespace millrace
