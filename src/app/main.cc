// The `millrace` command.
#include <fmt/format.h>

#include <string_view>

#include "app/start.h"

namespace {

constexpr std::string_view kUsage = R"(millrace: Apache Kafka, in one binary

  millrace start [FILE] [--override NAME=VALUE]...
      Starts a node. FILE is a server.properties as Apache Kafka takes it; without one a single
      node listens on localhost:9092 and keeps its data in ./data.
  millrace version
)";

int usage_error(std::string_view problem) {
  fmt::print(stderr, "millrace: {}\n\n{}", problem, kUsage);
  return 2;
}

int run_start(int argc, char** argv) {
  millrace::app::StartOptions options;
  for (int i = 2; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--override" && i + 1 < argc) {
      const std::string_view pair = argv[++i];
      const size_t equals = pair.find('=');
      if (equals == std::string_view::npos) return usage_error("--override takes NAME=VALUE");
      options.overrides[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
    } else if (word.starts_with("--") || !options.properties_file.empty()) {
      return usage_error(fmt::format("'{}' is not understood", word));
    } else {
      options.properties_file = word;
    }
  }
  return millrace::app::start(options);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "help";
  if (command == "start") return run_start(argc, argv);
  if (command == "version")
    return fmt::print("millrace {} (Apache Kafka 4.3)\n", MILLRACE_VERSION), 0;
  if (command == "help" || command == "--help" || command == "-h")
    return fmt::print("{}", kUsage), 0;
  return usage_error(fmt::format("there is no command '{}'", command));
}
