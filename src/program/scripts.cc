#include "program/scripts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "app/command.h"
#include "app/format.h"
#include "app/start.h"
#include "program/tools.h"

namespace millrace::program {
namespace {

using app::Command;
using app::kExitFailed;
using app::kExitOk;
using app::kExitUsage;
using Words = std::vector<std::string>;

// What kafka-run-class.sh takes before the class.
struct Launch {
  bool daemon = false;
  std::string service = "kafkaServer";
  Words rest;
};

Launch take_launch_options(const Words& words) {
  Launch launch;
  size_t at = 0;
  for (; at < words.size(); ++at) {
    if (words[at] == "-daemon")
      launch.daemon = true;
    else if (words[at] == "-name" && at + 1 < words.size())
      launch.service = words[++at];
    else if (words[at] != "-loggc")
      break;
  }
  launch.rest.assign(words.begin() + static_cast<ptrdiff_t>(at), words.end());
  return launch;
}

// Where a daemon's output goes: LOG_DIR, else the folder `logs` beside that of the program.
std::string output_file(const std::string& service) {
  const char* given = std::getenv("LOG_DIR");
  std::string folder = given == nullptr ? "" : given;
  if (folder.empty()) {
    const std::string self = app::program_path();
    const std::string bin = self.substr(0, self.find_last_of('/'));
    folder = bin.substr(0, bin.find_last_of('/')) + "/logs";
  }
  ::mkdir(folder.c_str(), 0777);  // if it can be made; opening the file says the rest
  return folder + "/" + service + ".out";
}

enum class Process { kOriginal, kDaemon, kFailed };

// Goes on without a terminal in a process of its own, as nohup and & do. Before any thread runs.
Process become_daemon(const std::string& output) {
  const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (file < 0 || nothing < 0) {
    fmt::print(stderr, "{}: {}\n", output, std::strerror(errno));
    return Process::kFailed;
  }
  const pid_t child = ::fork();
  if (child < 0) {
    fmt::print(stderr, "fork: {}\n", std::strerror(errno));
    return Process::kFailed;
  }
  if (child > 0) return Process::kOriginal;
  ::setsid();
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(file, STDERR_FILENO);
  return Process::kDaemon;
}

int run_tree(const Command& root, std::string_view name, const Words& words) {
  std::vector<const char*> arguments{name.data()};
  for (const auto& word : words) arguments.push_back(word.c_str());
  return Command(root).run(static_cast<int>(arguments.size()), arguments.data());
}

int start_server(std::string_view script, const Launch& launch) {
  if (launch.daemon) {
    const Process process = become_daemon(output_file(launch.service));
    if (process != Process::kDaemon) return process == Process::kOriginal ? kExitOk : kExitFailed;
  }
  const Command::Program program{.name = std::string(script), .usage_status = kExitFailed};
  auto root = Command::root({"Starts a node with a server.properties.",
                             "kafka-server-start.sh server.properties --override log.dirs=data"},
                            program);
  app::add_start_arguments(root, Command::Count::kOne);
  return run_tree(root, script, launch.rest);
}

int server_start(const Words& words) {
  if (words.empty()) {
    fmt::print(
        "USAGE: kafka-server-start.sh [-daemon] server.properties "
        "[--override property=value]*\n");
    return kExitFailed;
  }
  return start_server("kafka-server-start.sh", take_launch_options(words));
}

int storage(const Words& words) {
  auto root = Command::root({"Formats log directories, and says what they are.", ""},
                            {.name = "kafka-storage.sh", .usage_status = kExitFailed});
  app::add_storage_commands(root);
  return run_tree(root, "kafka-storage.sh", words);
}

int run_class(const Words& words) {
  Launch launch = take_launch_options(words);
  if (launch.rest.empty()) {
    fmt::print(
        "USAGE: kafka-run-class.sh [-daemon] [-name servicename] [-loggc] classname "
        "[opts]\n");
    return kExitFailed;
  }
  const std::string name = launch.rest.front();
  launch.rest.erase(launch.rest.begin());
  if (name == "kafka.Kafka") return start_server("kafka-run-class.sh kafka.Kafka", launch);
  if (name == "kafka.tools.StorageTool") return storage(launch.rest);
  if (name.contains('.'))
    if (const auto status = run_tool(name, launch.rest)) return *status;
  fmt::print(stderr,
             "Could not find or load main class {}\n"
             "  Millrace has kafka.Kafka, kafka.tools.StorageTool and the classes of the scripts "
             "that `millrace kafka` lists.\n",
             name);
  return kExitFailed;
}

}  // namespace

std::optional<int> run_script(std::string_view name, const Words& words) {
  std::string_view plain = name;
  if (!plain.starts_with("kafka-")) return std::nullopt;
  if (plain.ends_with(".sh")) plain.remove_suffix(3);
  if (plain == "kafka-server-start") return server_start(words);
  if (plain == "kafka-storage") return storage(words);
  if (plain == "kafka-run-class") return run_class(words);
  if (const auto status = run_tool(name, words)) return status;
  fmt::print(stderr, "{}: Millrace has no such script; `millrace kafka` lists those that it has\n",
             name);
  return kExitFailed;
}

int run_kafka_command(const Words& words) {
  const std::string name = words.empty() ? "" : words.front();
  if (const auto status = run_tool(name, {words.begin() + !words.empty(), words.end()}))
    return *status;
  if (name == "storage") return storage({words.begin() + 1, words.end()});
  const bool asks = name.empty() || name == "-h" || name == "--help";
  if (!asks) fmt::print(stderr, "millrace: there is no script '{}'\n", name);
  fmt::print(asks ? stdout : stderr,
             "Apache Kafka's scripts, with their words, output and exit statuses:\n"
             "  millrace kafka SCRIPT ..., or a link to millrace called kafka-SCRIPT.sh\n"
             "  storage\n");
  for (const auto each : tool_names()) fmt::print(asks ? stdout : stderr, "  {}\n", each);
  return asks ? kExitOk : kExitUsage;
}

}  // namespace millrace::program
