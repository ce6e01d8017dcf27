// A Kafka Uuid: 16 bytes, written in big-endian order, printed as 22 characters of unpadded
// URL-safe base64.
// Not here: making random ones (a driver takes two env::Random words: Uuid::from_random).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"

namespace millrace {

struct Uuid {
  std::array<uint8_t, 16> bytes{};

  // Reserved by Kafka: (0,0) is "none"; as log directories, (0,1) unassigned, (0,2) lost, (0,5)
  // migrating.
  static constexpr Uuid zero() { return {}; }
  struct Words {
    uint64_t high = 0;
    uint64_t low = 0;
  };
  static constexpr Uuid of_words(Words words) {
    Uuid id;
    for (int i = 0; i < 8; ++i) {
      id.bytes[i] = static_cast<uint8_t>(words.high >> (56 - 8 * i));
      id.bytes[8 + i] = static_cast<uint8_t>(words.low >> (56 - 8 * i));
    }
    return id;
  }
  // A version-4 uuid from two random words. Kafka never starts one with '-' (a command line would
  // read a flag): the caller draws again while starts_with_dash().
  static Uuid from_random(Words words);
  bool starts_with_dash() const { return (bytes[0] >> 2) == 62; }
  static Result<Uuid> parse(std::string_view text);

  std::string to_string() const;
  bool is_zero() const { return *this == zero(); }
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

}  // namespace millrace

template <>
struct std::hash<millrace::Uuid> {
  size_t operator()(const millrace::Uuid& id) const {
    uint64_t words[2];
    std::memcpy(words, id.bytes.data(), sizeof words);
    return words[0] ^ (words[1] * 0x9E3779B97F4A7C15ULL);
  }
};

template <>
struct fmt::formatter<millrace::Uuid> : fmt::formatter<std::string> {
  auto format(const millrace::Uuid& id, fmt::format_context& ctx) const {
    return fmt::formatter<std::string>::format(id.to_string(), ctx);
  }
};
