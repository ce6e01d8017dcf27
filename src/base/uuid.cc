#include "base/uuid.h"

namespace millrace {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

Uuid Uuid::from_random(Words words) {
  constexpr uint64_t kVersion4 = 0x4000, kVersionMask = 0xF000;
  constexpr uint64_t kVariant = 0x8000000000000000ULL, kVariantMask = 0xC000000000000000ULL;
  return of_words(
      {(words.high & ~kVersionMask) | kVersion4, (words.low & ~kVariantMask) | kVariant});
}

Result<Uuid> Uuid::parse(std::string_view text) {
  while (text.size() > 22 && text.ends_with('=')) text.remove_suffix(1);
  if (text.size() != 22)
    return fail(Errc::kInvalid,
                fmt::format("uuid '{}' has {} characters, not 22", text, text.size()));
  Uuid id;
  uint32_t bits = 0;
  int bit_count = 0;
  size_t at = 0;
  for (char c : text) {
    size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos)
      return fail(Errc::kInvalid, fmt::format("uuid '{}' has the character '{}'", text, c));
    bits = (bits << 6) | static_cast<uint32_t>(digit);
    bit_count += 6;
    if (bit_count >= 8 && at < 16) {
      bit_count -= 8;
      id.bytes[at++] = static_cast<uint8_t>(bits >> bit_count);
    }
  }
  return id;
}

std::string Uuid::to_string() const {
  std::string text;
  text.reserve(22);
  uint32_t bits = 0;
  int bit_count = 0;
  for (uint8_t byte : bytes) {
    bits = (bits << 8) | byte;
    bit_count += 8;
    while (bit_count >= 6) {
      bit_count -= 6;
      text.push_back(kAlphabet[(bits >> bit_count) & 63]);
    }
  }
  text.push_back(kAlphabet[(bits << (6 - bit_count)) & 63]);
  return text;
}

}  // namespace millrace
