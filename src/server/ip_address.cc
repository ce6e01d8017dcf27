#include "server/ip_address.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace millrace::server {
namespace {

constexpr size_t kIpv4Bytes = 4;
constexpr size_t kGroupBytes = 2;

// A whole text of digits, up to `most`.
std::optional<uint32_t> number_in(std::string_view text, int base, uint32_t most) {
  uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [next, error] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || error != std::errc() || next != end || value > most) return std::nullopt;
  return value;
}

std::vector<std::string_view> parts_of(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::optional<IpAddress> parse_v4(std::string_view text) {
  const auto parts = parts_of(text, '.');
  if (parts.size() != kIpv4Bytes) return std::nullopt;
  IpAddress address{};
  address[10] = address[11] = 0xff;
  for (size_t i = 0; i < kIpv4Bytes; ++i) {
    const auto value = number_in(parts[i], 10, UINT8_MAX);
    if (!value) return std::nullopt;
    address[12 + i] = static_cast<uint8_t>(*value);
  }
  return address;
}

// The groups between colons, the last of which may be of version 4.
std::optional<std::vector<uint8_t>> bytes_of_groups(std::string_view text) {
  std::vector<uint8_t> bytes;
  if (text.empty()) return bytes;
  const auto parts = parts_of(text, ':');
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i + 1 == parts.size() && parts[i].contains('.')) {
      const auto v4 = parse_v4(parts[i]);
      if (!v4) return std::nullopt;
      bytes.insert(bytes.end(), v4->end() - kIpv4Bytes, v4->end());
      continue;
    }
    const auto value = number_in(parts[i], 16, UINT16_MAX);
    if (!value) return std::nullopt;
    bytes.push_back(static_cast<uint8_t>(*value >> 8));
    bytes.push_back(static_cast<uint8_t>(*value & 0xff));
  }
  return bytes;
}

std::optional<IpAddress> parse_v6(std::string_view text) {
  IpAddress address{};
  const size_t gap = text.find("::");
  const auto front = bytes_of_groups(text.substr(0, gap));
  if (!front) return std::nullopt;
  if (gap == std::string_view::npos) {
    if (front->size() != address.size()) return std::nullopt;
    std::ranges::copy(*front, address.begin());
    return address;
  }
  const auto back = bytes_of_groups(text.substr(gap + 2));
  if (!back || front->size() + back->size() + kGroupBytes > address.size()) return std::nullopt;
  std::ranges::copy(*front, address.begin());
  std::ranges::copy(*back, address.end() - static_cast<std::ptrdiff_t>(back->size()));
  return address;
}

}  // namespace

std::optional<IpAddress> parse_ip_address(std::string_view text) {
  if (text == "localhost") return parse_v4("127.0.0.1");
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  return text.contains(':') ? parse_v6(text) : parse_v4(text);
}

}  // namespace millrace::server
