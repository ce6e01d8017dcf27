// kafka-configs: its words, and whose configs they are about. What is asked of the cluster is in
// app/kafka/config_resources.cc and app/kafka/config_quotas.cc.
#include "app/kafka/configs.h"

#include <fmt/format.h>
#include <netdb.h>

#include "app/kafka/script.h"
#include "app/kafka/scripts.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

constexpr Option kOptions[] = {
    text("bootstrap-server", "Brokers to begin with: HOST:PORT, several between commas."),
    text("bootstrap-controller", "Controllers to begin with: HOST:PORT, several between commas."),
    text("command-config", "Properties file of the client."),
    flag("alter", "Changes configs."),
    flag("describe", "Shows configs."),
    flag("all", "Shows all configs, also those that nobody changed."),
    texts("entity-type",
          "topics, clients, users, brokers, broker-loggers, ips, client-metrics or groups."),
    texts("entity-name", "Name of the topic, client, user, broker, ip, client metrics or group."),
    flag("entity-default", "The defaults of all clients, users, brokers or ips."),
    text("add-config", "NAME=VALUE, several between commas; a value with commas in [brackets]."),
    text("add-config-file", "Properties file with configs to set."),
    {.name = "delete-config",
     .takes = Option::Takes::kText,
     .help = "Names of configs to delete, between commas.",
     .repeatable = true,
     .separator = ','},
    text("topic", "The topic."),
    text("client", "The client's id."),
    flag("client-defaults", "The defaults of all clients."),
    text("user", "The user."),
    flag("user-defaults", "The defaults of all users."),
    text("broker", "The broker's id."),
    flag("broker-defaults", "The defaults of all brokers."),
    text("broker-logger", "The id of the broker whose loggers these are."),
    flag("ip-defaults", "The defaults of all IP addresses."),
    text("ip", "The IP address."),
    text("group", "The group."),
    text("client-metrics", "The subscription to client metrics."),
};

struct Flag {
  std::string_view option;
  std::string_view type;
};
constexpr Flag kNamed[] = {{"topic", "topics"},
                           {"client", "clients"},
                           {"user", "users"},
                           {"broker", "brokers"},
                           {"broker-logger", "broker-loggers"},
                           {"ip", "ips"},
                           {"client-metrics", "client-metrics"},
                           {"group", "groups"}};
constexpr Flag kDefaults[] = {{"client-defaults", "clients"},
                              {"user-defaults", "users"},
                              {"broker-defaults", "brokers"},
                              {"ip-defaults", "ips"}};
constexpr std::string_view kTypes[] = {"topics", "clients",        "users",  "brokers",
                                       "ips",    "client-metrics", "groups", "broker-loggers"};

ConfigEntities entities_of(const Options& options) {
  ConfigEntities entities{.types = options.values("entity-type"), .names = {}};
  for (const auto& each : options.given())
    if (each.option->name == "entity-name" || each.option->name == "entity-default")
      entities.names.push_back(each.value.value_or(""));
  for (const auto& [option, type] : kNamed) {
    if (!options.has(option)) continue;
    entities.types.emplace_back(type);
    entities.names.push_back(options.value(option).value_or(""));
  }
  for (const auto& [option, type] : kDefaults) {
    if (!options.has(option)) continue;
    entities.types.emplace_back(type);
    entities.names.emplace_back();
  }
  return entities;
}

bool has_type(const ConfigEntities& entities, std::initializer_list<std::string_view> types) {
  return std::ranges::any_of(types, [&](auto type) { return is_in(entities.types, type); });
}

Attempt<> check_types(const Options& options, const ConfigEntities& entities) {
  const auto& types = entities.types;
  std::vector<std::string> seen, twice;
  for (const auto& type : types) (is_in(seen, type) ? twice : seen).push_back(type);
  if (!twice.empty())
    return illegal_argument(
        fmt::format("Duplicate entity type(s) specified: {}", fmt::join(twice, ",")));
  if (!options.has("bootstrap-server") && !options.has("bootstrap-controller"))
    return illegal_argument(
        "Either --bootstrap-server or --bootstrap-controller must be specified.");
  for (const auto& type : types)
    if (!is_in(kTypes, type))
      return illegal_argument(
          fmt::format("Invalid entity type {}, the entity type must be one of {} with a "
                      "--bootstrap-server or --bootstrap-controller argument",
                      type, fmt::join(kTypes, ", ")));
  if (types.empty()) return illegal_argument("At least one entity type must be specified");
  const bool users_and_clients =
      std::ranges::all_of(types, [](const auto& t) { return t == "users" || t == "clients"; });
  if (types.size() > 1 && !users_and_clients)
    return illegal_argument("Only 'users' and 'clients' entity types may be specified together");
  const auto given = [&](const Flag& flag) { return options.has(flag.option); };
  const bool plain =
      options.has("entity-name") || options.has("entity-type") || options.has("entity-default");
  if (plain && (std::ranges::any_of(kNamed, given) || std::ranges::any_of(kDefaults, given)))
    return illegal_argument(
        "--entity-{type,name,default} should not be used in conjunction with specific entity "
        "flags");
  if (options.has("bootstrap-server") && options.has("bootstrap-controller"))
    return illegal_argument(
        "Only one of --bootstrap-server or --bootstrap-controller can be specified");
  return {};
}

bool is_host(const std::string& name) {
  addrinfo* found = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, nullptr, &found) != 0) return false;
  ::freeaddrinfo(found);
  return true;
}

Attempt<> check_names(const ConfigEntities& entities) {
  for (const auto& name : entities.names) {
    if (name.empty()) continue;
    if (has_type(entities, {"brokers", "broker-loggers"}) && !parse_int(name))
      return illegal_argument(
          fmt::format("The entity name for {} must be a valid integer broker id, but it is: {}",
                      entities.types.front(), name));
    if (has_type(entities, {"ips"}) && !is_host(name))
      return illegal_argument(
          fmt::format("The entity name for {} must be a valid IP or resolvable host, but it is: {}",
                      entities.types.front(), name));
  }
  return {};
}

Attempt<> check_describe(const Options& options, const ConfigEntities& entities, bool has_name) {
  const std::string types = fmt::format("{}", fmt::join(entities.types, ","));
  if (!has_type(entities, {"users", "clients", "brokers", "ips"}) && options.has("entity-default"))
    return illegal_argument(
        fmt::format("--entity-default must not be specified with --describe of {}", types));
  if (has_type(entities, {"broker-loggers"}) && !has_name)
    return illegal_argument(
        fmt::format("An entity name must be specified with --describe of {}", types));
  return {};
}

Attempt<> check_alter(const Options& options, const ConfigEntities& entities, bool has_name) {
  const bool has_default = is_in(entities.names, "");
  if (has_type(entities, {"users", "clients", "brokers", "ips"})) {
    if (!has_name && !has_default)
      return illegal_argument(
          "An entity-name or default entity must be specified with --alter of users, clients, "
          "brokers or ips");
  } else if (!has_name) {
    return illegal_argument(fmt::format("An entity name must be specified with --alter of {}",
                                        fmt::join(entities.types, ",")));
  }
  const bool add = options.has("add-config"), file = options.has("add-config-file");
  if (add && file)
    return illegal_argument("Only one of --add-config or --add-config-file must be specified");
  if (!add && !file && !options.has("delete-config"))
    return illegal_argument(
        "At least one of --add-config, --add-config-file, or --delete-config must be specified "
        "with --alter");
  return {};
}

Attempt<> check(const Options& options, const ConfigEntities& entities) {
  if (options.has("alter") == options.has("describe"))
    return usage("Command must include exactly one action: --describe, --alter");
  RETURN_IF_ERROR(options.refuse_with("describe", {"add-config", "delete-config"}));
  RETURN_IF_ERROR(options.check_values());
  RETURN_IF_ERROR(check_types(options, entities));
  RETURN_IF_ERROR(check_names(entities));
  const bool has_name =
      std::ranges::any_of(entities.names, [](const auto& name) { return !name.empty(); });
  if (options.has("describe")) return check_describe(options, entities, has_name);
  return check_alter(options, entities, has_name);
}

// Takes "a=1,b=[2,3]" apart at the commas, or the equals signs, that are not in brackets.
std::vector<std::string> split_outside_brackets(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    if (c == '[') ++depth;
    if (c == ']') --depth;
    if (c == separator && depth == 0)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

Attempt<Properties> configs_to_add(const Options& options) {
  Properties configs;
  if (const auto path = options.value("add-config-file")) {
    ASSIGN_OR_RETURN(configs, load_properties(*path));
  }
  if (const auto text = options.value("add-config"))
    for (const auto& pair : split_outside_brackets(*text, ',')) {
      const auto halves = split_outside_brackets(pair, '=');
      if (halves.size() != 2)
        return illegal_argument(
            "requirement failed: Invalid entity config: all configs to be added must be in the "
            "format \"key=val\" or  \"key=[val1,val2]\" to group values which contain commas.");
      std::string value = halves[1];
      std::erase_if(value, [](char c) { return c == '[' || c == ']'; });
      configs.insert_or_assign(trimmed(halves[0]), trimmed(value));
    }
  for (const auto& [name, value] : configs)
    if (!std::ranges::all_of(name, [](unsigned char c) {
          return std::isalnum(c) != 0 || std::string_view("$._-").contains(static_cast<char>(c));
        }))
      return illegal_argument(fmt::format("Invalid character found for config key: {}", name));
  return configs;
}

Attempt<> alter(Admin& admin, const Options& options, const ConfigEntities& entities) {
  ConfigChanges changes;
  ASSIGN_OR_RETURN(changes.add, configs_to_add(options));
  for (const auto& name : options.values("delete-config")) changes.remove.push_back(trimmed(name));
  if (has_type(entities, {"users", "clients", "ips"})) {
    RETURN_IF_ERROR(alter_quotas(admin, entities, changes));
  } else {
    RETURN_IF_ERROR(alter_resource_configs(admin, entities, changes));
  }
  const auto& type = entities.types.front();
  const auto& name = entities.names.front();
  if (name.empty())
    fmt::print("Completed updating default config for {} in the cluster.\n", type);
  else
    fmt::print("Completed updating config for {} {}.\n", singular(type), name);
  return {};
}

Attempt<> act(const Options& options, const ConfigEntities& entities) {
  RETURN_IF_ERROR(check(options, entities));
  Properties properties;
  if (const auto path = options.value("command-config")) {
    ASSIGN_OR_RETURN(properties, load_properties(*path));
  }
  if (const auto brokers = options.value("bootstrap-server"))
    properties.insert_or_assign("bootstrap.servers", *brokers);
  if (const auto controllers = options.value("bootstrap-controller"))
    properties.insert_or_assign("bootstrap.controllers", *controllers);
  ASSIGN_OR_RETURN(const auto admin, Admin::open(properties));
  if (options.has("alter")) {
    if (entities.types.size() != entities.names.size())
      return illegal_argument("An entity name must be specified for every entity type");
    return alter(*admin, options, entities);
  }
  if (has_type(entities, {"users", "clients", "ips"})) return describe_quotas(*admin, entities);
  return describe_resource_configs(*admin, entities, options.has("all"));
}

bool tells_itself(const Ending& ending) {
  return ending.is("IllegalArgumentException") || ending.is("InvalidConfigurationException") ||
         ending.is("InvalidTopicException") || ending.is("UnsupportedVersionException") ||
         ending.type.starts_with("joptsimple.");
}

Attempt<> run_configs(const Options& options) {
  const auto done = act(options, entities_of(options));
  if (done || done.error().kind != Ending::Kind::kException) return done;
  std::fflush(stdout);
  if (tells_itself(done.error()))
    fmt::print(stderr, "{}\n", done.error().message);
  else
    fmt::print(stderr, "Error while executing config command with args '{}'\n{}\n",
               fmt::join(options.words(), " "), done.error().to_string());
  return ended(1);
}

int tell_message(const Ending& ending) {
  fmt::print(stderr, "{}\n", ending.message);
  return 1;
}

}  // namespace

int configs(const Words& words) {
  return run({.about = "This tool helps to manipulate and describe entity config for a topic, "
                       "client, user, broker, ip, client-metrics or group",
              .options = kOptions,
              .run = run_configs,
              .refused = tell_message},
             words);
}

}  // namespace millrace::app::kafka
