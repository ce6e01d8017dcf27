// Every config of Kafka by scope and name: type, default, what it may be, whether Millrace acts on
// it. The table is generated from schema/configs, and so is docs/run/configs.md.
// Not here: where values come from (config/properties, metadata), what several of them must satisfy
// together (config/rules).
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
  std::string_view besides;  // a number that is allowed beside those within the bounds; or empty
  std::string_view allowed;  // comma separated words of a string or a list's items; empty: any
  std::string_view update;   // "read-only", "per-broker", "cluster-wide"
  // Of a topic's or a group's config: those that give its default, the one that wins first.
  std::string_view broker_configs;
  bool takes_effect;  // false: taken and shown, and nothing of ours acts on it
  bool internal;      // shown only where it is set
  std::string_view documentation;
};

std::span<const Definition> all_definitions();
const Definition* find_definition(Scope scope, std::string_view name);

// Nothing when `value` may stand for the config, else what is wrong in Kafka's words:
// "Invalid value x for configuration y: Not a number of type INT".
std::optional<std::string> value_problem(const Definition& definition, const std::string& value);

// Checks a whole map of one scope: unknown names and wrong values.
using Values = std::map<std::string, std::string, std::less<>>;
std::optional<std::string> problem_of(Scope scope, const Values& values);

// The items of a LIST, without the blanks around them and without empty ones.
std::vector<std::string> split_list(std::string_view text);
// A BOOLEAN in any case, as Kafka reads it.
bool is_true(std::string_view text);
// A number that value_problem() found nothing wrong with; 0 for anything else.
int64_t to_number(std::string_view text);
double to_real(std::string_view text);

// The value as Kafka prints it once it is parsed: without the blanks around it, a BOOLEAN in small
// letters, each item of a LIST once.
std::string canonical(const Definition& definition, std::string_view value);

// The number that the protocol has for the type (DescribeConfigs 3+).
int8_t type_id(Type type);

}  // namespace millrace::config
