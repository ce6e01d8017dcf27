#include "config/group_configs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace millrace::config {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr size_t kMostFraction = 9;  // digits

// Reads a text from its front.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool is_at_end() const { return text_.empty(); }
  bool takes(char wanted) {
    if (text_.empty() || std::toupper(static_cast<unsigned char>(text_.front())) != wanted)
      return false;
    text_.remove_prefix(1);
    return true;
  }
  std::string_view take_digits() {
    const auto end = std::ranges::find_if(text_, [](char c) { return c < '0' || c > '9'; });
    const auto digits = text_.substr(0, static_cast<size_t>(end - text_.begin()));
    text_.remove_prefix(digits.size());
    return digits;
  }

 private:
  std::string_view text_;
};

std::optional<int64_t> number_of(std::string_view digits) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc{} ? std::optional(number) : std::nullopt;
}

// A part of a duration, "-1.5S", in nanoseconds.
struct Part {
  char unit;
  __int128 nanos;
};

std::optional<Part> take_part(Scanner& from) {
  const bool is_negative = from.takes('-');
  if (!is_negative) from.takes('+');
  const auto whole = number_of(from.take_digits());
  if (!whole) return std::nullopt;
  std::string_view fraction;
  const bool has_fraction = from.takes('.');
  if (has_fraction) fraction = from.take_digits();
  if (fraction.size() > kMostFraction) return std::nullopt;
  std::string digits(fraction);
  digits.resize(kMostFraction, '0');
  constexpr std::pair<char, int64_t> kUnits[] = {{'D', 86'400}, {'H', 3600}, {'M', 60}, {'S', 1}};
  for (const auto& [unit, unit_seconds] : kUnits) {
    if (!from.takes(unit)) continue;
    if (has_fraction && unit != 'S') return std::nullopt;
    const __int128 nanos =
        (static_cast<__int128>(*whole) * unit_seconds) * kNanosPerSecond + *number_of(digits);
    return Part{.unit = unit, .nanos = is_negative ? -nanos : nanos};
  }
  return std::nullopt;
}

// As java.time.Duration reads it: days, then behind a T hours, minutes and seconds, in this order.
std::optional<milliseconds> parse_duration(std::string_view text) {
  Scanner scanner(text);
  const bool is_negative = scanner.takes('-');
  if (!is_negative) scanner.takes('+');
  if (!scanner.takes('P') || scanner.is_at_end()) return std::nullopt;
  constexpr std::string_view kOrder = "DHMS";
  size_t next = 0;
  bool is_time = false;
  __int128 nanos = 0;
  while (!scanner.is_at_end()) {
    if (!is_time && scanner.takes('T')) is_time = true;
    const auto part = take_part(scanner);
    if (!part) return std::nullopt;
    const size_t place = kOrder.find(part->unit);
    if (place < next || is_time != (part->unit != 'D')) return std::nullopt;
    next = place + 1;
    nanos += part->nanos;
  }
  const __int128 millis = (is_negative ? -nanos : nanos) / 1'000'000;
  if (millis > INT64_MAX || millis < INT64_MIN) return std::nullopt;
  return milliseconds(static_cast<int64_t>(millis));
}

}  // namespace

std::string bound_name(std::string_view name, std::string_view which) {
  if (name == "streams.num.standby.replicas") name = "streams.standby.replicas";
  const size_t dot = name.find('.');
  return fmt::format("group.{}.{}.{}", name.substr(0, dot), which, name.substr(dot + 1));
}

std::optional<int64_t> group_number(const Values& group, std::string_view name,
                                    const NodeProperties& node) {
  const auto set = group.find(name);
  if (set == group.end()) return std::nullopt;
  int64_t value = to_number(set->second);
  const std::string least = bound_name(name, "min"), most = bound_name(name, "max");
  if (find_definition(Scope::kBroker, least)) value = std::max(value, node.number(least));
  if (find_definition(Scope::kBroker, most)) value = std::min(value, node.number(most));
  return value;
}

std::optional<OffsetReset> parse_offset_reset(std::string_view text) {
  constexpr std::string_view kByDuration = "by_duration:";
  if (text == "latest") return OffsetReset{};
  if (text == "earliest") return OffsetReset{.to = OffsetReset::To::kEarliest};
  if (!text.starts_with(kByDuration)) return std::nullopt;
  const auto age = parse_duration(text.substr(kByDuration.size()));
  if (!age || *age < milliseconds(0)) return std::nullopt;
  return OffsetReset{.to = OffsetReset::To::kAge, .age = *age};
}

}  // namespace millrace::config
