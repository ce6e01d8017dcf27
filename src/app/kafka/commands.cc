#include "app/kafka/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ranges>
#include <utility>

#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

using Takes = Argument::Takes;

constexpr std::string_view kException = "net.sourceforge.argparse4j.inf.ArgumentParserException";

std::unexpected<Ending> refused(std::string message) {
  return thrown(kException, std::move(message));
}

// "--bootstrap-server/-b".
std::string shown(const Argument& argument) {
  std::string text(argument.name);
  if (!argument.brief.empty()) text += fmt::format("/{}", argument.brief);
  return text;
}

std::string usage_of(const Program& program) {
  std::string text = fmt::format("usage: {} [-h]", program.name);
  for (const auto& each : program.arguments)
    text += fmt::format(" [{}{}]", each.name, each.takes == Takes::kNothing ? "" : " VALUE");
  if (program.commands.empty()) return text + "\n";
  std::vector<std::string_view> names;
  for (const auto& each : program.commands) names.push_back(each.name);
  return text + fmt::format(" {{{}}} ...\n", fmt::join(names, ","));
}

std::optional<double> parse_double(std::string_view text) {
  double value = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_whole(Takes takes, std::string_view value) {
  const auto number = parse_long(value);
  switch (takes) {
    case Takes::kShort: return number && std::in_range<int16_t>(*number);
    case Takes::kInteger: return number && std::in_range<int32_t>(*number);
    case Takes::kLong: return number.has_value();
    case Takes::kDouble: return parse_double(value).has_value();
    default: return true;
  }
}

std::string_view java_type_of(Takes takes) {
  if (takes == Takes::kShort) return "Short";
  if (takes == Takes::kDouble) return "Double";
  return takes == Takes::kInteger ? "Integer" : "Long";
}

std::string help_of(const Program& program, const CommandWords* command) {
  std::string text = fmt::format("{}\n{}\n\n", usage_of(program),
                                 command == nullptr ? program.about : command->help);
  for (const auto& each : command == nullptr ? program.arguments : command->arguments)
    text += fmt::format("  {:<32} {}\n", shown(each), each.help);
  if (command == nullptr)
    for (const auto& each : program.commands)
      text += fmt::format("  {:<32} {}\n", each.name, each.help);
  return text;
}

}  // namespace

class Parsed::Reader {
 public:
  Reader(Parsed& into, const Program& program, const Words& words)
      : into_(into), program_(program), words_(words), arguments_(program.arguments) {}

  Attempt<> read() {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      const bool is_option = word.size() > 1 && word[0] == '-' && !is_negative(word);
      if (is_option) {
        RETURN_IF_ERROR(option(word));
      } else if (command_ == nullptr && !program_.commands.empty()) {
        RETURN_IF_ERROR(command(word));
      } else {
        unknown_.push_back(word);
      }
    }
    return check();
  }

 private:
  static bool is_negative(std::string_view word) { return parse_double(word).has_value(); }

  Attempt<> command(const std::string& word) {
    const auto found = std::ranges::find(program_.commands, word, &CommandWords::name);
    if (found != program_.commands.end()) {
      RETURN_IF_ERROR(check_required(program_.arguments));
      RETURN_IF_ERROR(check_connected(program_.arguments, program_.must_connect));
      command_ = &*found;
      into_.command_ = found->name;
      arguments_ = found->arguments;
      return {};
    }
    std::string names;
    for (const auto& each : program_.commands)
      names += fmt::format("{}'{}'", names.empty() ? "" : ", ", each.name);
    return refused(fmt::format("invalid choice: '{}' (choose from {})", word, names));
  }

  // The argument of a name or of the beginning of one; null: there is none.
  Attempt<const Argument*> find(const std::string& name) const {
    std::vector<const Argument*> begun;
    for (const auto& each : arguments_) {
      if (each.name == name || each.brief == name) return &each;
      if (name.starts_with("--") && each.name.starts_with(name)) begun.push_back(&each);
    }
    if (begun.size() <= 1) return begun.empty() ? nullptr : begun.front();
    std::vector<std::string_view> names;
    for (const auto* each : begun) names.push_back(each->name);
    return refused(
        fmt::format("ambiguous option: {} could match {}", name, fmt::join(names, ", ")));
  }

  Attempt<> option(const std::string& word) {
    if (word == "-h" || word == "--help") {
      fmt::print("{}", help_of(program_, command_));
      return ended(0);
    }
    const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    ASSIGN_OR_RETURN(const Argument* argument, find(word.substr(0, equals)));
    if (argument == nullptr) {
      unknown_.push_back(word);
      return {};
    }
    if (argument->connects) {
      if (connection_ != nullptr && connection_ != argument)
        return refused(fmt::format("argument {}: not allowed with argument {}", shown(*argument),
                                   shown(*connection_)));
      connection_ = argument;
    }
    auto& values = into_.values_[argument->name];
    if (argument->takes == Takes::kNothing) return {};
    if (!argument->repeatable) values.clear();
    if (equals != std::string::npos) return add(*argument, word.substr(equals + 1), values);
    const bool several = argument->takes == Takes::kTexts;
    if (!follows_value())
      return refused(fmt::format("argument {}: expected {}", shown(*argument),
                                 several ? "1 argument(s)" : "one argument"));
    RETURN_IF_ERROR(add(*argument, words_[at_++], values));
    while (several && follows_value()) values.push_back(words_[at_++]);
    return {};
  }

  bool follows_value() const {
    return at_ < words_.size() && (!words_[at_].starts_with('-') || is_negative(words_[at_]));
  }

  static Attempt<> add(const Argument& argument, std::string value,
                       std::vector<std::string>& values) {
    if (!is_whole(argument.takes, value))
      return refused(
          fmt::format("argument {}: could not convert '{}' to {} (For input string: \"{}\")",
                      shown(argument), value, java_type_of(argument.takes), value));
    values.push_back(std::move(value));
    return {};
  }

  Attempt<> check_required(std::span<const Argument> arguments) const {
    for (const auto& each : std::views::reverse(arguments))  // as argparse4j tells them
      if (each.required && !into_.has(each.name))
        return refused(fmt::format("argument {} is required", shown(each)));
    return {};
  }

  Attempt<> check_connected(std::span<const Argument> arguments, bool needed) const {
    std::string names;
    for (const auto& each : arguments)
      if (each.connects) names += fmt::format("{}{}", names.empty() ? "" : " ", shown(each));
    if (!needed || names.empty() || connection_ != nullptr) return {};
    return refused(fmt::format("one of the arguments {} is required", names));
  }

  Attempt<> check() const {
    if (command_ == nullptr && !program_.commands.empty()) return refused("too few arguments");
    if (!unknown_.empty())
      return refused(fmt::format("unrecognized arguments: '{}'", fmt::join(unknown_, " ")));
    RETURN_IF_ERROR(check_required(arguments_));
    return check_connected(arguments_, program_.must_connect);
  }

  Parsed& into_;
  const Program& program_;
  const Words& words_;
  std::span<const Argument> arguments_;
  const CommandWords* command_ = nullptr;
  const Argument* connection_ = nullptr;
  std::vector<std::string> unknown_;
  size_t at_ = 0;
};

Attempt<Parsed> Parsed::parse(const Program& program, const Words& words) {
  Parsed parsed;
  RETURN_IF_ERROR(Reader(parsed, program, words).read());
  return parsed;
}

std::vector<std::string> Parsed::values(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

std::optional<std::string> Parsed::value(std::string_view name) const {
  auto all = values(name);
  if (all.empty()) return std::nullopt;
  return std::move(all.front());
}

std::optional<int64_t> Parsed::number(std::string_view name) const {
  const auto text = value(name);
  const auto number = text ? parse_long(*text) : Attempt<int64_t>(0);
  if (!text || !number) return std::nullopt;
  return *number;
}

std::optional<double> Parsed::real(std::string_view name) const {
  const auto text = value(name);
  return text ? parse_double(*text) : std::nullopt;
}

std::string help_of(const Program& program) { return help_of(program, nullptr); }

std::unexpected<Ending> argument_error(std::string message) { return refused(std::move(message)); }

int run_program(const Program& program, const Words& words, Attempt<> (*act)(const Words& words)) {
  if (words.empty()) {
    fmt::print("{}", help_of(program));
    return 0;
  }
  const auto done = act(words);
  std::fflush(stdout);
  if (done) return 0;
  if (done.error().kind == Ending::Kind::kExit)
    return done.error().status == 0 ? 1 : done.error().status;
  if (is_argument_error(done.error())) return tell_argument_error(program, done.error());
  return uncaught(done.error());
}

int tell_argument_error(const Program& program, const Ending& ending) {
  fmt::print(stderr, "{}{}: error: {}\n", usage_of(program), program.name, ending.message);
  return 1;
}

bool is_argument_error(const Ending& ending) { return ending.type == kException; }

}  // namespace millrace::app::kafka
