#include "app/config.h"

#include <algorithm>
#include <charconv>

#include "app/connect.h"
#include "app/tally.h"
#include "app/topic.h"

namespace millrace::app {
namespace {

using client::core::Destination;

// The numbers of the protocol.
constexpr int8_t kTopic = 2;
constexpr int8_t kBroker = 4;
constexpr int8_t kGroup = 32;
constexpr std::string_view kSources[] = {
    "unknown", "topic",         "broker",         "all brokers", "server.properties",
    "default", "broker logger", "client metrics", "group"};
constexpr int8_t kDefaultSource = 5;
enum class Operation : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

struct Resource {
  int8_t type = kTopic;
  std::string name;
};

struct ConfigOptions {
  Target target;
  std::string type;
  std::string name;
  bool all = false;
  std::vector<std::string> keys;
  std::vector<std::string> set, remove, append, subtract;
  bool dry_run = false;
};

std::string_view source_name(int8_t source) {
  const auto index = static_cast<size_t>(source);
  return source >= 0 && index < std::size(kSources) ? kSources[index] : "unknown";
}

// "default" as a broker stands for the configs of all brokers, whose name is empty.
Resource resource_of(const ConfigOptions& options) {
  if (options.type == "topic") return {kTopic, options.name};
  if (options.type == "group") return {kGroup, options.name};
  return {kBroker, options.name == "default" ? "" : options.name};
}

std::string described(const ConfigOptions& options) {
  return fmt::format("{} '{}'", options.type, options.name);
}

// A broker's own configs are asked of that broker, all others of any.
Outcome<Destination> destination_of(const Resource& resource, Session& session) {
  if (resource.type != kBroker || resource.name.empty()) return Destination::any();
  int32_t id = 0;
  const char* end = resource.name.data() + resource.name.size();
  const auto [at, failed] = std::from_chars(resource.name.data(), end, id);
  if (failed != std::errc{} || at != end)
    return std::unexpected(Failure(fmt::format("'{}' is no broker id", resource.name),
                                   "see the brokers with: millrace cluster describe; 'default' "
                                   "stands for all of them"));
  auto known = session.look_up({});
  if (!known) return std::unexpected(Failure(known.error()));
  if (!known->brokers().contains(NodeId(id)))
    return std::unexpected(Failure(fmt::format("there is no broker {}", id),
                                   "see the brokers with: millrace cluster describe"));
  return Destination::to(NodeId(id));
}

json::object row_of(const wire::describe_configs_response::DescribeConfigsResourceResult& config) {
  json::object row{{"name", config.name},
                   {"value", nullptr},
                   {"source", source_name(config.config_source)},
                   {"read_only", config.read_only},
                   {"sensitive", config.is_sensitive}};
  if (config.value) row["value"] = *config.value;
  json::array synonyms;
  for (const auto& each : config.synonyms)
    synonyms.push_back(json::object{{"name", each.name},
                                    {"value", each.value.value_or("")},
                                    {"source", source_name(each.source)}});
  row["synonyms"] = std::move(synonyms);
  return row;
}

Outcome<> describe(const ConfigOptions& options, Session& session) {
  const Resource resource = resource_of(options);
  auto to = destination_of(resource, session);
  if (!to) return std::unexpected(to.error());
  wire::DescribeConfigsRequest request{.include_synonyms = true};
  auto& asked = request.resources.emplace_back();
  asked.resource_type = resource.type;
  asked.resource_name = resource.name;
  if (options.keys.empty())
    asked.configuration_keys.reset();
  else
    asked.configuration_keys = options.keys;
  auto response = session.call(*to, std::move(request));
  if (!response) return std::unexpected(Failure(response.error()));
  json::array rows;
  for (const auto& result : response->results) {
    if (result.error_code != 0)
      return std::unexpected(
          refusal({"describe the configs of " + described(options), options.name, options.name},
                  result.error_code, result.error_message));
    for (const auto& config : result.configs)
      if (options.all || !options.keys.empty() || config.config_source != kDefaultSource)
        rows.push_back(row_of(config));
  }
  std::ranges::sort(rows, {}, [](const json::value& row) {
    return std::string_view(row.at("name").as_string());
  });
  constexpr std::string_view kColumns[] = {"name", "value", "source"};
  print_rows(options.target.format(), rows, kColumns);
  return {};
}

Outcome<wire::incremental_alter_configs_request::AlterConfigsResource> changes_of(
    const ConfigOptions& options) {
  const Resource resource = resource_of(options);
  wire::incremental_alter_configs_request::AlterConfigsResource changes{
      .resource_type = resource.type, .resource_name = resource.name, .configs = {}};
  auto add = [&](const std::vector<std::string>& settings, Operation operation) -> Outcome<> {
    for (const auto& text : settings) {
      auto setting = parse_setting(text);
      if (!setting)
        return std::unexpected(Failure(fmt::format("'{}' is no config", text),
                                       "--set, --append and --subtract take NAME=VALUE"));
      changes.configs.push_back({.name = setting->name,
                                 .config_operation = static_cast<int8_t>(operation),
                                 .value = setting->value});
    }
    return {};
  };
  if (auto added = add(options.set, Operation::kSet); !added) return std::unexpected(added.error());
  if (auto added = add(options.append, Operation::kAppend); !added)
    return std::unexpected(added.error());
  if (auto added = add(options.subtract, Operation::kSubtract); !added)
    return std::unexpected(added.error());
  for (const auto& name : options.remove)
    changes.configs.push_back({.name = name,
                               .config_operation = static_cast<int8_t>(Operation::kDelete),
                               .value = std::nullopt});
  return changes;
}

Outcome<> alter(const ConfigOptions& options, Session& session) {
  auto changes = changes_of(options);
  if (!changes) return std::unexpected(changes.error());
  auto to = destination_of(resource_of(options), session);
  if (!to) return std::unexpected(to.error());
  wire::IncrementalAlterConfigsRequest request{.validate_only = options.dry_run};
  request.resources.push_back(std::move(*changes));
  auto response = session.call(*to, std::move(request));
  if (!response) return std::unexpected(Failure(response.error()));
  Tally tally(options.target.format());
  for (const auto& each : response->responses)
    if (each.error_code == 0)
      tally.done(options.name, options.dry_run ? "could be altered" : "altered");
    else
      tally.failed(options.name, refusal({"alter the configs of " + described(options),
                                          options.name, options.name},
                                         each.error_code, each.error_message));
  return tally.finish();
}

void add_resource(Command& command, ConfigOptions& options) {
  command.argument("TYPE", options.type, "topic, broker or group");
  command.argument("NAME", options.name,
                   "The topic, the id of the broker ('default': of all brokers), or the group");
}

bool known_type(const std::string& type) {
  return type == "topic" || type == "broker" || type == "group";
}

void add_describe(Command& config) {
  auto command = config.add("describe", {"Shows the configs that are not left at their defaults.",
                                         "millrace config describe topic orders\n"
                                         "millrace config describe broker 1 --all -o json"});
  auto options = std::make_shared<ConfigOptions>();
  add_resource(command, *options);
  command.option("-k,--key", options->keys, "Only this config; repeatable");
  command.flag("-a,--all", options->all, "Defaults, too");
  add_target(command, options->target);
  command.runs([options] {
    if (!known_type(options->type))
      return usage_error(fmt::format("'{}' is not topic, broker or group", options->type),
                         "config describe");
    return with_session(options->target, [&](Session& s) { return describe(*options, s); });
  });
}

void add_alter(Command& config) {
  auto command = config.add(
      "alter", {"Changes configs: sets, deletes (back to the default), appends to lists and "
                "subtracts from them.",
                "millrace config alter topic orders --set retention.ms=3600000 --delete "
                "segment.bytes\n"
                "millrace config alter topic orders --append cleanup.policy=compact --dry-run"});
  auto options = std::make_shared<ConfigOptions>();
  add_resource(command, *options);
  command.option("-s,--set", options->set, "NAME=VALUE; repeatable");
  command.option("-d,--delete", options->remove, "NAME; repeatable");
  command.option("--append", options->append, "NAME=VALUE, to a list; repeatable");
  command.option("--subtract", options->subtract, "NAME=VALUE, from a list; repeatable");
  command.flag("--dry-run", options->dry_run, "Only asks whether it could be done");
  add_target(command, options->target);
  command.runs([options] {
    if (!known_type(options->type))
      return usage_error(fmt::format("'{}' is not topic, broker or group", options->type),
                         "config alter");
    if (options->set.empty() && options->remove.empty() && options->append.empty() &&
        options->subtract.empty())
      return usage_error("--set, --delete, --append or --subtract is needed", "config alter");
    return with_session(options->target, [&](Session& s) { return alter(*options, s); });
  });
}

}  // namespace

void add_config_commands(Command& root) {
  auto config =
      root.add("config", {"Shows and changes configs of topics, brokers and groups.", ""});
  add_describe(config);
  add_alter(config);
}

}  // namespace millrace::app
