// The `millrace` command.
#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "app/cluster.h"
#include "app/command.h"
#include "app/completion.h"
#include "app/config.h"
#include "app/consume.h"
#include "app/doctor.h"
#include "app/format.h"
#include "app/group.h"
#include "app/log_dump.h"
#include "app/produce.h"
#include "app/start.h"
#include "app/topic.h"
#include "program/scripts.h"

namespace millrace::program {
namespace {

using app::Command;
using app::kExitOk;

void add_version(Command& root) {
  auto command = root.add("version", {"Prints the version.", ""});
  command.runs([] {
    fmt::print("millrace {} (Apache Kafka 4.3)\n", MILLRACE_VERSION);
    return kExitOk;
  });
}

int run(std::string_view name, const std::vector<std::string>& words) {
  if (const auto status = run_script(name, words)) return *status;
  if (!words.empty() && words.front() == "kafka")
    return run_kafka_command({words.begin() + 1, words.end()});
  auto root = Command::root(
      {"Millrace: Apache Kafka, in one binary. Called as kafka-storage.sh, kafka-server-start.sh "
       "or kafka-run-class.sh it takes their arguments.",
       "millrace start\necho hello | millrace produce first\nmillrace consume first --until-end"});
  app::add_start_command(root);
  app::add_format_command(root);
  app::add_topic_commands(root);
  app::add_produce_command(root);
  app::add_consume_command(root);
  app::add_group_commands(root);
  app::add_config_commands(root);
  app::add_cluster_commands(root);
  app::add_doctor_command(root);
  app::add_log_commands(root);
  app::add_completion_command(root);
  add_version(root);
  root.add("kafka", {"Apache Kafka's scripts: millrace kafka topics --list ...", ""});
  std::vector<const char*> arguments{"millrace"};
  for (const auto& word : words) arguments.push_back(word.c_str());
  return root.run(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace
}  // namespace millrace::program

int main(int argc, char** argv) {
  std::string_view name = argv[0];
  name.remove_prefix(name.find_last_of('/') + 1);
  return millrace::program::run(name, {argv + 1, argv + argc});
}
