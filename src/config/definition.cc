#include "config/definition.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

namespace millrace::config {
namespace {

std::string_view type_name(Type type) {
  switch (type) {
    case Type::kBoolean: return "BOOLEAN";
    case Type::kString: return "STRING";
    case Type::kInt: return "INT";
    case Type::kShort: return "SHORT";
    case Type::kLong: return "LONG";
    case Type::kDouble: return "DOUBLE";
    case Type::kList: return "LIST";
    case Type::kClass: return "CLASS";
    case Type::kPassword: return "PASSWORD";
  }
  return "?";
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

template <class Number>
std::optional<Number> parse(std::string_view text) {
  Number value{};
  text = trimmed(text);
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> number_of(Type type, std::string_view text) {
  switch (type) {
    case Type::kInt: return parse<int32_t>(text);
    case Type::kShort: return parse<int16_t>(text);
    case Type::kLong: return parse<int64_t>(text);
    default: return parse<double>(text);
  }
}

bool is_number(Type type) {
  return type == Type::kInt || type == Type::kShort || type == Type::kLong || type == Type::kDouble;
}

bool word_allowed(std::string_view allowed, std::string_view word) {
  for (size_t at = 0; at <= allowed.size();) {
    const size_t end = std::min(allowed.find(',', at), allowed.size());
    if (allowed.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

std::string invalid(const Definition& definition, std::string_view value, std::string_view why) {
  return fmt::format("Invalid value {} for configuration {}: {}", value, definition.name, why);
}

std::optional<std::string> number_problem(const Definition& definition, const std::string& value) {
  auto number = number_of(definition.type, value);
  if (!number)
    return invalid(definition, value,
                   fmt::format("Not a number of type {}", type_name(definition.type)));
  if (definition.bounded && *number < definition.least)
    return invalid(definition, value, fmt::format("Value must be at least {}", definition.least));
  if (definition.bounded && *number > definition.most)
    return invalid(definition, value,
                   fmt::format("Value must be no more than {}", definition.most));
  return std::nullopt;
}

std::optional<std::string> words_problem(const Definition& definition, std::string_view value) {
  if (definition.allowed.empty()) return std::nullopt;
  for (size_t at = 0; at <= value.size();) {
    const size_t end =
        definition.type == Type::kList ? std::min(value.find(',', at), value.size()) : value.size();
    const std::string_view word = trimmed(value.substr(at, end - at));
    if (!word.empty() && !word_allowed(definition.allowed, word))
      return invalid(definition, value,
                     fmt::format("String must be one of: {}", definition.allowed));
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace

// Looked up on the way of every request, so it is hashed.
const Definition* find_definition(Scope scope, std::string_view name) {
  using Key = std::pair<Scope, std::string_view>;
  struct Hash {
    size_t operator()(const Key& key) const {
      return std::hash<std::string_view>{}(key.second) + static_cast<size_t>(key.first);
    }
  };
  static const auto kByName = [] {
    std::unordered_map<Key, const Definition*, Hash> all;
    for (const Definition& definition : all_definitions())
      all.emplace(Key(definition.scope, definition.name), &definition);
    return all;
  }();
  auto found = kByName.find({scope, name});
  return found == kByName.end() ? nullptr : found->second;
}

std::optional<std::string> value_problem(const Definition& definition, const std::string& value) {
  if (is_number(definition.type)) return number_problem(definition, value);
  if (definition.type == Type::kBoolean && value != "true" && value != "false")
    return invalid(definition, value, "Expected value to be either true or false");
  return words_problem(definition, value);
}

std::optional<std::string> problem_of(Scope scope, const Values& values) {
  for (const auto& [name, value] : values) {
    const Definition* definition = find_definition(scope, name);
    if (definition == nullptr && scope == Scope::kBroker) continue;  // kept, as Kafka keeps them
    if (definition == nullptr) return fmt::format("Unknown topic config name: {}", name);
    if (auto problem = value_problem(*definition, value)) return problem;
  }
  return std::nullopt;
}

int8_t type_id(Type type) {
  switch (type) {
    case Type::kBoolean: return 1;
    case Type::kString: return 2;
    case Type::kInt: return 3;
    case Type::kShort: return 4;
    case Type::kLong: return 5;
    case Type::kDouble: return 6;
    case Type::kList: return 7;
    case Type::kClass: return 8;
    case Type::kPassword: return 9;
  }
  return 0;
}

}  // namespace millrace::config
