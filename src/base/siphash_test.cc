#include "base/siphash.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

// The key 00..0f over 00, 01, ...: the vectors of the authors' reference implementation.
Hash128 hash_of_first(size_t count) {
  ByteBuffer bytes;
  for (size_t i = 0; i < count; ++i) bytes.push_back(static_cast<uint8_t>(i));
  return siphash128({0x0706050403020100, 0x0f0e0d0c0b0a0908}, bytes);
}

TEST(SipHash, has_the_values_of_the_reference) {
  EXPECT_EQ(hash_of_first(0), (Hash128{0xe6a825ba047f81a3, 0x930255c71472f66d}));
  EXPECT_EQ(hash_of_first(1), (Hash128{0x44af996bd8c187da, 0x45fc229b11597634}));
}

TEST(SipHash, tells_apart_what_differs_in_length_alone) {
  EXPECT_NE(siphash128({1, 2}, ByteBuffer(7)), siphash128({1, 2}, ByteBuffer(8)));
  EXPECT_NE(siphash128({1, 2}, ByteBuffer(8)), siphash128({1, 2}, ByteBuffer(9)));
  EXPECT_NE(siphash128({1, 2}, ByteBuffer(8)), siphash128({1, 3}, ByteBuffer(8)));
}

}  // namespace
}  // namespace millrace
