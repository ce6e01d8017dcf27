// Kafka's server.properties: Java's properties format, and the values of a node by name with
// Kafka's defaults.
// Not here: reading the file (app), what the values mean (node, server).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "config/definition.h"

namespace millrace::config {

// Comments (#, !), `=`, `:` or blanks as separator, continued lines, escapes including \uXXXX. A
// later line wins.
Values parse_properties(std::string_view text);

// The configs among environment variables, "NAME=value" each, as images of Kafka take them:
// KAFKA_LOG_DIRS is log.dirs, `__` an underscore, `___` a hyphen. Variables of Kafka's scripts
// (KAFKA_OPTS, KAFKA_HEAP_OPTS, ...) are none.
Values parse_environment(const std::vector<std::string>& variables);

// One listener of `listeners` or `advertised.listeners`.
struct ListenerAddress {
  std::string name;
  std::string host;
  uint16_t port = 0;
};
Result<std::vector<ListenerAddress>> parse_listeners(std::string_view name, std::string_view text);

// The configuration of a node: what its file says over Kafka's defaults, checked as a whole
// (config/node_rules). Immutable.
class NodeProperties {
 public:
  // kInvalid names the config, its value and what is allowed. Unknown names are kept; unknown()
  // lists them.
  static Result<NodeProperties> of(Values values);
  // With no file at all: broker and controller in one process, on loopback, data under ./data.
  static Values embedded_default();

  std::string text(std::string_view name) const;  // "" when there is neither value nor default
  int64_t number(std::string_view name) const;
  double real(std::string_view name) const;
  bool flag(std::string_view name) const;
  std::vector<std::string> list(std::string_view name) const;
  bool is_set(std::string_view name) const { return values_.contains(name); }
  const Values& values() const { return values_; }
  std::vector<std::string> unknown() const;
  // Names that are set, that Kafka has, and that nothing here acts on.
  std::vector<std::string> without_effect() const;
  // These, with what was changed while the cluster runs: the broker's own over the cluster's.
  // Values that are wrong (written by another version, say) are left out.
  NodeProperties with_dynamic(const Values& of_cluster, const Values& of_broker) const;

  // The value of a topic config for topics that do not set it: the broker config behind it, else
  // Kafka's default.
  std::string topic_default(const Definition& topic_config) const;

 private:
  explicit NodeProperties(Values values) : values_(std::move(values)) {}
  Values values_;
};

// A topic's config: its own overrides over the node's defaults.
class TopicConfig {
 public:
  TopicConfig(const NodeProperties& node, const Values& overrides)
      : node_(&node), overrides_(&overrides) {}
  std::string text(std::string_view name) const;
  int64_t number(std::string_view name) const;
  double real(std::string_view name) const;
  bool flag(std::string_view name) const { return is_true(text(name)); }

 private:
  const NodeProperties* node_;  // both outlive this
  const Values* overrides_;
};

}  // namespace millrace::config
