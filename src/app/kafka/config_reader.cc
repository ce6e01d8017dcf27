#include "app/kafka/config_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/kafka/text.h"

namespace millrace::app::kafka {

std::unexpected<Ending> config_exception(std::string message) {
  return thrown("org.apache.kafka.common.config.ConfigException", std::move(message));
}

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
  if (!is_in(values, value))
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
  if (!fine_) return;
  fine_ =
      config_exception(fmt::format("Invalid value {} for configuration {}: {}", value, name, why));
}

Duration milliseconds_of(int64_t count) {
  constexpr int64_t kMost = int64_t{1} << 40;
  return milliseconds(std::min(count, kMost));
}

}  // namespace millrace::app::kafka
