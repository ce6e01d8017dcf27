#include "app/kafka/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace millrace::app::kafka {
namespace {

using Takes = Option::Takes;

constexpr Option kStandard[] = {
    flag("help", "Prints this help."),
    flag("version", "Prints the version of Apache Kafka that this is.")};

std::unexpected<Ending> refused(std::string_view type, std::string message) {
  return thrown(fmt::format("joptsimple.{}", type), std::move(message));
}

std::unexpected<Ending> several_values(std::string_view name) {
  return refused(
      "MultipleArgumentsForOptionException",
      fmt::format("Found multiple arguments for option {}, but you asked for only one", name));
}

bool is_long(std::string_view word) { return word.starts_with("--"); }
bool is_short(std::string_view word) { return word.starts_with('-') && word != "-"; }

template <class T>
bool is_number(std::string_view text) {
  T value{};
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failed == std::errc{} && end == text.data() + text.size();
}

bool fits(Takes takes, std::string_view text) {
  if (takes == Takes::kInteger) return is_number<int32_t>(text);
  if (takes == Takes::kLong) return is_number<int64_t>(text);
  if (takes == Takes::kDouble) return is_number<double>(text);
  return true;
}

}  // namespace

// Takes words one by one.
class Options::Reader {
 public:
  Reader(Options& into, const Words& words) : into_(into), words_(words) {}

  Attempt<> read() {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      if (word == "--") return {};
      if (is_long(word)) {
        RETURN_IF_ERROR(option(word.substr(2)));
      } else if (is_short(word)) {
        RETURN_IF_ERROR(short_option(word.substr(1)));
      }
    }
    return {};
  }

 private:
  Attempt<> short_option(const std::string& word) {
    const std::string name = word.substr(0, word.find('='));
    if (into_.known(name) != nullptr) return option(word);
    return refused("UnrecognizedOptionException",
                   fmt::format("{} is not a recognized option", word.substr(0, 1)));
  }

  Attempt<> option(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const Option* option = into_.known(name);
    if (option == nullptr)
      return refused("UnrecognizedOptionException",
                     fmt::format("{} is not a recognized option", name));
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (option->takes == Takes::kNothing) {
      into_.given_.push_back({option, std::nullopt});
    } else if (!value.empty()) {
      add(*option, value);
    } else if (option->takes == Takes::kOptionalText) {
      const bool follows = at_ < words_.size() && !is_long(words_[at_]) && !is_short(words_[at_]);
      if (follows)
        add(*option, words_[at_++]);
      else
        into_.given_.push_back({option, std::nullopt});
    } else if (at_ == words_.size()) {
      return refused("OptionMissingRequiredArgumentException",
                     fmt::format("Option {} requires an argument", name));
    } else {
      add(*option, words_[at_++]);
    }
    return {};
  }

  void add(const Option& option, std::string_view value) {
    while (option.separator != '\0' && value.contains(option.separator)) {
      const size_t end = value.find(option.separator);
      into_.given_.push_back({&option, std::string(value.substr(0, end))});
      value.remove_prefix(end + 1);
    }
    into_.given_.push_back({&option, std::string(value)});
  }

  Options& into_;
  const Words& words_;
  size_t at_ = 0;
};

const Option* Options::known(std::string_view name) const {
  const auto standard = std::ranges::find(kStandard, name, &Option::name);
  if (standard != std::end(kStandard)) return &*standard;
  const auto found = std::ranges::find(options_, name, &Option::name);
  return found == options_.end() ? nullptr : &*found;
}

const Option* Options::find(std::string_view name) const {
  const auto found =
      std::ranges::find_if(given_, [&](const Given& each) { return each.option->name == name; });
  return found == given_.end() ? nullptr : found->option;
}

Attempt<Options> Options::parse(std::span<const Option> options, const Words& words) {
  Options result;
  result.options_ = options;
  result.words_ = words;
  RETURN_IF_ERROR(Reader(result, words).read());
  if (result.has("help") || result.has("version")) return result;
  std::string unavailable;
  for (const auto& each : result.given_) {
    std::string_view allowing = each.option->only_with;
    bool allowed = allowing.empty();
    while (!allowing.empty()) {
      const size_t comma = allowing.find(',');
      allowed = allowed || result.has(allowing.substr(0, comma));
      allowing.remove_prefix(comma == std::string_view::npos ? allowing.size() : comma + 1);
    }
    if (!allowed)
      unavailable += fmt::format("{}{}", unavailable.empty() ? "" : ", ", each.option->name);
  }
  if (!unavailable.empty())
    return refused("UnavailableOptionException",
                   fmt::format("Option(s) [{}] are unavailable given other options on the command "
                               "line",
                               unavailable));
  return result;
}

Attempt<> Options::check_values() const {
  for (size_t i = 0; i < given_.size(); ++i) {
    const Given& each = given_[i];
    const auto same = [&](const Given& other) { return other.option == each.option; };
    if (!each.option->repeatable && each.option->takes != Takes::kNothing &&
        std::ranges::count_if(given_, same) > 1)
      return several_values(each.option->name);
    if (each.value && !fits(each.option->takes, *each.value))
      return refused(
          "OptionArgumentConversionException",
          fmt::format("Cannot parse argument '{}' of option {}", *each.value, each.option->name));
  }
  return {};
}

std::vector<std::string> Options::values(std::string_view name) const {
  std::vector<std::string> result;
  for (const auto& each : given_)
    if (each.option->name == name && each.value) result.push_back(*each.value);
  if (const Option* option = known(name); result.empty() && !option->fallback.empty() && !has(name))
    result.emplace_back(option->fallback);
  return result;
}

Attempt<std::string> Options::only_value(std::string_view name) const {
  auto all = values(name);
  if (all.size() > 1) return several_values(name);
  return all.empty() ? std::string() : std::move(all.front());
}

std::optional<std::string> Options::value(std::string_view name) const {
  auto all = values(name);
  if (all.empty()) return std::nullopt;
  return std::move(all.front());
}

std::optional<int64_t> Options::number(std::string_view name) const {
  const auto text = value(name);
  if (!text) return std::nullopt;
  int64_t number = 0;
  const size_t sign = text->starts_with('+') ? 1 : 0;
  std::from_chars(text->data() + sign, text->data() + text->size(), number);
  return number;
}

Attempt<> Options::require(std::initializer_list<std::string_view> names) const {
  for (const auto name : names)
    if (!has(name)) return usage(fmt::format("Missing required argument \"[{}]\"", name));
  return {};
}

Attempt<> Options::refuse_with(std::string_view used,
                               std::initializer_list<std::string_view> names) const {
  if (!has(used)) return {};
  for (const auto name : names)
    if (name != used && has(name))
      return usage(fmt::format("Option \"[{}]\" can't be used with option \"[{}]\"", used, name));
  return {};
}

Attempt<> Options::one_of(std::initializer_list<std::string_view> names) const {
  const auto count = std::ranges::count_if(names, [&](auto name) { return has(name); });
  if (count == 1) return {};
  std::string list;
  for (const auto name : names) list += fmt::format("{}[{}]", list.empty() ? "" : ", ", name);
  return usage(fmt::format("Exactly one of the following arguments is required: {}", list));
}

std::string help_of(std::span<const Option> options) {
  std::vector<const Option*> sorted;
  for (const auto& each : kStandard) sorted.push_back(&each);
  for (const auto& each : options) sorted.push_back(&each);
  std::ranges::sort(sorted, {}, &Option::name);
  auto left = [](const Option& option) {
    const char* takes = option.takes == Takes::kNothing   ? ""
                        : option.takes == Takes::kText    ? " <String>"
                        : option.takes == Takes::kInteger ? " <Integer>"
                        : option.takes == Takes::kLong    ? " <Long>"
                        : option.takes == Takes::kDouble  ? " <Double>"
                                                          : " [String]";
    return fmt::format("--{}{}", option.name, takes);
  };
  size_t width = 0;
  for (const Option* each : sorted) width = std::max(width, left(*each).size());
  std::string help =
      fmt::format("{:<{}}  Description\n{:<{}}  -----------\n", "Option", width, "------", width);
  for (const Option* each : sorted) {
    help += fmt::format("{:<{}}  {}", left(*each), width, each->help);
    if (!each->fallback.empty()) help += fmt::format(" (default: {})", each->fallback);
    help += '\n';
  }
  return help;
}

}  // namespace millrace::app::kafka
