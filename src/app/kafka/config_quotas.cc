// kafka-configs of users, clients and IP addresses: quotas (KIP-546). SCRAM credentials are shown
// as far as the cluster knows them, and refused where they would be changed.
#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cmath>

#include "app/kafka/configs.h"
#include "app/kafka/java_order.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

constexpr std::string_view kQuotas[] = {"producer_byte_rate", "consumer_byte_rate",
                                        "request_percentage", "controller_mutation_rate"};
constexpr std::string_view kIpQuota = "connection_creation_rate";

using Entry = wire::describe_client_quotas_response::EntryData;
using Value = wire::describe_client_quotas_response::ValueData;

struct EntityKind {
  std::string_view type;    // of the script
  std::string_view entity;  // of the protocol
  std::string_view shown;
};
constexpr EntityKind kEntityKinds[] = {{"users", "user", "user-principal"},
                                       {"clients", "client-id", "client-id"},
                                       {"ips", "ip", "ip"}};

std::string entity_of(const std::string& type) {
  return std::string(std::ranges::find(kEntityKinds, type, &EntityKind::type)->entity);
}

bool is_scram(std::string_view name) { return name == "SCRAM-SHA-256" || name == "SCRAM-SHA-512"; }

Attempt<std::vector<Entry>> quotas_of(Admin& admin, const ConfigEntities& entities) {
  constexpr int8_t kExact = 0, kDefault = 1, kAny = 2;
  if (entities.names.size() > entities.types.size())
    return illegal_argument("More entity names specified than entity types");
  wire::DescribeClientQuotasRequest request{.strict = true};
  for (size_t i = 0; i < entities.types.size(); ++i) {
    auto& component = request.components.emplace_back();
    component.entity_type = entity_of(entities.types[i]);
    component.match_type = kAny;
    component.match = std::nullopt;
    if (i >= entities.names.size()) continue;
    component.match_type = entities.names[i].empty() ? kDefault : kExact;
    if (!entities.names[i].empty()) component.match = entities.names[i];
  }
  auto response = admin.call("describeClientQuotas", std::move(request));
  if (!response) return std::unexpected(executed(response.error()));
  if (response->error_code != 0)
    return std::unexpected(executed(exception_of(response->error_code, response->error_message)));
  return std::move(response->entries).value_or(std::vector<Entry>{});
}

void print_entry(Entry& entry) {
  std::vector<std::string> names;
  for (const auto& kind : kEntityKinds)
    for (const auto& each : entry.entity)
      if (each.entity_type == kind.entity)
        names.push_back(each.entity_name ? fmt::format("{} '{}'", kind.shown, *each.entity_name)
                                         : fmt::format("the default {}", kind.shown));
  sort_as_hash_map(
      entry.values, [](const Value& each) { return std::string_view(each.key); },
      std::bit_ceil(std::max<uint32_t>(1, static_cast<uint32_t>(entry.values.size()))));
  std::vector<std::string> values;
  for (const auto& each : entry.values)
    values.push_back(fmt::format("{}={}", each.key, java_double(each.value)));
  fmt::print("Quota configs for {} are {}\n", fmt::join(names, ", "), fmt::join(values, ", "));
}

Attempt<> describe_credentials(Admin& admin, const ConfigEntities& entities) {
  constexpr std::string_view kMechanisms[] = {"UNKNOWN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
  wire::DescribeUserScramCredentialsRequest request;
  request.users.emplace();
  for (const auto& name : entities.names) request.users->push_back({.name = name});
  auto response = admin.call("describeUserScramCredentials", std::move(request));
  if (!response && response.error().is("UnsupportedVersionException"))
    return std::unexpected(
        executed({.type = response.error().type,
                  .message = "The node does not support DESCRIBE_USER_SCRAM_CREDENTIALS"}));
  if (!response) return std::unexpected(executed(response.error()));
  if (response->error_code != 0)
    return std::unexpected(executed(exception_of(response->error_code, response->error_message)));
  for (const auto& user : response->results) {
    if (user.error_code != 0) continue;  // no such user
    std::vector<std::string> infos;
    for (const auto& each : user.credential_infos)
      infos.push_back(fmt::format("{}=iterations={}",
                                  kMechanisms[static_cast<size_t>(each.mechanism) % 3],
                                  each.iterations));
    fmt::print("SCRAM credential configs for user-principal '{}' are {}\n", user.user,
               fmt::join(infos, ", "));
  }
  return {};
}

std::vector<std::string> without(const std::vector<std::string>& names,
                                 bool (*known)(std::string_view)) {
  std::vector<std::string> unknown;
  for (const auto& name : names)
    if (!known(name)) unknown.push_back(name);
  return unknown;
}

bool is_quota(std::string_view name) { return is_in(kQuotas, name); }
bool is_ip_quota(std::string_view name) { return name == kIpQuota; }
bool is_quota_or_scram(std::string_view name) { return is_quota(name) || is_scram(name); }

Attempt<> check_names(const ConfigEntities& entities, const ConfigChanges& changes) {
  std::vector<std::string> added;
  for (const auto& [name, value] : changes.add) added.push_back(name);
  if (entities.types.front() == "ips") {
    auto unknown = without(added, is_ip_quota);
    for (const auto& name : without(changes.remove, is_ip_quota)) unknown.push_back(name);
    if (unknown.empty()) return {};
    return illegal_argument(
        fmt::format("Only connection quota configs can be added for 'ips' using "
                    "--bootstrap-server. Unexpected config names: {}",
                    fmt::join(unknown, ",")));
  }
  const bool only_user = entities.types.size() == 1 && entities.types.front() == "users";
  const auto known = only_user ? is_quota_or_scram : is_quota;
  const std::string what = only_user ? "quota and SCRAM credential configs" : "quota configs";
  const std::string type = only_user ? "users" : "clients";
  if (const auto unknown = without(added, known); !unknown.empty())
    return illegal_argument(
        fmt::format("Only {} can be added for '{}' using --bootstrap-server. Unexpected config "
                    "names: Set({})",
                    what, type, fmt::join(unknown, ", ")));
  if (const auto unknown = without(changes.remove, known); !unknown.empty())
    return illegal_argument(
        fmt::format("Only {} can be deleted for '{}' using --bootstrap-server. Unexpected config "
                    "names: Buffer({})",
                    what, type, fmt::join(unknown, ", ")));
  const auto is_credential = [](const auto& name) { return is_scram(name); };
  if (std::ranges::any_of(added, is_credential) ||
      std::ranges::any_of(changes.remove, is_credential))
    return illegal_argument("SCRAM credentials cannot be changed by this program yet");
  return {};
}

}  // namespace

Attempt<> describe_quotas(Admin& admin, const ConfigEntities& entities) {
  ASSIGN_OR_RETURN(auto entries, quotas_of(admin, entities));
  for (auto& entry : entries) print_entry(entry);
  const bool of_users = is_in(entities.types, "users") && !is_in(entities.types, "clients");
  if (of_users && !is_in(entities.names, "")) return describe_credentials(admin, entities);
  return {};
}

Attempt<> alter_quotas(Admin& admin, const ConfigEntities& entities, const ConfigChanges& changes) {
  RETURN_IF_ERROR(check_names(entities, changes));
  ASSIGN_OR_RETURN(const auto old, quotas_of(admin, entities));
  std::vector<std::string> absent;
  for (const auto& name : changes.remove)
    if (old.empty() || !is_in(old.front().values, name, &Value::key)) absent.push_back(name);
  if (!absent.empty())
    return thrown("org.apache.kafka.common.errors.InvalidConfigurationException",
                  fmt::format("Invalid config(s): {}", fmt::join(absent, ",")));
  wire::AlterClientQuotasRequest request;
  auto& entry = request.entries.emplace_back();
  for (size_t i = 0; i < entities.types.size(); ++i) {
    auto& entity = entry.entity.emplace_back();
    entity.entity_type = entity_of(entities.types[i]);
    entity.entity_name = std::nullopt;
    if (!entities.names[i].empty()) entity.entity_name = entities.names[i];
  }
  for (const auto& [name, text] : changes.add) {
    double value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc{} || end != text.data() + text.size())
      return illegal_argument(
          fmt::format("Cannot parse quota configuration value for {}: {}", name, text));
    entry.ops.push_back({.key = name, .value = value, .remove = false});
  }
  for (const auto& name : changes.remove)
    entry.ops.push_back({.key = name, .value = 0, .remove = true});
  auto response = admin.call("alterClientQuotas", std::move(request));
  if (!response) return std::unexpected(executed(response.error()));
  for (const auto& each : response->entries)
    if (each.error_code != 0)
      return std::unexpected(executed(exception_of(each.error_code, each.error_message)));
  return {};
}

}  // namespace millrace::app::kafka
