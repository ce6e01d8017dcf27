// kafka-configs of topics, brokers, broker loggers, client metrics and groups.
#include <fmt/format.h>

#include "app/kafka/configs.h"
#include "app/kafka/groups_admin.h"
#include "app/kafka/java_order.h"
#include "app/kafka/resource_configs.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

using Type = ConfigResourceType;

struct Kind {
  std::string_view type;
  Type resource;
  int8_t dynamic_source;  // of what was changed; 0: all are shown
};
constexpr Kind kKinds[] = {{"topics", Type::kTopic, 1},
                           {"brokers", Type::kBroker, 2},
                           {"broker-loggers", Type::kBrokerLogger, 0},
                           {"client-metrics", Type::kClientMetrics, 7},
                           {"groups", Type::kGroup, 8}};
constexpr int8_t kOfAllBrokers = 3;

constexpr std::string_view kSources[] = {"UNKNOWN",
                                         "DYNAMIC_TOPIC_CONFIG",
                                         "DYNAMIC_BROKER_CONFIG",
                                         "DYNAMIC_DEFAULT_BROKER_CONFIG",
                                         "STATIC_BROKER_CONFIG",
                                         "DEFAULT_CONFIG",
                                         "DYNAMIC_BROKER_LOGGER_CONFIG",
                                         "DYNAMIC_CLIENT_METRICS_CONFIG",
                                         "DYNAMIC_GROUP_CONFIG"};

const Kind& kind_of(const std::string& type) {
  return *std::ranges::find(kKinds, type, &Kind::type);
}

std::string_view source_name(int8_t source) {
  const auto index = static_cast<size_t>(source);
  return source >= 0 && index < std::size(kSources) ? kSources[index] : kSources[0];
}

bool is_of_broker(const Kind& kind) { return kind.type.starts_with("broker"); }

Attempt<> check_topic_name(const std::string& name) {
  const bool valid = std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("._-").contains(static_cast<char>(c));
  });
  std::string why;
  if (name == "." || name == "..")
    why = fmt::format("'{}' is not allowed", name);
  else if (name.size() > 249)
    why = fmt::format("the length of '{}' is longer than the max allowed length 249", name);
  else if (!valid)
    why = fmt::format(
        "'{}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        name);
  if (why.empty()) return {};
  return thrown("org.apache.kafka.common.errors.InvalidTopicException",
                "Topic name is invalid: " + why);
}

// All that there are of a kind.
Attempt<std::vector<std::string>> names_of(Admin& admin, const Kind& kind) {
  std::vector<std::string> names;
  if (kind.type == "topics") {
    auto topics = admin.list_topics();
    if (!topics) return std::unexpected(executed(topics.error()));
    for (const auto& [name, listing] : *topics) names.push_back(name);
    sort_as_hash_map(names, [](const auto& name) { return std::string_view(name); });
  } else if (is_of_broker(kind)) {
    auto brokers = admin.brokers();
    if (!brokers) return std::unexpected(executed(brokers.error()));
    for (const auto& [node, address] : *brokers) names.push_back(std::to_string(node.value()));
    names.emplace_back();
  } else {
    ASSIGN_OR_RETURN(names, as_executed(config_resource_names(admin, kind.resource)));
    if (kind.resource != Type::kGroup) return names;
    auto groups = list_groups(admin, {});
    if (!groups) return std::unexpected(executed(groups.error()));
    for (const auto& group : *groups)
      if (!is_in(names, group.id)) names.push_back(group.id);
  }
  return names;
}

Attempt<bool> is_there(Admin& admin, const Kind& kind, const std::string& name) {
  if (kind.type == "topics") RETURN_IF_ERROR(check_topic_name(name));
  ASSIGN_OR_RETURN(const auto names, names_of(admin, kind));
  return is_in(names, name);
}

Attempt<std::vector<ConfigEntry>> entries_of(Admin& admin, const Kind& kind,
                                             const std::string& name) {
  ASSIGN_OR_RETURN(auto entries, as_executed(config_entries(admin, {kind.resource, name})));
  std::ranges::sort(entries, {}, &ConfigEntry::name);
  return entries;
}

void print_entry(const ConfigEntry& entry) {
  std::string synonyms;
  for (const auto& each : entry.synonyms)
    synonyms += fmt::format("{}{}:{}={}", synonyms.empty() ? "" : ", ", source_name(each.source),
                            each.name, each.value.value_or("null"));
  fmt::print("  {}={} sensitive={} synonyms={{{}}}\n", entry.name, entry.value.value_or("null"),
             entry.is_sensitive, synonyms);
}

Attempt<> describe_one(Admin& admin, const Kind& kind, const std::string& name, bool all) {
  if (name.empty())
    fmt::print("Default configs for {} in the cluster are:\n", kind.type);
  else
    fmt::print("{} configs for {} {} are:\n", all ? "All" : "Dynamic",
               singular(std::string(kind.type)), name);
  ASSIGN_OR_RETURN(const auto entries, entries_of(admin, kind, name));
  const bool of_all_brokers = kind.type == "brokers" && name.empty();
  const int8_t source = of_all_brokers ? kOfAllBrokers : kind.dynamic_source;
  for (const auto& entry : entries)
    if (all || source == 0 || entry.config_source == source) print_entry(entry);
  return {};
}

Attempt<> check_loggers(Admin& admin, const Kind& kind, const std::string& broker,
                        const ConfigChanges& changes) {
  ASSIGN_OR_RETURN(const auto entries, entries_of(admin, kind, broker));
  std::vector<std::string> unknown;
  const auto look = [&](const std::string& name) {
    if (!is_in(entries, name, &ConfigEntry::name)) unknown.push_back(name);
  };
  for (const auto& name : changes.remove) look(name);
  for (const auto& [name, value] : changes.add) look(name);
  if (unknown.empty()) return {};
  return thrown("org.apache.kafka.common.errors.InvalidConfigurationException",
                fmt::format("Invalid broker logger(s): {}", fmt::join(unknown, ",")));
}

}  // namespace

Attempt<> describe_resource_configs(Admin& admin, const ConfigEntities& entities, bool all) {
  const Kind& kind = kind_of(entities.types.front());
  std::vector<std::string> names;
  if (entities.names.empty()) {
    ASSIGN_OR_RETURN(names, names_of(admin, kind));
  } else {
    names = {entities.names.front()};
    if (!all) {
      ASSIGN_OR_RETURN(const bool there, is_there(admin, kind, names.front()));
      if (!there) {
        fmt::print("The {} '{}' doesn't exist and doesn't have dynamic config.\n",
                   singular(std::string(kind.type)), names.front());
        return {};
      }
    }
  }
  for (const auto& name : names) RETURN_IF_ERROR(describe_one(admin, kind, name, all));
  return {};
}

Attempt<> alter_resource_configs(Admin& admin, const ConfigEntities& entities,
                                 const ConfigChanges& changes) {
  const Kind& kind = kind_of(entities.types.front());
  const std::string& name = entities.names.front();
  if (kind.type == "broker-loggers") RETURN_IF_ERROR(check_loggers(admin, kind, name, changes));
  ConfigAlteration alteration{.resource = {kind.resource, name}};
  for (const auto& each : changes.remove) alteration.configs.emplace_back(each, std::nullopt);
  for (const auto& [config, value] : changes.add) alteration.configs.emplace_back(config, value);
  return as_executed(alter_configs(admin, {std::move(alteration)}));
}

}  // namespace millrace::app::kafka
