// What the configs of one resource must satisfy together, beyond each one's own type and bounds
// (config/definition), in Kafka's words.
// Not here: whether the resource exists (controller), the rules of a node's own file
// (config/properties).
#pragma once

#include <optional>
#include <string>

#include "config/properties.h"

namespace millrace::config {

struct Problem {
  bool is_of_request = false;  // INVALID_REQUEST, not INVALID_CONFIG, as Kafka tells them apart
  std::string message;
};

// `configs`: all that the resource would have. `node`: what gives the defaults and bounds.
std::optional<Problem> topic_problem(const Values& configs, const NodeProperties& node);
std::optional<Problem> group_problem(const Values& configs, const NodeProperties& node);
std::optional<Problem> client_metrics_problem(const Values& configs);
// Of a change while the broker runs: of one broker, or the default of all.
enum class BrokerLevel { kOneBroker, kCluster };
std::optional<Problem> dynamic_broker_problem(const Values& configs, BrokerLevel level);

// max.connections.per.ip.overrides: "127.0.0.1:100,host:5". Nothing when it is not such a list.
std::optional<std::map<std::string, size_t>> parse_connection_overrides(std::string_view text);

}  // namespace millrace::config
