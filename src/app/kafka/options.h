// The words of Apache Kafka's scripts, as joptsimple takes them: --name value, --name=value, -name
// value; a value may begin with dashes; an option may come several times; `--` ends the options.
// No abbreviations.
// Not here: what is said when words are refused (app/kafka/script.h), the scripts with commands
// (app/kafka/commands.h).
// Inputs: the options that there are, which outlive the Options. Errors: an exception of
// joptsimple.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/kafka/ending.h"

namespace millrace::app::kafka {

using Words = std::vector<std::string>;

struct Option {
  enum class Takes : uint8_t { kNothing, kText, kInteger, kLong, kDouble, kOptionalText };
  std::string_view name;
  Takes takes = Takes::kNothing;
  std::string_view help;
  std::string_view fallback;   // its value when it is not given; empty: none
  std::string_view only_with;  // unless one of these (between commas) is given, it is refused
  bool repeatable = false;     // several values may be asked for
  char separator = '\0';       // between several values in one word
};

constexpr Option flag(std::string_view name, std::string_view help) {
  return {.name = name, .takes = Option::Takes::kNothing, .help = help};
}
constexpr Option text(std::string_view name, std::string_view help,
                      std::string_view fallback = {}) {
  return {.name = name, .takes = Option::Takes::kText, .help = help, .fallback = fallback};
}
constexpr Option texts(std::string_view name, std::string_view help) {
  return {.name = name, .takes = Option::Takes::kText, .help = help, .repeatable = true};
}
constexpr Option integer(std::string_view name, std::string_view help,
                         std::string_view fallback = {}) {
  return {.name = name, .takes = Option::Takes::kInteger, .help = help, .fallback = fallback};
}
constexpr Option number(std::string_view name, std::string_view help,
                        std::string_view fallback = {}) {
  return {.name = name, .takes = Option::Takes::kLong, .help = help, .fallback = fallback};
}

class Options {
 public:
  // Beside `options` there are --help and --version.
  static Attempt<Options> parse(std::span<const Option> options, const Words& words);

  bool has(std::string_view name) const { return find(name) != nullptr; }
  const Words& words() const { return words_; }
  // Whether values are numbers where they have to be, and single where one is asked for. Before
  // any of the following.
  Attempt<> check_values() const;
  std::optional<std::string> value(std::string_view name) const;  // or the fallback
  std::optional<int64_t> number(std::string_view name) const;     // or the fallback
  std::vector<std::string> values(std::string_view name) const;
  // Of an option that is given once here, although several values may be asked for elsewhere.
  Attempt<std::string> only_value(std::string_view name) const;
  // Each option given, with its value, in the order of the words.
  struct Given {
    const Option* option;
    std::optional<std::string> value;
  };
  const std::vector<Given>& given() const { return given_; }

  // The checks that the scripts share; refusals of words.
  Attempt<> require(std::initializer_list<std::string_view> names) const;
  Attempt<> refuse_with(std::string_view used, std::initializer_list<std::string_view> names) const;
  Attempt<> one_of(std::initializer_list<std::string_view> names) const;

 private:
  const Option* find(std::string_view name) const;
  const Option* known(std::string_view name) const;
  class Reader;

  std::span<const Option> options_;
  std::vector<Given> given_;
  Words words_;
};

std::string help_of(std::span<const Option> options);

}  // namespace millrace::app::kafka
