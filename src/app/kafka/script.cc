#include "app/kafka/script.h"

#include <fmt/format.h>

#include <cstdio>

namespace millrace::app::kafka {
namespace {

constexpr int kAsUsage = -1;

int end(const Script& script, const Ending& ending, int (*tell)(const Ending&)) {
  if (ending.kind == Ending::Kind::kExit) return ending.status;
  if (ending.kind == Ending::Kind::kException)
    if (const int status = tell(ending); status != kAsUsage) return status;
  fmt::print(stderr, "{}\n{}", ending.message, help_of(script.options));
  return ending.status;
}

Attempt<> help_or_version(const Script& script, const Options& options) {
  if (options.words().empty() || options.has("help")) return usage(std::string(script.about));
  if (!options.has("version")) return {};
  fmt::print("{}\n", kKafkaVersion);
  return ended(0);
}

}  // namespace

int refuse_with_help(const Ending&) { return kAsUsage; }

int run(const Script& script, const Words& words) {
  const auto options = Options::parse(script.options, words);
  if (!options) return end(script, options.error(), script.refused);
  if (const auto first = help_or_version(script, *options); !first)
    return end(script, first.error(), script.refused);
  const auto outcome = script.run(*options);
  const int status = outcome ? 0 : end(script, outcome.error(), script.failed);
  std::fflush(stdout);
  return status;
}

}  // namespace millrace::app::kafka
