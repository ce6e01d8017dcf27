// The words of those scripts of Apache Kafka that have commands ("kafka-cluster.sh cluster-id"), as
// argparse4j takes them: options of the script before the command, options of the command behind
// it; --name value, --name=value, -n value, and any beginning of a long name that fits one only.
// Not here: joptsimple's way (app/kafka/options.h), what scripts say of an exception.
// Inputs: what there is, which outlives the Parsed. Errors: ArgumentParserException, with the
// message of argparse4j; for --help, the help is printed and the status is 0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/kafka/ending.h"
#include "app/kafka/options.h"

namespace millrace::app::kafka {

struct Argument {
  // kTexts: one or more, up to the next option.
  enum class Takes : uint8_t { kText, kTexts, kShort, kInteger, kLong, kDouble, kFile, kNothing };
  std::string_view name;   // "--bootstrap-server"
  std::string_view brief;  // "-b", or empty
  std::string_view help;
  Takes takes = Takes::kText;
  bool required = false;
  bool repeatable = false;
  bool connects = false;  // of those, one is allowed: they say where the cluster is, or the like
};

struct CommandWords {
  std::string_view name;
  std::string_view help;
  std::span<const Argument> arguments;
};

struct Program {
  std::string_view name;
  std::string_view about;
  std::span<const Argument> arguments;  // before the command
  std::span<const CommandWords> commands;
  bool must_connect = false;  // one of the arguments that connect is needed
};

class Parsed {
 public:
  static Attempt<Parsed> parse(const Program& program, const Words& words);

  std::string_view command() const { return command_; }
  bool has(std::string_view name) const { return values_.contains(name); }
  std::optional<std::string> value(std::string_view name) const;
  std::vector<std::string> values(std::string_view name) const;
  std::optional<int64_t> number(std::string_view name) const;
  std::optional<double> real(std::string_view name) const;

 private:
  class Reader;
  std::string_view command_;
  std::map<std::string_view, std::vector<std::string>> values_;
};

// "usage: ..." and the error, on standard error, as argparse4j ends a program; status 1.
int tell_argument_error(const Program& program, const Ending& ending);
bool is_argument_error(const Ending& ending);
std::unexpected<Ending> argument_error(std::string message);
std::string help_of(const Program& program);

// Runs a program without commands: what is said of its errors, and its exit status. Without words
// it prints its help, status 0; when that is asked for, 1.
int run_program(const Program& program, const Words& words, Attempt<> (*act)(const Words& words));

}  // namespace millrace::app::kafka
