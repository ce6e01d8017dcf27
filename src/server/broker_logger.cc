#include "server/broker_logger.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/log.h"

namespace millrace::server::broker_logger {
namespace {

constexpr std::array<std::string_view, 4> kOperations = {"SET", "DELETE", "APPEND", "SUBTRACT"};

// Kafka's names; TRACE is as much as we have, FATAL as little.
constexpr std::array<std::pair<std::string_view, log::Level>, 6> kLevels = {
    {{"DEBUG", log::Level::kDebug},
     {"ERROR", log::Level::kError},
     {"FATAL", log::Level::kError},
     {"INFO", log::Level::kInfo},
     {"TRACE", log::Level::kDebug},
     {"WARN", log::Level::kWarn}}};

const std::pair<std::string_view, log::Level>* find_level(std::string_view name) {
  auto found = std::ranges::find(kLevels, name, &std::pair<std::string_view, log::Level>::first);
  return found == kLevels.end() ? nullptr : &*found;
}

}  // namespace

std::optional<std::string> name_problem(const std::string& name, NodeId self) {
  if (name.empty() || name.find_first_not_of("0123456789") != std::string::npos)
    return "Node id must be an integer, but it is: " + name;
  if (name != std::to_string(self.value()))
    return fmt::format("Unexpected node id. Expected {}, but received {}", self, name);
  return std::nullopt;
}

std::optional<config::Problem> check(const Change& change) {
  if (change.operation < 0 || change.operation > 1)
    return config::Problem{true,
                           fmt::format("{} operation is not allowed for the BROKER_LOGGER resource",
                                       change.operation > 0 && change.operation < 4
                                           ? kOperations[static_cast<size_t>(change.operation)]
                                           : "An unknown")};
  if (change.name != kRoot)
    return config::Problem{false, fmt::format("Logger {} does not exist!", change.name)};
  if (change.operation == 1)
    return config::Problem{true, "Removing the log level of the root logger is not allowed"};
  if (find_level(change.value)) return std::nullopt;
  return config::Problem{
      false, fmt::format("Cannot set the log level of {} to {} as it is not a supported log level. "
                         "Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN",
                         change.name, change.value)};
}

std::optional<config::Problem> apply(const Change& change) {
  if (auto problem = check(change)) return problem;
  log::set_level(find_level(change.value)->second);
  return std::nullopt;
}

std::string level() { return std::string(log::level_name(log::level())); }

}  // namespace millrace::server::broker_logger
