// The `millrace` command.
#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <vector>

#include "app/cluster.h"
#include "app/command.h"
#include "app/config.h"
#include "app/consume.h"
#include "app/format.h"
#include "app/group.h"
#include "app/log_dump.h"
#include "app/produce.h"
#include "app/start.h"
#include "app/topic.h"

namespace millrace::app {
namespace {

using Words = std::vector<std::string>;

int run_start(const StartOptions& given, const Words& overrides) {
  StartOptions options = given;
  for (const auto& pair : overrides) {
    auto setting = parse_setting(pair);
    if (!setting) return usage_error("--override takes NAME=VALUE", "start");
    options.overrides[setting->name] = setting->value;
  }
  return start(options);
}

void add_start(Command& root) {
  auto command = root.add(
      "start", {"Starts a node.",
                "millrace start\nmillrace start server.properties --override log.dirs=data"});
  auto options = std::make_shared<StartOptions>();
  auto overrides = std::make_shared<Words>();
  command.argument("FILE", options->properties_file,
                   "A server.properties, as Apache Kafka takes it; without one a single node "
                   "listens on localhost:9092 and keeps its data in ./data",
                   Command::Count::kOptional);
  command.option("--override", *overrides, "NAME=VALUE, stronger than the file; repeatable");
  command.runs([options, overrides] { return run_start(*options, *overrides); });
}

void add_format(Command& root) {
  auto command = root.add(
      "format", {"Gives log directories their meta.properties, as kafka-storage.sh format does. A "
                 "start does it by itself, with a new cluster id, when there is none.",
                 "millrace format -t MkU3OEVBNTcwNTJENDM2Qk -c server.properties"});
  auto options = std::make_shared<FormatOptions>();
  auto standalone = std::make_shared<bool>(false);
  command.option("-t,--cluster-id", options->cluster_id, "The id of the cluster: 22 characters");
  command.option("-c,--config", options->properties_file, "The server.properties");
  command.flag("-g,--ignore-formatted", options->ignore_formatted,
               "Leaves directories alone that are formatted already");
  command.flag("-s,--standalone", *standalone, "A quorum of this node alone, which it always is");
  command.runs([options, standalone] {
    if (options->cluster_id.empty() || options->properties_file.empty())
      return usage_error("format takes -t CLUSTER_ID and -c FILE", "format");
    return format(*options);
  });
}

void add_version(Command& root) {
  auto command = root.add("version", {"Prints the version.", ""});
  command.runs([] {
    fmt::print("millrace {} (Apache Kafka 4.3)\n", MILLRACE_VERSION);
    return kExitOk;
  });
}

// Called by the name of a script of Apache Kafka's: that script's arguments become ours.
std::optional<Words> words_of_script(std::string_view name, const Words& words) {
  const Words rest(words.begin() + (words.empty() ? 0 : 1), words.end());
  auto ours = [](std::string_view command, const Words& arguments) {
    Words all{std::string(command)};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  };
  if (!name.starts_with("kafka-")) return words;
  if (name == "kafka-server-start.sh") return ours("start", words);
  if (name == "kafka-run-class.sh" && !words.empty() && words[0] == "kafka.Kafka")
    return ours("start", rest);
  if (name == "kafka-storage.sh" && !words.empty() && words[0] == "format")
    return ours("format", rest);
  return std::nullopt;
}

int run(std::string_view name, const Words& given) {
  auto words = words_of_script(name, given);
  if (!words) return usage_error(fmt::format("{} is not served with these arguments", name), "");
  auto root = Command::root(
      {"Millrace: Apache Kafka, in one binary. Called as kafka-storage.sh, kafka-server-start.sh "
       "or "
       "kafka-run-class.sh it takes their arguments.",
       "millrace start\necho hello | millrace produce first\nmillrace consume first --until-end"});
  add_start(root);
  add_format(root);
  add_topic_commands(root);
  add_produce_command(root);
  add_consume_command(root);
  add_group_commands(root);
  add_config_commands(root);
  add_cluster_commands(root);
  add_log_commands(root);
  add_version(root);
  std::vector<const char*> arguments{"millrace"};
  for (const auto& word : *words) arguments.push_back(word.c_str());
  return root.run(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace
}  // namespace millrace::app

int main(int argc, char** argv) {
  std::string_view name = argv[0];
  name.remove_prefix(name.find_last_of('/') + 1);
  return millrace::app::run(name, {argv + 1, argv + argc});
}
