#include "library/config_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "library/text.h"

namespace millrace::library {
namespace {

// As Java's Long.parseLong.
std::optional<int64_t> parse_long(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string ConfigReader::text(std::string_view name, std::string_view otherwise) const {
  const auto found = properties_.find(name);
  return found == properties_.end() ? std::string(otherwise) : trimmed(found->second);
}

bool ConfigReader::truth(std::string_view name, bool otherwise) {
  const std::string value = lower_case(text(name, otherwise ? "true" : "false"));
  if (value != "true" && value != "false")
    refuse(value, name, "Expected value to be either true or false");
  return value == "true";
}

std::string ConfigReader::one_of(std::string_view name, std::string_view otherwise,
                                 std::initializer_list<std::string_view> values) {
  std::string value = text(name, otherwise);
  if (std::ranges::find(values, value) == values.end())
    refuse(value, name, fmt::format("String must be one of: {}", fmt::join(values, ", ")));
  return value;
}

int64_t ConfigReader::number(std::string_view name, int64_t otherwise, Bounds bounds) {
  if (!has(name)) return otherwise;
  const std::string given = text(name, "");
  const auto number = parse_long(given);
  if (!number || *number > bounds.most) {
    refuse(given, name, fmt::format("Not a number of type {}", bounds.type));
    return otherwise;
  }
  if (*number < bounds.least)
    refuse(given, name, fmt::format("Value must be at least {}", bounds.least));
  return *number;
}

int64_t ConfigReader::long_number(std::string_view name, int64_t otherwise) {
  return number(name, otherwise, {.type = "LONG", .most = std::numeric_limits<int64_t>::max()});
}

void ConfigReader::refuse(std::string_view value, std::string_view name, std::string_view why) {
  refuse(fmt::format("Invalid value {} for configuration {}: {}", value, name, why));
}

void ConfigReader::refuse(std::string words) {
  if (fine_) fine_ = fail(Errc::kInvalid, std::move(words));
}

Duration milliseconds_of(int64_t count) {
  constexpr int64_t kMost = int64_t{1} << 40;
  return milliseconds(std::min(count, kMost));
}

}  // namespace millrace::library
