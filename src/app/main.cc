// The `millrace` command.
#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <vector>

#include "app/format.h"
#include "app/start.h"

namespace {

constexpr std::string_view kUsage = R"(millrace: Apache Kafka, in one binary

  millrace start [FILE] [--override NAME=VALUE]...
      Starts a node. FILE is a server.properties as Apache Kafka takes it; without one a single
      node listens on localhost:9092 and keeps its data in ./data.
  millrace format -t CLUSTER_ID -c FILE [--ignore-formatted]
      Gives the log directories of FILE their meta.properties, as kafka-storage.sh format does.
      A start does it by itself, with a new cluster id, when there is none.
  millrace version

Called as kafka-storage.sh, kafka-server-start.sh or kafka-run-class.sh it takes their arguments.
)";

int usage_error(std::string_view problem) {
  fmt::print(stderr, "millrace: {}\n\n{}", problem, kUsage);
  return 2;
}

// The arguments behind the command.
using Words = std::vector<std::string_view>;

int run_start(const Words& words) {
  millrace::app::StartOptions options;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--override" && i + 1 < words.size()) {
      const std::string_view pair = words[++i];
      const size_t equals = pair.find('=');
      if (equals == std::string_view::npos) return usage_error("--override takes NAME=VALUE");
      options.overrides[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
    } else if (words[i].starts_with("-") || !options.properties_file.empty()) {
      return usage_error(fmt::format("'{}' is not understood", words[i]));
    } else {
      options.properties_file = words[i];
    }
  }
  return millrace::app::start(options);
}

// kafka-storage.sh format -t ID -c FILE [--ignore-formatted] [--standalone] [--add-scram SPEC]...
int run_format(const Words& words) {
  millrace::app::FormatOptions options;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool has_value = i + 1 < words.size();
    if ((words[i] == "-t" || words[i] == "--cluster-id") && has_value)
      options.cluster_id = words[++i];
    else if ((words[i] == "-c" || words[i] == "--config") && has_value)
      options.properties_file = words[++i];
    else if (words[i] == "-g" || words[i] == "--ignore-formatted")
      options.ignore_formatted = true;
    else if (words[i] != "-s" && words[i] != "--standalone")
      return usage_error(fmt::format("format: '{}' is not supported", words[i]));
  }
  if (options.cluster_id.empty() || options.properties_file.empty())
    return usage_error("format takes -t CLUSTER_ID and -c FILE");
  return millrace::app::format(options);
}

// Called by the name of a script of Apache Kafka's: that script's arguments.
std::optional<int> run_as_script(std::string_view name, Words words) {
  if (name == "kafka-server-start.sh") return run_start(words);
  if (name == "kafka-run-class.sh" && !words.empty() && words[0] == "kafka.Kafka")
    return run_start({words.begin() + 1, words.end()});
  if (name == "kafka-storage.sh" && !words.empty() && words[0] == "format")
    return run_format({words.begin() + 1, words.end()});
  if (name.starts_with("kafka-"))
    return usage_error(fmt::format("{} is not served with these arguments", name));
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view name = argv[0];
  name.remove_prefix(name.find_last_of('/') + 1);
  const Words all(argv + 1, argv + argc);
  if (auto status = run_as_script(name, all)) return *status;
  const std::string_view command = all.empty() ? "help" : all[0];
  const Words words(all.begin() + (all.empty() ? 0 : 1), all.end());
  if (command == "start") return run_start(words);
  if (command == "format") return run_format(words);
  if (command == "version") {
    fmt::print("millrace {} (Apache Kafka 4.3)\n", MILLRACE_VERSION);
    return 0;
  }
  if (command == "help" || command == "--help" || command == "-h") {
    fmt::print("{}", kUsage);
    return 0;
  }
  return usage_error(fmt::format("there is no command '{}'", command));
}
