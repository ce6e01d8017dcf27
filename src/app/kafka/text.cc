#include "app/kafka/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace millrace::app::kafka {
namespace {

template <class T>
Attempt<T> parse_number(std::string_view text) {
  T value{};
  const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failed != std::errc{} || end != digits.data() + digits.size())
    return thrown("java.lang.NumberFormatException", fmt::format("For input string: \"{}\"", text));
  return value;
}

bool continues(std::string_view bytes, size_t at) {
  return at < bytes.size() && (static_cast<uint8_t>(bytes[at]) & 0xC0) == 0x80;
}

struct Character {
  size_t bytes = 1;  // of the input
  bool fine = false;
};

// The second byte of one of three or four, by the first one.
bool fits(uint8_t first, uint8_t second) {
  if (first == 0xE0) return second >= 0xA0;
  if (first == 0xF0) return second >= 0x90;
  return first != 0xF4 || second < 0x90;
}

// The character at `at`, or how much of the input is replaced by one. What Java replaces together
// are the bytes that begin a character, but for a surrogate, which is replaced whole.
Character character_at(std::string_view bytes, size_t at) {
  const auto first = static_cast<uint8_t>(bytes[at]);
  if (first < 0x80) return {.bytes = 1, .fine = true};
  if (first < 0xC2 || first > 0xF4) return {};
  const size_t whole = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  for (size_t i = 1; i < whole; ++i) {
    if (!continues(bytes, at + i)) return {.bytes = i};
    if (i == 1 && !fits(first, static_cast<uint8_t>(bytes[at + 1]))) return {};
  }
  const bool surrogate = first == 0xED && static_cast<uint8_t>(bytes[at + 1]) >= 0xA0;
  return {.bytes = whole, .fine = !surrogate};
}

}  // namespace

std::string java_text(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const auto [size, fine] = character_at(bytes, at);
    text += fine ? bytes.substr(at, size) : std::string_view("\xEF\xBF\xBD");
    at += size;
  }
  return text;
}

std::string upper_case(std::string_view text) {
  std::string upper(text);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return upper;
}

Attempt<int32_t> parse_int(std::string_view text) { return parse_number<int32_t>(text); }
Attempt<int64_t> parse_long(std::string_view text) { return parse_number<int64_t>(text); }

std::string java_double(double value) {
  const double size = std::fabs(value);
  if (!std::isfinite(value)) return java_fixed(value, 0);
  if (size != 0 && (size < 1e-3 || size >= 1e7)) {
    const int exponent = static_cast<int>(std::floor(std::log10(size)));
    return fmt::format("{}E{}", java_double(value / std::pow(10, exponent)), exponent);
  }
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".n") == std::string::npos) text += ".0";
  return text;
}

std::string java_fixed(double value, int digits) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return fmt::format("{:.{}f}", value, digits);
}

void Columns::fit(const std::vector<std::string>& cells, std::initializer_list<size_t> which) {
  for (const size_t i : which) widths_[i] = std::max(widths_[i], cells[i].size());
}

std::string Columns::line(const std::vector<std::string>& cells) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    line += cells[i];
    if (i + 1 == cells.size()) break;
    const size_t width = i < widths_.size() ? widths_[i] : 0;
    line.append(width > cells[i].size() ? width - cells[i].size() : 0, ' ');
    line += ' ';
  }
  return line;
}

}  // namespace millrace::app::kafka
