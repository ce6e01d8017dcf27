// kafka-client-metrics: which metrics clients shall push, and how often (KIP-714).
#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/java_order.h"
#include "app/kafka/resource_configs.h"
#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"
#include "app/random_id.h"

namespace millrace::app::kafka {
namespace {

constexpr auto kType = ConfigResourceType::kClientMetrics;
constexpr std::string_view kAbout =
    "This tool helps to manipulate and describe client metrics configurations.";

constexpr Option list_of(std::string_view name, std::string_view help) {
  Option option = texts(name, help);
  option.separator = ',';
  return option;
}

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas. Needed."),
    text("command-config", "Properties file of the client."),
    flag("alter", "Changes what is configured under a name."),
    flag("delete", "Deletes what is configured under a name."),
    flag("describe", "Shows what is configured."),
    flag("list", "Lists the names."),
    text("name", "The name."),
    flag("generate-name", "Makes a name up: an id."),
    text("interval", "Milliseconds between two pushes; empty: the default."),
    list_of("match",
            "Of which clients: NAME=REGEX,...; client_id, client_instance_id, "
            "client_software_name, client_software_version, client_source_address, "
            "client_source_port. Empty: of all."),
    list_of("metrics", "What the names of the metrics begin with, between commas; empty: none."),
};

Attempt<> check(const Options& options) {
  constexpr std::string_view kActions[] = {"alter", "delete", "describe", "list"};
  if (std::ranges::count_if(kActions, [&](auto each) { return options.has(each); }) != 1)
    return usage(
        "Command must include exactly one action: --alter, --delete, --describe or --list.");
  if (!options.has("bootstrap-server"))
    return illegal_argument("--bootstrap-server must be specified.");
  for (const auto action : {"delete", "describe"})
    RETURN_IF_ERROR(options.refuse_with(action, {"generate-name", "interval", "match", "metrics"}));
  RETURN_IF_ERROR(
      options.refuse_with("list", {"name", "generate-name", "interval", "match", "metrics"}));
  RETURN_IF_ERROR(options.check_values());
  if (options.has("alter")) {
    if (options.has("name") == options.has("generate-name"))
      return illegal_argument("One of --name or --generate-name must be specified with --alter.");
    const std::string interval = options.value("interval").value_or("");
    if (!interval.empty() && !parse_int(interval))
      return illegal_argument("Invalid interval value. Enter an integer, or leave empty to reset.");
  }
  if (options.has("delete") && !options.has("name"))
    return illegal_argument("A client metrics resource name must be specified with --delete.");
  return {};
}

Attempt<> alter(Admin& admin, const Options& options) {
  const std::string name =
      options.has("generate-name") ? random_id().to_string() : *options.value("name");
  ConfigAlteration alteration{.resource = {kType, name}};
  const auto set = [&](const char* config, std::string value) {
    alteration.configs.emplace_back(config,
                                    value.empty() ? std::nullopt : std::optional(std::move(value)));
  };
  if (const auto interval = options.value("interval")) set("interval.ms", *interval);
  for (const char* config : {"metrics", "match"})
    if (options.has(config)) set(config, fmt::format("{}", fmt::join(options.values(config), ",")));
  RETURN_IF_ERROR(alter_configs(admin, {std::move(alteration)}));
  fmt::print("Altered client metrics config for {}.\n", name);
  return {};
}

Attempt<> remove(Admin& admin, const std::string& name) {
  ASSIGN_OR_RETURN(const auto entries, config_entries(admin, {kType, name}));
  ConfigAlteration alteration{.resource = {kType, name}};
  for (const auto& each : entries) alteration.configs.emplace_back(each.name, std::nullopt);
  RETURN_IF_ERROR(alter_configs(admin, {std::move(alteration)}));
  fmt::print("Deleted client metrics config for {}.\n", name);
  return {};
}

Attempt<> describe(Admin& admin, const std::optional<std::string>& name) {
  ASSIGN_OR_RETURN(auto names, config_resource_names(admin, kType));
  if (name && !is_in(names, *name)) {
    fmt::print("The client metric resource {} doesn't exist and doesn't have dynamic config.\n",
               *name);
    return {};
  }
  if (name) names = {*name};
  for (const auto& each : names) {
    fmt::print("Client metrics configs for {} are:\n", each);
    ASSIGN_OR_RETURN(auto entries, config_entries(admin, {kType, each}));
    sort_as_hash_map(entries, [](const auto& entry) { return std::string_view(entry.name); });
    for (const auto& entry : entries)
      fmt::print("  {}={}\n", entry.name, entry.value.value_or("null"));
  }
  return {};
}

Attempt<> list(Admin& admin) {
  ASSIGN_OR_RETURN(const auto names, config_resource_names(admin, kType));
  fmt::print("{}\n", fmt::join(names, "\n"));
  return {};
}

Attempt<> act(const Options& options, const Properties& properties) {
  ASSIGN_OR_RETURN(const auto admin, Admin::open(properties));
  if (options.has("alter")) return alter(*admin, options);
  if (options.has("describe")) return describe(*admin, options.value("name"));
  if (options.has("delete")) return remove(*admin, *options.value("name"));
  return list(*admin);
}

Attempt<> run_client_metrics(const Options& options) {
  RETURN_IF_ERROR(check(options));
  Properties properties;
  if (const auto path = options.value("command-config")) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  properties.insert_or_assign("bootstrap.servers", *options.value("bootstrap-server"));
  const auto done = act(options, properties);
  if (done) return {};
  fmt::print("Error while executing client metrics command : {}\n", done.error().message);
  std::fflush(stdout);
  log_line("ERROR", done.error().to_string() + "\n", "org.apache.kafka.tools.ClientMetricsCommand");
  return ended(1);
}

}  // namespace

int client_metrics(const Words& words) {
  return run({.about = kAbout,
              .options = kOptions,
              .run = run_client_metrics,
              .refused = refuse_with_help,
              .failed = tell_message_and_stack},
             words);
}

}  // namespace millrace::app::kafka
