// Every config of Kafka by scope and name: type, default, what it may be. The table is generated
// from schema/configs. Not here: where values come from (config/properties, metadata), which of
// them Millrace acts on (docs/run/configs.md).
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace millrace::config {

enum class Scope { kTopic, kBroker, kGroup, kClientMetrics };
enum class Type { kBoolean, kString, kInt, kShort, kLong, kDouble, kList, kClass, kPassword };

struct Definition {
  Scope scope;
  std::string_view name;
  Type type;
  const char* default_value;  // null: none
  double least, most;         // of a number, when bounded
  bool bounded;
  std::string_view allowed;  // comma separated words of a string or a list's items; empty: any
  std::string_view update;   // "read-only", "per-broker", "cluster-wide"
  std::string_view
      broker_configs;  // of a topic config: those that give its default, most specific first
};

std::span<const Definition> all_definitions();
const Definition* find_definition(Scope scope, std::string_view name);

// Nothing when `value` may stand for the config, else what is wrong in Kafka's words:
// "Invalid value x for configuration y: Not a number of type INT".
std::optional<std::string> value_problem(const Definition& definition, const std::string& value);

// Checks a whole map of one scope: unknown names and wrong values.
using Values = std::map<std::string, std::string>;
std::optional<std::string> problem_of(Scope scope, const Values& values);

// The number that the protocol has for the type (DescribeConfigs 3+).
int8_t type_id(Type type);

}  // namespace millrace::config
