// The five codecs of a record batch, as Kafka frames them: gzip (RFC 1952), snappy (written in the
// xerial stream framing, read in it or raw), lz4 (frame format, 64 KiB independent blocks, no
// content checksum), zstd.
// Not here: which bytes of a batch are compressed (record/record.h, record/builder.h).
// Threads: any; no shared state.
// Invariants:
//   (1) nothing is allocated from a length that the compressed bytes claim: memory grows with
//      actual output only, and never past the limit given;
//   (2) a stream that does not end where its codec says it must is an error, never a shorter
//      result.
// KIP-31, KIP-57 (lz4 framing), KIP-110 (zstd), KIP-390 and KIP-780 (levels).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"

namespace millrace::record {

// The values are the codec bits of a batch's attributes.
enum class Codec : uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };

// "none", "gzip", "snappy", "lz4", "zstd".
std::string_view codec_name(Codec codec);
// kUnsupported for 5, 6, 7 and beyond.
Result<Codec> codec_of_id(uint8_t id);

struct LevelRange {
  int least = 0;
  int most = 0;
  int preset = 0;  // what Kafka uses when nothing is configured
};
// compression.{gzip,lz4,zstd}.level; none and snappy have no level: {0, 0, 0}. gzip also takes -1,
// zlib's own choice, as its preset.
LevelRange level_range(Codec codec);
bool level_is_valid(Codec codec, int level);

// Appends the compressed form of `input` to `out`. `level` must be valid for the codec (ASSERT): it
// comes from checked configuration. codec none appends the bytes as they are.
void compress(Codec codec, int level, ByteView input, ByteBuffer& out);

// Appends the whole output of one stream to `out`; more than `max_output` bytes of it is kLimit,
// a stream that does not end as its codec says kCorrupt.
Result<> decompress(Codec codec, ByteView input, size_t max_output, ByteBuffer& out);

}  // namespace millrace::record
