// What a script whose words joptsimple takes is made of, and how it is run: words, --help and
// --version, its work, and what is said when that ends early.
// Not here: the scripts (one file each), their names (app/kafka/scripts.h).
#pragma once

#include <span>
#include <string_view>

#include "app/kafka/options.h"

namespace millrace::app::kafka {

inline constexpr std::string_view kKafkaVersion = "4.3.1";  // whose scripts these are

struct Script {
  std::string_view about;  // the first line of its help
  std::span<const Option> options;
  Attempt<> (*run)(const Options& options);
  // Says what an exception is about; the exit status. Of words that cannot be read, and of run().
  int (*refused)(const Ending& ending) = uncaught;
  int (*failed)(const Ending& ending) = uncaught;
};

// The exit status.
int run(const Script& script, const Words& words);

// For scripts that print the help with a reading error, too: the `refused` that does so.
int refuse_with_help(const Ending& ending);

}  // namespace millrace::app::kafka
