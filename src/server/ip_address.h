// An address of the internet protocol, of whatever notation: "127.0.0.1" and "::ffff:7f00:1" are
// one. Names are none, but for localhost, which needs nobody to be asked.
// Threads: none; values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace::server {

using IpAddress = std::array<uint8_t, 16>;  // of version 4: as ::ffff:a.b.c.d

std::optional<IpAddress> parse_ip_address(std::string_view text);

}  // namespace millrace::server
