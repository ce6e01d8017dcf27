#include "config/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "config/client_match.h"
#include "config/group_configs.h"

namespace millrace::config {
namespace {

constexpr int64_t kLeastMetricsInterval = 100;
constexpr int64_t kMostMetricsInterval = 3'600'000;

std::optional<Problem> invalid_config(std::string message) {
  return Problem{.message = std::move(message)};
}
std::optional<Problem> invalid_request(std::string message) {
  return Problem{.is_of_request = true, .message = std::move(message)};
}

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// "0:1,3:2", partition and broker, or "*" alone.
bool are_throttled_replicas(std::string_view text) {
  const auto items = split_list(text);
  if (items.size() == 1 && items[0] == "*") return true;
  return std::ranges::all_of(items, [](const std::string& item) {
    const size_t colon = item.find(':');
    return colon != std::string::npos && is_number(item.substr(0, colon)) &&
           is_number(item.substr(colon + 1));
  });
}

std::optional<Problem> throttle_problem(const Values& configs) {
  for (const char* name :
       {"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"})
    if (auto found = configs.find(name);
        found != configs.end() && !are_throttled_replicas(found->second))
      return invalid_config(
          fmt::format("Invalid value [{}] for configuration {}: {} must be the literal '*' or a "
                      "list of replicas in the following format: "
                      "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                      fmt::join(split_list(found->second), ", "), name, name));
  return std::nullopt;
}

std::optional<Problem> bound_problem(std::string_view name, int64_t value,
                                     const NodeProperties& node) {
  const std::string least = bound_name(name, "min"), most = bound_name(name, "max");
  if (find_definition(Scope::kBroker, least) && value < node.number(least))
    return invalid_config(fmt::format("{} must be greater than or equal to {}", name, least));
  if (find_definition(Scope::kBroker, most) && value > node.number(most))
    return invalid_config(fmt::format("{} must be less than or equal to {}", name, most));
  return std::nullopt;
}

std::optional<Problem> offset_reset_problem(const std::string& value) {
  if (parse_offset_reset(value)) return std::nullopt;
  return invalid_config(fmt::format(
      "Invalid value {0} for configuration share.auto.offset.reset: Invalid value `{0}` for "
      "configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of "
      "the format 'by_duration:<PnDTnHnMn.nS>'.",
      value));
}

template <class Wrong>
std::vector<std::string_view> names_where(const Values& configs, Wrong wrong) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : configs) {
    const Definition* definition = find_definition(Scope::kBroker, name);
    if (definition && wrong(*definition)) names.push_back(name);
  }
  return names;
}

std::optional<Problem> refuse(std::string_view why, const std::vector<std::string_view>& names) {
  if (names.empty()) return std::nullopt;
  return invalid_request(fmt::format("{}: [{}]", why, fmt::join(names, ", ")));
}

}  // namespace

std::optional<Problem> topic_problem(const Values& configs, const NodeProperties& node) {
  if (auto problem = problem_of(Scope::kTopic, configs)) return invalid_config(*problem);
  if (auto problem = throttle_problem(configs)) return problem;
  const TopicConfig topic(node, configs);
  const int64_t least = topic.number("min.compaction.lag.ms"),
                most = topic.number("max.compaction.lag.ms");
  if (least > most)
    return invalid_config(
        fmt::format("conflict topic config setting min.compaction.lag.ms ({}) > "
                    "max.compaction.lag.ms ({})",
                    least, most));
  if (topic.flag("remote.storage.enable") && !node.flag("remote.log.storage.system.enable"))
    return invalid_config(
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with "
        "remote log storage.");
  return std::nullopt;
}

std::optional<Problem> group_problem(const Values& configs, const NodeProperties& node) {
  for (const auto& [name, value] : configs)
    if (name == "share.auto.offset.reset") {
      if (auto problem = offset_reset_problem(value)) return problem;
    } else if (auto problem = problem_of(Scope::kGroup, {{name, value}})) {
      return invalid_config(*problem);
    }
  for (const auto& [name, value] : configs)
    if (auto problem = bound_problem(name, to_number(value), node)) return problem;
  for (const char* kind : {"consumer", "share", "streams"}) {
    const std::string session = fmt::format("{}.session.timeout.ms", kind),
                      heartbeat = fmt::format("{}.heartbeat.interval.ms", kind);
    auto effective = [&](const std::string& name) {
      auto found = configs.find(name);
      return found == configs.end() ? node.number("group." + name) : to_number(found->second);
    };
    if (effective(session) <= effective(heartbeat))
      return invalid_config(fmt::format("{} must be greater than {}", session, heartbeat));
  }
  return std::nullopt;
}

std::optional<Problem> client_metrics_problem(const Values& configs) {
  if (auto problem = problem_of(Scope::kClientMetrics, configs)) return invalid_request(*problem);
  if (auto interval = configs.find("interval.ms"); interval != configs.end()) {
    const int64_t value = to_number(interval->second);
    if (value < kLeastMetricsInterval || value > kMostMetricsInterval)
      return invalid_request(
          fmt::format("Invalid value {} for interval.ms, interval must be between {} and {} "
                      "(1 hour)",
                      value, kLeastMetricsInterval, kMostMetricsInterval));
  }
  if (auto match = configs.find("match"); match != configs.end())
    for (const auto& item : split_list(match->second))
      if (!ClientMatch::parse(item))
        return invalid_config("Illegal client matching pattern: " + item);
  return std::nullopt;
}

std::optional<Problem> dynamic_broker_problem(const Values& configs, BrokerLevel level) {
  auto is_per_broker = [](const Definition& each) { return each.update == "per-broker"; };
  if (auto problem =
          refuse("Cannot update these configs dynamically",
                 names_where(configs, [](const auto& each) { return each.update == "read-only"; })))
    return problem;
  if (auto problem =
          refuse("These security configs can be dynamically updated only per-listener using the "
                 "listener prefix",
                 names_where(configs, [&](const auto& each) {
                   return is_per_broker(each) && each.name.starts_with("ssl.");
                 })))
    return problem;
  if (auto problem = problem_of(Scope::kBroker, configs)) return invalid_request(*problem);
  if (auto overrides = configs.find("max.connections.per.ip.overrides");
      overrides != configs.end() && !parse_connection_overrides(overrides->second))
    return invalid_request(
        fmt::format("Invalid value {} for configuration max.connections.per.ip.overrides: a list "
                    "looks like host:count,host:count",
                    overrides->second));
  if (level == BrokerLevel::kOneBroker) return std::nullopt;
  return refuse("Cannot update these configs at default cluster level",
                names_where(configs, is_per_broker));
}

std::optional<std::map<std::string, size_t>> parse_connection_overrides(std::string_view text) {
  std::map<std::string, size_t> overrides;
  for (const auto& item : split_list(text)) {
    const size_t colon = item.rfind(':');
    size_t count = 0;
    if (colon == std::string::npos || colon == 0 || !is_number(item.substr(colon + 1)))
      return std::nullopt;
    const auto [end, failed] =
        std::from_chars(item.data() + colon + 1, item.data() + item.size(), count);
    if (failed != std::errc{}) return std::nullopt;
    overrides[item.substr(0, colon)] = count;
  }
  return overrides;
}

}  // namespace millrace::config
