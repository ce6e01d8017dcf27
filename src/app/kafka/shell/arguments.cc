#include "app/kafka/shell/arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

namespace millrace::app::kafka::shell {
namespace {

using Done = std::expected<void, Refusal>;

std::unexpected<Refusal> refused(std::string message) {
  return std::unexpected(Refusal{.message = std::move(message)});
}

std::unexpected<Refusal> unrecognized(std::string_view words) {
  return refused(fmt::format("unrecognized arguments: '{}'", words));
}

enum class Option : uint8_t { kUnknown, kHelp, kSnapshot };

class Reader {
 public:
  Reader(const Syntax& syntax, const Words& words) : syntax_(syntax), words_(words) {}

  std::expected<Arguments, Refusal> read() {
    bool ended = false;  // by "--"
    while (at_ < words_.size()) {
      const std::string& word = words_[at_];
      if (!ended && word == "--") {
        ended = true;
        ++at_;
      } else if (!ended && is_flag(word)) {
        ++at_;
        if (auto done = option(word); !done) return std::unexpected(done.error());
      } else if (taken_.positional.size() < syntax_.most) {
        taken_.positional.push_back(words_[at_++]);
      } else {
        return unrecognized(fmt::format("{}", fmt::join(std::span(words_).subspan(at_), " ")));
      }
    }
    if (taken_.positional.size() < syntax_.least) return refused("too few arguments");
    return std::move(taken_);
  }

 private:
  Option named(std::string_view flag) const {
    using enum Syntax::Options;
    const auto begins = [&](std::string_view name) { return name.starts_with(flag); };
    if (syntax_.options == kNone) return Option::kUnknown;
    if (flag == "-h" || begins("--help")) return Option::kHelp;
    if (syntax_.options != kHelpAndSnapshot) return Option::kUnknown;
    return flag == "-s" || begins("--snapshot") ? Option::kSnapshot : Option::kUnknown;
  }

  Done option(const std::string& word) {
    const size_t equals = word.find('=');
    const Option whole = named(word.substr(0, equals));
    if (whole != Option::kUnknown)
      return set(whole, equals == std::string::npos ? std::nullopt
                                                    : std::optional(word.substr(equals + 1)));
    const Option brief = word[1] == '-' ? Option::kUnknown : named(word.substr(0, 2));
    if (brief == Option::kUnknown) return unrecognized(word);
    return set(brief, brief == Option::kHelp ? std::nullopt : std::optional(word.substr(2)));
  }

  Done set(Option option, std::optional<std::string> value) {
    if (option == Option::kHelp) {
      if (value)
        return refused(fmt::format("argument -h/--help: ignore implicit argument '{}'", *value));
      return std::unexpected(Refusal{.asks_help = true, .message = {}});
    }
    const bool follows = at_ < words_.size() && words_[at_] != "--" && !is_flag(words_[at_]);
    if (!value && !follows) return refused("argument --snapshot/-s: expected one argument");
    taken_.snapshot = value ? std::move(*value) : words_[at_++];
    return {};
  }

  const Syntax& syntax_;
  const Words& words_;
  size_t at_ = 0;
  Arguments taken_;
};

}  // namespace

bool is_flag(std::string_view word) {
  if (!word.starts_with('-') || word.find_first_not_of('-') == std::string_view::npos) return false;
  return !std::ranges::all_of(word.substr(1), [](char c) { return c >= '0' && c <= '9'; });
}

std::expected<Arguments, Refusal> take_arguments(const Syntax& syntax, const Words& words) {
  return Reader(syntax, words).read();
}

}  // namespace millrace::app::kafka::shell
