#include "config/properties.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

#include "base/assert.h"
#include "config/node_rules.h"

namespace millrace::config {
namespace {

constexpr std::string_view kBlanks = " \t\f";

// Lines with continuations joined; comments and empty ones left out.
std::vector<std::string> logical_lines(std::string_view text) {
  std::vector<std::string> lines;
  bool continued = false;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    if (!continued && (line.empty() || line[0] == '#' || line[0] == '!')) continue;
    if (!continued) lines.emplace_back();
    size_t slashes = 0;
    while (slashes < line.size() && line[line.size() - 1 - slashes] == '\\') ++slashes;
    continued = slashes % 2 == 1;
    if (continued) line.remove_suffix(1);
    lines.back() += line;
  }
  return lines;
}

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out.push_back(static_cast<char>(0xC0 | (code >> 6)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xE0 | (code >> 12)));
    out.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    const char c = text[++i];
    uint32_t code = 0;
    if (c == 'u' && i + 4 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 5, code, 16).ec == std::errc{}) {
      append_utf8(out, code);
      i += 4;
    } else {
      out.push_back(c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c);
    }
  }
  return out;
}

size_t end_of_key(std::string_view line) {
  size_t at = 0;
  while (at < line.size() && line[at] != '=' && line[at] != ':' &&
         kBlanks.find(line[at]) == std::string_view::npos)
    at += line[at] == '\\' ? 2 : 1;
  return std::min(at, line.size());
}

// Hours and minutes count as milliseconds of the config that they stand for.
int64_t unit_of(std::string_view broker_config) {
  if (broker_config.ends_with(".hours")) return 3'600'000;
  if (broker_config.ends_with(".minutes")) return 60'000;
  return 1;
}

// LOG_DIRS -> log.dirs; __ is an underscore, ___ a hyphen.
std::string config_of_variable(std::string_view name) {
  std::string config;
  for (size_t at = 0; at < name.size();) {
    const size_t run = std::min(name.find_first_not_of('_', at), name.size()) - at;
    if (run == 0) {
      config.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(name[at++]))));
      continue;
    }
    const size_t taken = std::min<size_t>(run, 3);
    config.push_back(".._-"[taken]);
    at += taken;
  }
  return config;
}

}  // namespace

Values parse_properties(std::string_view text) {
  Values values;
  for (const std::string& line : logical_lines(text)) {
    const size_t key_end = end_of_key(line);
    size_t at = std::min(line.find_first_not_of(kBlanks, key_end), line.size());
    if (at < line.size() && (line[at] == '=' || line[at] == ':'))
      at = std::min(line.find_first_not_of(kBlanks, at + 1), line.size());
    std::string value = unescape(std::string_view(line).substr(at));
    while (value.ends_with(' ')) value.pop_back();
    values[unescape(std::string_view(line).substr(0, key_end))] = std::move(value);
  }
  return values;
}

Values parse_environment(const std::vector<std::string>& variables) {
  // What Apache Kafka's scripts and images take for themselves.
  constexpr std::string_view kNotConfigs[] = {"KAFKA_VERSION",       "KAFKA_HEAP_OPTS",
                                              "KAFKA_LOG4J_OPTS",    "KAFKA_OPTS",
                                              "KAFKA_JMX_OPTS",      "KAFKA_JVM_PERFORMANCE_OPTS",
                                              "KAFKA_GC_LOG_OPTS",   "KAFKA_LOG4J_ROOT_LOGLEVEL",
                                              "KAFKA_LOG4J_LOGGERS", "KAFKA_JMX_HOSTNAME",
                                              "KAFKA_JMX_PORT",      "KAFKA_TOOLS_LOG4J_LOGLEVEL",
                                              "KAFKA_HOME",          "KAFKA_DEBUG",
                                              "KAFKA_CLUSTER_ID"};
  constexpr std::string_view kPrefix = "KAFKA_";
  Values values;
  for (std::string_view variable : variables) {
    const size_t equals = variable.find('=');
    std::string_view name = variable.substr(0, equals);
    if (equals == std::string_view::npos || !name.starts_with(kPrefix) ||
        std::ranges::find(kNotConfigs, name) != std::end(kNotConfigs))
      continue;
    values[config_of_variable(name.substr(kPrefix.size()))] = variable.substr(equals + 1);
  }
  return values;
}

Result<std::vector<ListenerAddress>> parse_listeners(std::string_view name, std::string_view text) {
  std::vector<ListenerAddress> listeners;
  for (const std::string& item : split_list(text)) {
    const size_t scheme = item.find("://"), colon = item.rfind(':');
    int port = -1;
    if (scheme != std::string::npos && colon > scheme)
      std::from_chars(item.data() + colon + 1, item.data() + item.size(), port);
    if (port < 0 || port > 65535)
      return fail(Errc::kInvalid,
                  fmt::format("Invalid value {} for configuration {}: a listener looks like "
                              "NAME://host:port",
                              item, name));
    std::string host = item.substr(scheme + 3, colon - scheme - 3);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    listeners.push_back({item.substr(0, scheme), host, static_cast<uint16_t>(port)});
  }
  return listeners;
}

Result<NodeProperties> NodeProperties::of(Values values) {
  for (const auto& [name, value] : values)
    if (const Definition* definition = find_definition(Scope::kBroker, name))
      if (auto problem = value_problem(*definition, value)) return fail(Errc::kInvalid, *problem);
  // The name of before the quorum (KIP-631).
  if (auto old = values.find("broker.id"); old != values.end() && !values.contains("node.id"))
    values["node.id"] = old->second;
  NodeProperties properties(std::move(values));
  RETURN_IF_ERROR(check_node(properties));
  return properties;
}

Values NodeProperties::embedded_default() {
  return {{"process.roles", "broker,controller"},
          {"node.id", "1"},
          {"listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
          {"advertised.listeners", "PLAINTEXT://localhost:9092"},
          {"controller.listener.names", "CONTROLLER"},
          {"listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"},
          {"controller.quorum.bootstrap.servers", "localhost:9093"},
          {"log.dirs", "data"},
          {"offsets.topic.replication.factor", "1"},
          {"transaction.state.log.replication.factor", "1"},
          {"transaction.state.log.min.isr", "1"},
          {"share.coordinator.state.topic.replication.factor", "1"},
          {"share.coordinator.state.topic.min.isr", "1"}};
}

std::string NodeProperties::text(std::string_view name) const {
  if (auto found = values_.find(name); found != values_.end()) return found->second;
  const Definition* definition = find_definition(Scope::kBroker, name);
  return definition && definition->default_value ? definition->default_value : "";
}

int64_t NodeProperties::number(std::string_view name) const { return to_number(text(name)); }
double NodeProperties::real(std::string_view name) const { return to_real(text(name)); }
bool NodeProperties::flag(std::string_view name) const { return is_true(text(name)); }
std::vector<std::string> NodeProperties::list(std::string_view name) const {
  return split_list(text(name));
}

NodeProperties NodeProperties::with_dynamic(const Values& of_cluster,
                                            const Values& of_broker) const {
  NodeProperties result = *this;
  for (const Values* layer : {&of_cluster, &of_broker})
    for (const auto& [name, value] : *layer) {
      const Definition* definition = find_definition(Scope::kBroker, name);
      if (definition && !value_problem(*definition, value)) result.values_[name] = value;
    }
  return result;
}

namespace {

// What may be said of one listener alone, and is acted on (KIP-612).
bool is_of_listener(std::string_view name) {
  return name.starts_with("listener.name.") && name.ends_with(".max.connection.creation.rate");
}

}  // namespace

std::vector<std::string> NodeProperties::unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : values_)
    if (!find_definition(Scope::kBroker, name) && !is_of_listener(name)) names.push_back(name);
  return names;
}

std::vector<std::string> NodeProperties::without_effect() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : values_)
    if (const Definition* known = find_definition(Scope::kBroker, name);
        known && !known->takes_effect)
      names.push_back(name);
  return names;
}

std::string NodeProperties::topic_default(const Definition& topic_config) const {
  for (const std::string& name : split_list(topic_config.broker_configs)) {
    auto found = values_.find(name);
    if (found == values_.end()) continue;
    const int64_t unit = unit_of(name);
    if (unit == 1) return found->second;
    const int64_t value = to_number(found->second);
    return std::to_string(value < 0 ? value : value * unit);
  }
  return topic_config.default_value ? topic_config.default_value : "";
}

std::string TopicConfig::text(std::string_view name) const {
  if (auto found = overrides_->find(name); found != overrides_->end()) return found->second;
  const Definition* definition = find_definition(Scope::kTopic, name);
  ASSERT(definition != nullptr, "no topic config {}", name);
  return node_->topic_default(*definition);
}

int64_t TopicConfig::number(std::string_view name) const { return to_number(text(name)); }
double TopicConfig::real(std::string_view name) const { return to_real(text(name)); }

}  // namespace millrace::config
