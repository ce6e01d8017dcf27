// The loggers of this process as resource BROKER_LOGGER (KIP-412). There is one, `root`: its level
// is the level of the whole log.
// Not here: where lines go (base/log).
// Threads: any.
#pragma once

#include <optional>
#include <string>

#include "base/ids.h"
#include "config/rules.h"

namespace millrace::server::broker_logger {

inline constexpr const char* kRoot = "root";

struct Change {
  std::string name;
  int8_t operation = 0;  // of IncrementalAlterConfigs: 0 set, 1 delete, 2 append, 3 subtract
  std::string value;
};

// What is wrong with the resource's name: it must be this node's id.
std::optional<std::string> name_problem(const std::string& name, NodeId self);
std::optional<config::Problem> check(const Change& change);
std::optional<config::Problem> apply(const Change& change);
std::string level();

}  // namespace millrace::server::broker_logger
