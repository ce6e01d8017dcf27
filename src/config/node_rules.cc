#include "config/node_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "config/rules.h"

namespace millrace::config {
namespace {

using Names = std::vector<std::string>;

std::unexpected<Error> wrong(std::string message) {
  return fail(Errc::kInvalid, std::move(message));
}

bool contains(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

Names names_of(const std::vector<ListenerAddress>& listeners) {
  Names names;
  for (const auto& each : listeners) names.push_back(each.name);
  return names;
}

std::string joined(const Names& names) { return fmt::format("{}", fmt::join(names, ",")); }

Result<> check_roles(const NodeProperties& node) {
  for (const char* name : {"node.id", "process.roles", "controller.listener.names"})
    if (node.list(name).empty())
      return wrong(
          fmt::format("Missing required configuration \"{}\" which has no default value.", name));
  if (node.is_set("broker.id") && node.number("broker.id") != node.number("node.id"))
    return wrong(
        fmt::format("You must set `node.id` to the same value as `broker.id`: they are {} "
                    "and {}.",
                    node.text("node.id"), node.text("broker.id")));
  if (node.list("log.dirs").empty() && node.list("log.dir").empty())
    return wrong("At least one log directory must be defined via log.dirs or log.dir.");
  return {};
}

struct NodeListeners {
  std::vector<ListenerAddress> all;
  std::vector<ListenerAddress> advertised;
  Names controllers;

  bool is_controllers(const std::string& name) const { return contains(controllers, name); }
};

// What each role listens on: a broker alone has none of the controllers' listeners, a controller
// alone no others.
Result<> check_roles_listen(const NodeProperties& node, const NodeListeners& listeners) {
  const Names own = names_of(listeners.all);
  const auto is_controllers = [&](const auto& name) { return listeners.is_controllers(name); };
  if (!has_role(node, "controller")) {
    if (std::ranges::none_of(own, is_controllers)) return {};
    return wrong(fmt::format(
        "controller.listener.names must not contain a value appearing in the 'listeners' "
        "configuration when running KRaft with just the broker role: it is {}, listeners are {}",
        joined(listeners.controllers), node.text("listeners")));
  }
  if (!has_role(node, "broker")) {
    if (std::ranges::all_of(own, is_controllers)) return {};
    return wrong(fmt::format(
        "The listeners config must only contain KRaft controller listeners from "
        "controller.listener.names when process.roles=controller: it is {}, listeners are {}",
        joined(listeners.controllers), node.text("listeners")));
  }
  if (std::ranges::none_of(own, is_controllers))
    return wrong(
        fmt::format("controller.listener.names must contain at least one value appearing "
                    "in the 'listeners' configuration when running the KRaft controller "
                    "role: it is {}, listeners are {}",
                    joined(listeners.controllers), node.text("listeners")));
  if (std::ranges::all_of(own, is_controllers))
    return wrong(
        fmt::format("There must be at least one broker advertised listener. Perhaps all "
                    "listeners appear in controller.listener.names? listeners are {}",
                    node.text("listeners")));
  return {};
}

Result<> check_own_listeners(const NodeListeners& listeners, const std::string& text) {
  std::set<std::string> names;
  std::set<std::pair<std::string, uint16_t>> addresses;
  for (const auto& each : listeners.all) {
    if (!names.insert(each.name).second)
      return wrong(fmt::format("Each listener must have a different name, listeners: {}", text));
    if (each.port != 0 && !addresses.emplace(each.host, each.port).second)
      return wrong(fmt::format("Each listener must have a different port, listeners: {}", text));
  }
  return {};
}

Result<> check_advertised(const NodeProperties& node, const NodeListeners& listeners) {
  const Names own = names_of(listeners.all);
  for (const auto& each : listeners.advertised) {
    if (each.host == "0.0.0.0" || each.host == "::")
      return wrong(
          fmt::format("advertised.listeners cannot use the nonroutable meta-address {}. "
                      "Use a routable IP address.",
                      each.host));
    // Of a controller alone Kafka looks at the addresses only.
    if (has_role(node, "broker") && !contains(own, each.name))
      return wrong(fmt::format(
          "advertised.listeners listener names must be equal to or a subset of the ones defined in "
          "listeners. Found {}. The valid options based on the current configuration are {}",
          each.name, joined(own)));
  }
  return {};
}

// NAME:PROTOCOL of listener.security.protocol.map. A controller's listener that the default map
// does not have counts as PLAINTEXT.
Result<> check_protocols(const NodeProperties& node, const NodeListeners& listeners) {
  static const Names kProtocols = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
  constexpr const char* kMap = "listener.security.protocol.map";
  std::map<std::string, std::string> protocols;
  for (const auto& item : node.list(kMap)) {
    const size_t colon = item.rfind(':');
    if (colon == std::string::npos)
      return wrong(fmt::format(
          "Invalid value {} for configuration {}: an entry looks like NAME:PROTOCOL", item, kMap));
    const std::string protocol = item.substr(colon + 1);
    if (!contains(kProtocols, protocol))
      return wrong(fmt::format("Invalid security protocol `{}` defined in {}: it must be one of {}",
                               protocol, kMap, joined(kProtocols)));
    protocols[item.substr(0, colon)] = protocol;
  }
  if (!node.is_set(kMap))
    for (const auto& name : listeners.controllers) protocols.try_emplace(name, "PLAINTEXT");
  for (const auto& each : listeners.all) {
    auto found = protocols.find(each.name);
    if (found == protocols.end())
      return wrong(fmt::format("No security protocol defined for listener {}: {} is {}", each.name,
                               kMap, node.text(kMap)));
    if (found->second != "PLAINTEXT")
      return wrong(
          fmt::format("listener {} has the security protocol {}, which this version of "
                      "Millrace does not serve; PLAINTEXT is served ({})",
                      each.name, found->second, kMap));
  }
  return {};
}

Result<> check_inter_broker(const NodeProperties& node, const NodeListeners& listeners) {
  const std::string name = node.text("inter.broker.listener.name");
  if (name.empty() || !has_role(node, "broker")) return {};
  if (node.is_set("security.inter.broker.protocol"))
    return wrong(
        "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.");
  Names brokers = names_of(listeners.all);
  std::erase_if(brokers, [&](const auto& each) { return contains(listeners.controllers, each); });
  if (contains(brokers, name)) return {};
  return wrong(
      fmt::format("inter.broker.listener.name must be a listener name defined in "
                  "advertised.listeners. Found {}. The valid options based on currently "
                  "configured listeners are {}",
                  name, joined(brokers)));
}

Result<> check_listeners(const NodeProperties& node) {
  NodeListeners listeners{.controllers = node.list("controller.listener.names")};
  ASSIGN_OR_RETURN(listeners.all, parse_listeners("listeners", node.text("listeners")));
  ASSIGN_OR_RETURN(listeners.advertised,
                   parse_listeners("advertised.listeners", node.text("advertised.listeners")));
  RETURN_IF_ERROR(check_own_listeners(listeners, node.text("listeners")));
  RETURN_IF_ERROR(check_roles_listen(node, listeners));
  RETURN_IF_ERROR(check_advertised(node, listeners));
  RETURN_IF_ERROR(check_protocols(node, listeners));
  return check_inter_broker(node, listeners);
}

// "{id}@{host}:{port}"; nothing if it is not.
std::optional<int32_t> id_of_voter(const std::string& voter) {
  const size_t at = voter.find('@');
  int32_t id = -1;
  if (at != std::string::npos) std::from_chars(voter.data(), voter.data() + at, id);
  if (id < 0 || voter.find(':', at) == std::string::npos) return std::nullopt;
  return id;
}

Result<> check_voters(const NodeProperties& node, const Names& voters) {
  bool is_voter = false;
  for (const auto& voter : voters) {
    const auto id = id_of_voter(voter);
    if (!id)
      return wrong(
          fmt::format("Invalid value {} for configuration controller.quorum.voters: Each "
                      "entry should be in the form `{{id}}@{{host}}:{{port}}`.",
                      voter));
    is_voter = is_voter || *id == node.number("node.id");
  }
  if (has_role(node, "controller") && !is_voter)
    return wrong(
        fmt::format("If process.roles contains the 'controller' role, the node id {} "
                    "must be included in the set of voters controller.quorum.voters={}",
                    node.text("node.id"), joined(voters)));
  if (!has_role(node, "controller") && is_voter)
    return wrong(
        fmt::format("If process.roles contains just the 'broker' role, the node id {} must not be "
                    "included in the set of voters controller.quorum.voters={}",
                    node.text("node.id"), joined(voters)));
  return {};
}

Result<> check_quorum(const NodeProperties& node) {
  const auto voters = node.list("controller.quorum.voters");
  if (!voters.empty()) return check_voters(node, voters);
  const auto servers = node.list("controller.quorum.bootstrap.servers");
  if (servers.empty())
    return wrong(
        "If using process.roles, either controller.quorum.bootstrap.servers must contain the set "
        "of bootstrap controllers or controller.quorum.voters must contain a parseable set of "
        "controllers.");
  for (const auto& server : servers)
    if (server.find(':') == std::string::npos)
      return wrong(
          fmt::format("Failed to parse host name from {} for the configuration "
                      "controller.quorum.bootstrap.servers. Each entry should be in the form "
                      "\"{{host}}:{{port}}\"",
                      server));
  return {};
}

Result<> check_retention(const NodeProperties& node) {
  const Definition* retention = find_definition(Scope::kTopic, "retention.ms");
  if (to_number(node.topic_default(*retention)) != 0) return {};
  return wrong(
      "log.retention.ms must be unlimited (-1) or, greater than or equal to 1: log.retention.ms, "
      "log.retention.minutes or log.retention.hours is 0");
}

Result<> check_connection_limits(const NodeProperties& node) {
  const std::string overrides = node.text("max.connections.per.ip.overrides");
  if (!parse_connection_overrides(overrides))
    return wrong(
        fmt::format("Invalid value {} for configuration max.connections.per.ip.overrides: "
                    "a list looks like host:count,host:count",
                    overrides));
  if (node.number("max.connections.per.ip") == 0 && overrides.empty())
    return wrong(
        "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides "
        "property is set.");
  const int64_t queued = node.number("queued.max.request.bytes");
  if (queued > 0 && queued < node.number("socket.request.max.bytes"))
    return wrong(
        fmt::format("queued.max.request.bytes must be larger or equal to "
                    "socket.request.max.bytes: they are {} and {}",
                    queued, node.number("socket.request.max.bytes")));
  return {};
}

struct AtLeast {
  const char* larger;
  const char* smaller;
};
constexpr AtLeast kOrdered[] = {
    {"replica.socket.timeout.ms", "replica.fetch.wait.max.ms"},
    {"replica.lag.time.max.ms", "replica.fetch.wait.max.ms"},
    {"group.max.session.timeout.ms", "group.min.session.timeout.ms"},
    {"group.consumer.max.session.timeout.ms", "group.consumer.min.session.timeout.ms"},
    {"group.consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms"},
    {"group.consumer.max.session.timeout.ms", "group.consumer.session.timeout.ms"},
    {"group.consumer.max.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms"},
    {"group.consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms"},
    {"group.consumer.max.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"},
    {"group.share.max.session.timeout.ms", "group.share.min.session.timeout.ms"},
    {"group.share.max.delivery.count.limit", "group.share.delivery.count.limit"},
    {"group.share.delivery.count.limit", "group.share.min.delivery.count.limit"},
    {"group.share.max.partition.max.record.locks", "group.share.partition.max.record.locks"},
    {"group.share.partition.max.record.locks", "group.share.min.partition.max.record.locks"},
    {"group.share.max.record.lock.duration.ms", "group.share.record.lock.duration.ms"},
    {"group.share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms"},
    {"group.share.max.share.sessions", "group.share.max.size"},
    {"group.share.session.timeout.ms", "group.share.min.session.timeout.ms"},
    {"group.share.max.session.timeout.ms", "group.share.session.timeout.ms"},
    {"group.share.max.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms"},
    {"group.share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms"},
    {"group.share.max.heartbeat.interval.ms", "group.share.heartbeat.interval.ms"},
    {"group.share.max.assignment.interval.ms", "group.share.min.assignment.interval.ms"},
    {"group.share.assignment.interval.ms", "group.share.min.assignment.interval.ms"},
    {"group.share.max.assignment.interval.ms", "group.share.assignment.interval.ms"},
    {"group.streams.max.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms"},
    {"group.streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms"},
    {"group.streams.max.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms"},
    {"group.streams.max.session.timeout.ms", "group.streams.min.session.timeout.ms"},
    {"group.streams.session.timeout.ms", "group.streams.min.session.timeout.ms"},
    {"group.streams.max.session.timeout.ms", "group.streams.session.timeout.ms"},
    {"group.streams.max.assignment.interval.ms", "group.streams.min.assignment.interval.ms"},
    {"group.streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms"},
    {"group.streams.max.assignment.interval.ms", "group.streams.assignment.interval.ms"},
    {"group.streams.max.standby.replicas", "group.streams.num.standby.replicas"}};

// Whoever beats more seldom than its session lasts is removed again and again.
constexpr AtLeast kSessions[] = {
    {"group.consumer.session.timeout.ms", "group.consumer.heartbeat.interval.ms"},
    {"group.share.session.timeout.ms", "group.share.heartbeat.interval.ms"},
    {"group.streams.session.timeout.ms", "group.streams.heartbeat.interval.ms"}};

Result<> check_order(const NodeProperties& node) {
  for (const auto& [timeout, interval] : kSessions)
    if (node.number(interval) >= node.number(timeout))
      return wrong(fmt::format("{} must be less than {}: they are {} and {}", interval, timeout,
                               node.number(interval), node.number(timeout)));
  for (const auto& [larger, smaller] : kOrdered)
    if (node.number(larger) < node.number(smaller))
      return wrong(fmt::format("{} must be greater than or equal to {}: they are {} and {}", larger,
                               smaller, node.number(larger), node.number(smaller)));
  return {};
}

// Kafka loads other names as classes.
Result<> check_assignors(const NodeProperties& node) {
  const auto assignors = node.list("group.consumer.assignors");
  for (const std::string& name : assignors)
    if (name != "uniform" && name != "range")
      return wrong(
          fmt::format("group.consumer.assignors has {}: there are uniform and range", name));
  if (assignors.empty()) return wrong("group.consumer.assignors must name one at least");
  const auto of_shares = node.list("group.share.assignors");
  if (of_shares.size() != 1)
    return wrong(fmt::format(
        "group.share.assignors must contain exactly one assignor, but found {}", of_shares.size()));
  if (of_shares.front() != "simple")
    return wrong(fmt::format("group.share.assignors has {}: there is simple", of_shares.front()));
  return {};
}

}  // namespace

bool has_role(const NodeProperties& node, std::string_view role) {
  return contains(node.list("process.roles"), role);
}

Result<> check_node(const NodeProperties& node) {
  RETURN_IF_ERROR(check_roles(node));
  RETURN_IF_ERROR(check_listeners(node));
  RETURN_IF_ERROR(check_quorum(node));
  RETURN_IF_ERROR(check_retention(node));
  RETURN_IF_ERROR(check_connection_limits(node));
  RETURN_IF_ERROR(check_assignors(node));
  return check_order(node);
}

}  // namespace millrace::config
