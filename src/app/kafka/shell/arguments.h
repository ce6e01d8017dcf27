// The words of kafka-metadata-shell, and those of a command within it, as argparse4j takes them:
// options anywhere between the positional words, `--` ends them, a negative number is none.
// Not here: which command it is (app/kafka/shell/commands.h), words of other scripts
// (app/kafka/commands.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "app/kafka/options.h"

namespace millrace::app::kafka::shell {

struct Syntax {
  enum class Options : uint8_t { kNone, kHelp, kHelpAndSnapshot };
  Options options = Options::kHelp;
  size_t least = 0, most = SIZE_MAX;  // positional words
};

struct Arguments {
  std::optional<std::string> snapshot;
  Words positional;
};

struct Refusal {
  bool asks_help = false;
  std::string message;  // of argparse4j
};

std::expected<Arguments, Refusal> take_arguments(const Syntax& syntax, const Words& words);

// Whether argparse4j takes the word for an option.
bool is_flag(std::string_view word);

}  // namespace millrace::app::kafka::shell
