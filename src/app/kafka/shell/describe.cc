#include "app/kafka/shell/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <span>
#include <string_view>

#include "metadata/directory_id.h"
#include "metadata/node_ids.h"

namespace millrace::app::kafka::shell {
namespace {

using Names = std::span<const std::string_view>;

// Of an enum whose unknown values are UNKNOWN.
std::string_view name_of(Names names, int8_t code) {
  const auto at = static_cast<uint8_t>(code);
  return at < names.size() ? names[at] : names[0];
}

std::string list_of(const std::vector<NodeId>& ids) {
  return fmt::format("[{}]", fmt::join(metadata::numbers_of(ids), ", "));
}

std::string list_of(const std::vector<Uuid>& ids) {
  std::vector<std::string> texts;
  for (const Uuid& id : ids) texts.push_back(id.to_string());
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

std::string protocol_name(int16_t id) {
  constexpr std::array kNames{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
  return id >= 0 && static_cast<size_t>(id) < kNames.size() ? kNames[static_cast<size_t>(id)]
                                                            : "null";
}

// Each by its name, so that of several with one name there is the last.
template <class Endpoints>
std::string listeners_of(const Endpoints& endpoints) {
  std::map<std::string, std::string> texts;
  for (const auto& each : endpoints)
    texts[each.name] =
        fmt::format("Endpoint(listenerName='{}', securityProtocol={}, host='{}', port={})",
                    each.name, protocol_name(each.security_protocol), each.host, each.port);
  std::vector<std::string_view> sorted;
  for (const auto& [name, text] : texts) sorted.push_back(text);
  return fmt::format("[{}]", fmt::join(sorted, ", "));
}

template <class Features>
std::string features_of(const Features& features) {
  std::map<std::string, std::string> texts;
  for (const auto& each : features) {
    const int16_t least = each.min_supported_version, most = each.max_supported_version;
    texts[each.name] = least == most       ? fmt::format("{}: {}", each.name, least)
                       : most == INT16_MAX ? fmt::format("{}: {}+", each.name, least)
                                           : fmt::format("{}: {}-{}", each.name, least, most);
  }
  std::vector<std::string_view> sorted;
  for (const auto& [name, text] : texts) sorted.push_back(text);
  return fmt::format("{{{}}}", fmt::join(sorted, ", "));
}

// As Java compares them: two signed numbers.
std::vector<Uuid> sorted_as_java(std::vector<Uuid> ids) {
  std::ranges::sort(ids, {}, [](Uuid id) {
    id.bytes[0] ^= 0x80;
    id.bytes[8] ^= 0x80;
    return id.bytes;
  });
  return ids;
}

std::string hex_of(const ByteBuffer& bytes) { return fmt::format("{:02x}", fmt::join(bytes, "")); }

}  // namespace

std::string describe(const metadata::Broker& broker) {
  const auto& said = broker.registration;
  return fmt::format(
      "BrokerRegistration(id={}, epoch={}, incarnationId={}, listeners={}, supportedFeatures={}, "
      "rack={}, fenced={}, inControlledShutdown={}, isMigratingZkBroker={}, directories={}, "
      "cordonedDirectories={})",
      broker.id.value(), broker.epoch.value(), broker.incarnation.to_string(),
      listeners_of(said.end_points), features_of(said.features),
      broker.rack ? fmt::format("Optional[{}]", *broker.rack) : "Optional.empty", broker.fenced,
      broker.in_controlled_shutdown, said.is_migrating_zk_broker,
      list_of(sorted_as_java(broker.log_dirs)),
      said.cordoned_log_dirs ? list_of(*said.cordoned_log_dirs) : "null");
}

std::string describe(const wire::RegisterControllerRecord& controller) {
  return fmt::format(
      "ControllerRegistration(id={}, incarnationId={}, zkMigrationReady={}, listeners={}, "
      "supportedFeatures={})",
      controller.controller_id, controller.incarnation_id.to_string(),
      controller.zk_migration_ready, listeners_of(controller.end_points),
      features_of(controller.features));
}

std::string describe(const metadata::PartitionState& partition) {
  std::vector<Uuid> directories = partition.directories;
  if (directories.empty())
    directories.assign(partition.replicas.size(), metadata::kMigratingDirectory);
  return fmt::format(
      "PartitionRegistration(replicas={}, directories={}, isr={}, removingReplicas={}, "
      "addingReplicas={}, elr={}, lastKnownElr={}, leader={}, leaderRecoveryState={}, "
      "leaderEpoch={}, partitionEpoch={})",
      list_of(partition.replicas), list_of(directories), list_of(partition.isr),
      list_of(partition.removing_replicas), list_of(partition.adding_replicas),
      list_of(partition.elr), list_of(partition.last_known_elr), partition.leader.value(),
      partition.recovery_state == 0 ? "RECOVERED" : "RECOVERING", partition.leader_epoch.value(),
      partition.partition_epoch.value());
}

std::string describe(const wire::AccessControlEntryRecord& acl) {
  constexpr std::string_view kResources[] = {
      "UNKNOWN",          "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID",
      "DELEGATION_TOKEN", "USER"};
  constexpr std::string_view kPatterns[] = {"UNKNOWN", "ANY", "MATCH", "LITERAL", "PREFIXED"};
  constexpr std::string_view kOperations[] = {"UNKNOWN",
                                              "ANY",
                                              "ALL",
                                              "READ",
                                              "WRITE",
                                              "CREATE",
                                              "DELETE",
                                              "ALTER",
                                              "DESCRIBE",
                                              "CLUSTER_ACTION",
                                              "DESCRIBE_CONFIGS",
                                              "ALTER_CONFIGS",
                                              "IDEMPOTENT_WRITE",
                                              "CREATE_TOKENS",
                                              "DESCRIBE_TOKENS",
                                              "TWO_PHASE_COMMIT"};
  constexpr std::string_view kPermissions[] = {"UNKNOWN", "ANY", "DENY", "ALLOW"};
  return fmt::format(
      "StandardAcl[resourceType={}, resourceName={}, patternType={}, principal={}, host={}, "
      "operation={}, permissionType={}]",
      name_of(kResources, acl.resource_type), acl.resource_name,
      name_of(kPatterns, acl.pattern_type), acl.principal, acl.host,
      name_of(kOperations, acl.operation), name_of(kPermissions, acl.permission_type));
}

std::string describe(const wire::UserScramCredentialRecord& credential) {
  return fmt::format("ScramCredentialData(salt={}, storedKey={}, serverKey={}, iterations={})",
                     hex_of(credential.salt), hex_of(credential.stored_key),
                     hex_of(credential.server_key), credential.iterations);
}

// The parentheses are Apache Kafka's.
std::string describe(const wire::DelegationTokenRecord& token) {
  return fmt::format(
      "DelegationTokenDatatokenId={}(owner={}(tokenRequester={}(renewers={}, issueTimestamp={}, "
      "maxTimestamp={}), expiryTimestamp={}",
      token.token_id, token.owner, token.requester, fmt::join(token.renewers, " "),
      token.issue_timestamp, token.max_timestamp, token.expiration_timestamp);
}

std::string describe(const Provenance& provenance) {
  using namespace std::chrono;
  const sys_time<milliseconds> moment{milliseconds(provenance.time_ms)};
  const auto day = floor<days>(moment);
  const year_month_day date(day);
  const hh_mm_ss clock(moment - day);
  std::string time =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", int{date.year()}, unsigned{date.month()},
                  unsigned{date.day()}, clock.hours().count(), clock.minutes().count(),
                  clock.seconds().count());
  if (const auto ms = clock.subseconds().count(); ms != 0) {
    time += fmt::format(".{:03}", ms);
    time.resize(time.find_last_not_of('0') + 1);
  }
  return fmt::format("offset {}, epoch {}, time {}Z[UTC]", provenance.offset, provenance.epoch,
                     time);
}

}  // namespace millrace::app::kafka::shell
