#include "config/definition.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
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

std::string invalid(const Definition& definition, std::string_view value, std::string_view why) {
  return fmt::format("Invalid value {} for configuration {}: {}", value, definition.name, why);
}

// As Java prints the number: 2 is 2.0 when it is a DOUBLE.
std::string shown(Type type, double number, std::string_view text) {
  const bool whole =
      type == Type::kDouble && number == static_cast<double>(static_cast<int64_t>(number));
  return whole ? fmt::format("{:.1f}", number) : std::string(trimmed(text));
}

std::string bound(double value) { return fmt::format("{}", static_cast<int64_t>(value)); }

std::optional<std::string> number_problem(const Definition& definition, const std::string& value) {
  auto number = number_of(definition.type, value);
  if (!number)
    return invalid(definition, value,
                   fmt::format("Not a number of type {}", type_name(definition.type)));
  if (!definition.bounded) return std::nullopt;
  const bool low = *number<definition.least, high = *number> definition.most;
  if (!low && !high) return std::nullopt;
  const std::string text = shown(definition.type, *number, value);
  if (!definition.besides.empty()) {
    if (*number == number_of(definition.type, definition.besides)) return std::nullopt;
    return invalid(
        definition, text,
        fmt::format("Value must be between {} and {} or equal to {}", bound(definition.least),
                    bound(definition.most), definition.besides));
  }
  return invalid(definition, text,
                 low ? "Value must be at least " + bound(definition.least)
                     : "Value must be no more than " + bound(definition.most));
}

std::optional<std::string> words_problem(const Definition& definition, const std::string& value) {
  if (definition.allowed.empty()) return std::nullopt;
  const auto allowed = split_list(definition.allowed);
  const auto words =
      definition.type == Type::kList ? split_list(value) : std::vector<std::string>{value};
  for (const auto& word : words)
    if (std::ranges::find(allowed, word) == allowed.end())
      return invalid(definition, word,
                     fmt::format("String must be one of: {}", fmt::join(allowed, ", ")));
  return std::nullopt;
}

bool equals_in_any_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

std::string unknown(Scope scope, std::string_view name) {
  switch (scope) {
    case Scope::kGroup: return fmt::format("Unknown group config name: {}", name);
    case Scope::kClientMetrics:
      return fmt::format("Unknown client metrics configuration: {}", name);
    default: return fmt::format("Unknown topic config name: {}", name);
  }
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
  if (definition.type == Type::kBoolean && !is_true(value) &&
      !equals_in_any_case(trimmed(value), "false"))
    return invalid(definition, value, "Expected value to be either true or false");
  return words_problem(definition, value);
}

std::optional<std::string> problem_of(Scope scope, const Values& values) {
  for (const auto& [name, value] : values) {
    const Definition* definition = find_definition(scope, name);
    if (definition == nullptr && scope == Scope::kBroker) continue;  // kept, as Kafka keeps them
    if (definition == nullptr) return unknown(scope, name);
    if (auto problem = value_problem(*definition, value)) return problem;
  }
  return std::nullopt;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string_view item = trimmed(text.substr(at, end - at));
    if (!item.empty()) items.emplace_back(item);
    at = end + 1;
  }
  return items;
}

bool is_true(std::string_view text) { return equals_in_any_case(trimmed(text), "true"); }

int64_t to_number(std::string_view text) { return parse<int64_t>(text).value_or(0); }
double to_real(std::string_view text) { return parse<double>(text).value_or(0); }

std::string canonical(const Definition& definition, std::string_view value) {
  if (definition.type == Type::kBoolean) return is_true(value) ? "true" : "false";
  if (definition.type != Type::kList) return std::string(trimmed(value));
  std::vector<std::string> items;
  for (auto& item : split_list(value))
    if (std::ranges::find(items, item) == items.end()) items.push_back(std::move(item));
  return fmt::format("{}", fmt::join(items, ","));
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
