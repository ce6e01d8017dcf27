// The first byte chooses the codec, the rest is unpacked as it stands, and then packed and unpacked
// again: no crash, never more than the limit, and a round trip gives the same bytes.
#include "base/assert.h"
#include "record/compression.h"

using namespace millrace;
using namespace millrace::record;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMaxUnpacked = size_t{1} << 20;
  if (size == 0) return 0;
  const auto codec = static_cast<Codec>(data[0] % 5);
  const ByteView input(data + 1, size - 1);

  ByteBuffer unpacked;
  (void)decompress(codec, input, kMaxUnpacked, unpacked);
  ASSERT(unpacked.size() <= kMaxUnpacked, "{} bytes", unpacked.size());

  ByteBuffer packed, again;
  compress(codec, level_range(codec).preset, input, packed);
  ASSERT(decompress(codec, packed, input.size() + 1, again).has_value(), "{}", codec_name(codec));
  ASSERT(again == copy_of(input), "{}", codec_name(codec));
  return 0;
}
