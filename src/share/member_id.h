// What may be the id of a share group's member: chosen by the member, a UUID as text as a rule
// (KIP-932). One rule for all requests that have one.
// Threads: a function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::share {

// Not empty, and at most 36 UTF-16 code units, as Java counts: characters beyond the basic plane
// twice.
inline bool is_member_id(std::string_view utf8) {
  constexpr size_t kLongest = 36;
  size_t units = 0;
  for (const char c : utf8) {
    const auto byte = static_cast<uint8_t>(c);
    if ((byte & 0xC0) != 0x80) units += byte >= 0xF0 ? 2 : 1;
  }
  return units > 0 && units <= kLongest;
}

}  // namespace millrace::share
