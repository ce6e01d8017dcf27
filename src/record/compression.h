// The five codecs of a record batch, as Kafka frames them: gzip (RFC 1952), snappy (written in the
// xerial stream framing, read in it or raw), lz4 (frame format, 64 KiB independent blocks, no
// content checksum; the broken header checksum of magic 0 and 1 is accepted), zstd.
// Not here: which bytes of a batch are compressed (record/record.h, record/builder.h).
// Threads: none; a Decompressor is used by one caller at a time.
// Invariants: (1) nothing is allocated from a length that the compressed bytes claim: memory grows
// with actual output only, and never past the limit given; (2) a stream that does not end where its
// codec says it must is an error, never a shorter result.
// KIP-31, KIP-57 (lz4 framing), KIP-110 (zstd), KIP-390 and KIP-780 (levels).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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

// How a batch of that magic frames its lz4: magic 0 and 1 hashed the frame header wrongly.
enum class Lz4Header : uint8_t { kStandard, kLegacyAccepted };

struct DecompressOptions {
  size_t max_output = 0;  // more than this many bytes of output: Errc::kLimit
  Lz4Header lz4_header = Lz4Header::kStandard;
};

// A reusable streaming decompressor. Owns the codecs' contexts, made at first use and kept for the
// next stream, so keep one a shard.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  // Begins a stream; `input` must live until the stream's end or the next start. What came before
  // is forgotten.
  Result<> start(Codec codec, ByteView input, const DecompressOptions& options);
  // Fills the front of `out` with as many bytes as there are, at most its size; fewer than its size
  // only at the end; 0: the stream has ended as it should. `out` is not empty.
  Result<size_t> read(MutableByteView out);

 private:
  struct Streams;
  std::unique_ptr<Streams> streams_;
};

// Appends the whole output of one stream to `out`.
Result<> decompress(Codec codec, ByteView input, const DecompressOptions& options, ByteBuffer& out);

}  // namespace millrace::record
