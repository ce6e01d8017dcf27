#include "record/compression.h"

#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace millrace::record {
namespace {

constexpr size_t kPiece = 64 * 1024;
constexpr std::array<uint8_t, 8> kXerialMagic = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
constexpr size_t kXerialHeader = 16;  // magic, version 1, compatible version 1
constexpr size_t kXerialBlock = 32 * 1024;
constexpr int kGzipWindow = 15 + 16;  // 32 KiB window, gzip wrapper

std::unexpected<Error> corrupt(std::string_view codec) {
  return fail(Errc::kCorrupt, std::string(codec) + " data is broken");
}
std::unexpected<Error> over_limit() {
  return fail(Errc::kLimit, "unpacks to more than is allowed");
}

// Makes room for one more piece of output behind what is there, within the limit.
Result<MutableByteView> room(ByteBuffer& out, size_t base, size_t max_output) {
  const size_t used = out.size() - base;
  if (used >= max_output) return over_limit();
  const size_t more = std::min({std::max(kPiece, used), max_output - used, size_t{1} << 22});
  out.resize(out.size() + more);
  return MutableByteView(out).last(more);
}

void compress_gzip(int level, ByteView input, ByteBuffer& out) {
  z_stream stream{};
  ASSERT(deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  const size_t base = out.size();
  out.resize(base + deflateBound(&stream, input.size()));
  stream.next_in = const_cast<uint8_t*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = out.data() + base;
  stream.avail_out = static_cast<uInt>(out.size() - base);
  ASSERT(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(base + stream.total_out);
  deflateEnd(&stream);
}

Result<> decompress_gzip(ByteView input, size_t max_output, ByteBuffer& out) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) return corrupt("gzip");
  std::unique_ptr<z_stream, decltype(&inflateEnd)> closer(&stream, inflateEnd);
  stream.next_in = const_cast<uint8_t*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  const size_t base = out.size();
  for (int state = Z_OK; state != Z_STREAM_END;) {
    const size_t before = out.size();
    ASSIGN_OR_RETURN(MutableByteView space, room(out, base, max_output));
    stream.next_out = space.data();
    stream.avail_out = static_cast<uInt>(space.size());
    state = inflate(&stream, Z_NO_FLUSH);
    out.resize(before + space.size() - stream.avail_out);
    if (state != Z_OK && state != Z_STREAM_END) return corrupt("gzip");
    if (state == Z_OK && stream.avail_out > 0) return corrupt("gzip");  // the input ended early
  }
  return {};
}

void compress_snappy(ByteView input, ByteBuffer& out) {
  out.insert(out.end(), kXerialMagic.begin(), kXerialMagic.end());
  for (uint8_t byte : {0, 0, 0, 1, 0, 0, 0, 1}) out.push_back(byte);
  while (!input.empty()) {
    ByteView block = input.first(std::min(input.size(), kXerialBlock));
    const size_t at = out.size();
    out.resize(at + 4 + snappy::MaxCompressedLength(block.size()));
    size_t written = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(block.data()), block.size(),
                        reinterpret_cast<char*>(out.data() + at + 4), &written);
    store_big(out.data() + at, static_cast<int32_t>(written));
    out.resize(at + 4 + written);
    input = input.subspan(block.size());
  }
}

// One raw block. Its claimed size is believed only as far as the limit and what snappy can do: at
// most 64 bytes come out of 3 (a copy), so a larger claim is a lie.
Result<> decompress_snappy_block(ByteView block, size_t max_output, ByteBuffer& out) {
  const char* text = reinterpret_cast<const char*>(block.data());
  size_t claimed = 0;
  if (!snappy::GetUncompressedLength(text, block.size(), &claimed)) return corrupt("snappy");
  if (claimed > max_output) return over_limit();
  if (claimed / 64 > block.size()) return corrupt("snappy");
  const size_t at = out.size();
  out.resize(at + claimed);
  if (!snappy::RawUncompress(text, block.size(), reinterpret_cast<char*>(out.data() + at)))
    return corrupt("snappy");
  return {};
}

Result<> decompress_snappy(ByteView input, size_t max_output, ByteBuffer& out) {
  const bool xerial = input.size() >= kXerialHeader &&
                      std::equal(kXerialMagic.begin(), kXerialMagic.end(), input.begin());
  if (!xerial) return decompress_snappy_block(input, max_output, out);
  const size_t base = out.size();
  for (input = input.subspan(kXerialHeader); !input.empty();) {
    if (input.size() < 4) return corrupt("snappy");
    const auto size = load_big<int32_t>(input.data());
    if (size < 0 || static_cast<size_t>(size) > input.size() - 4) return corrupt("snappy");
    const size_t used = out.size() - base;
    RETURN_IF_ERROR(decompress_snappy_block(input.subspan(4, static_cast<size_t>(size)),
                                            max_output - used, out));
    input = input.subspan(4 + static_cast<size_t>(size));
  }
  return {};
}

// Kafka's default level, 9, stands for lz4's fast compressor; any other for the high one, whose
// least level is 3.
int lz4_level(int level) {
  constexpr int kFast = 0, kLeastHigh = 3;
  return level == level_range(Codec::kLz4).preset ? kFast : std::max(level, kLeastHigh);
}

void compress_lz4(int level, ByteView input, ByteBuffer& out) {
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.compressionLevel = lz4_level(level);
  const size_t at = out.size();
  out.resize(at + LZ4F_compressFrameBound(input.size(), &preferences));
  const size_t written = LZ4F_compressFrame(out.data() + at, out.size() - at, input.data(),
                                            input.size(), &preferences);
  ASSERT(!LZ4F_isError(written), "{}", LZ4F_getErrorName(written));
  out.resize(at + written);
}

Result<> decompress_lz4(ByteView input, size_t max_output, ByteBuffer& out) {
  LZ4F_dctx* context = nullptr;
  ASSERT(!LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)));
  std::unique_ptr<LZ4F_dctx, decltype(&LZ4F_freeDecompressionContext)> closer(
      context, LZ4F_freeDecompressionContext);
  const size_t base = out.size();
  for (size_t hint = 1; hint != 0;) {
    const size_t before = out.size();
    ASSIGN_OR_RETURN(MutableByteView space, room(out, base, max_output));
    size_t produced = space.size(), consumed = input.size();
    hint = LZ4F_decompress(context, space.data(), &produced, input.data(), &consumed, nullptr);
    out.resize(before + produced);
    input = input.subspan(consumed);
    if (LZ4F_isError(hint)) return corrupt("lz4");
    if (hint != 0 && produced == 0 && consumed == 0) return corrupt("lz4");
  }
  return {};
}

void compress_zstd(int level, ByteView input, ByteBuffer& out) {
  const size_t at = out.size();
  out.resize(at + ZSTD_compressBound(input.size()));
  const size_t written =
      ZSTD_compress(out.data() + at, out.size() - at, input.data(), input.size(), level);
  ASSERT(!ZSTD_isError(written), "{}", ZSTD_getErrorName(written));
  out.resize(at + written);
}

Result<> decompress_zstd(ByteView input, size_t max_output, ByteBuffer& out) {
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  const size_t base = out.size();
  for (size_t hint = 1; hint != 0 || in.pos < in.size;) {
    const size_t before = out.size();
    ASSIGN_OR_RETURN(MutableByteView space, room(out, base, max_output));
    ZSTD_outBuffer to{space.data(), space.size(), 0};
    const size_t consumed_before = in.pos;
    hint = ZSTD_decompressStream(context.get(), &to, &in);
    out.resize(before + to.pos);
    if (ZSTD_isError(hint)) return corrupt("zstd");
    if (hint != 0 && to.pos == 0 && in.pos == consumed_before) return corrupt("zstd");
  }
  return {};
}

}  // namespace

std::string_view codec_name(Codec codec) {
  switch (codec) {
    case Codec::kNone: return "none";
    case Codec::kGzip: return "gzip";
    case Codec::kSnappy: return "snappy";
    case Codec::kLz4: return "lz4";
    case Codec::kZstd: return "zstd";
  }
  return "unknown";
}

Result<Codec> codec_of_id(uint8_t id) {
  if (id > static_cast<uint8_t>(Codec::kZstd))
    return fail(Errc::kUnsupported, "unknown compression codec " + std::to_string(id));
  return static_cast<Codec>(id);
}

LevelRange level_range(Codec codec) {
  switch (codec) {
    case Codec::kGzip: return {.least = 1, .most = 9, .preset = -1};
    case Codec::kLz4: return {.least = 1, .most = 17, .preset = 9};
    case Codec::kZstd: return {.least = -131072, .most = 22, .preset = 3};
    default: return {};
  }
}

bool level_is_valid(Codec codec, int level) {
  const LevelRange range = level_range(codec);
  return level == range.preset || (range.least <= level && level <= range.most);
}

void compress(Codec codec, int level, ByteView input, ByteBuffer& out) {
  ASSERT(level_is_valid(codec, level), "{} level {}", codec_name(codec), level);
  switch (codec) {
    case Codec::kNone: out.insert(out.end(), input.begin(), input.end()); return;
    case Codec::kGzip: return compress_gzip(level, input, out);
    case Codec::kSnappy: return compress_snappy(input, out);
    case Codec::kLz4: return compress_lz4(level, input, out);
    case Codec::kZstd: return compress_zstd(level, input, out);
  }
}

Result<> decompress(Codec codec, ByteView input, size_t max_output, ByteBuffer& out) {
  switch (codec) {
    case Codec::kNone:
      if (input.size() > max_output) return over_limit();
      out.insert(out.end(), input.begin(), input.end());
      return {};
    case Codec::kGzip: return decompress_gzip(input, max_output, out);
    case Codec::kSnappy: return decompress_snappy(input, max_output, out);
    case Codec::kLz4: return decompress_lz4(input, max_output, out);
    case Codec::kZstd: return decompress_zstd(input, max_output, out);
  }
  return fail(Errc::kUnsupported, "unknown codec");
}

}  // namespace millrace::record
