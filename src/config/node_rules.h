// What a node's configs must satisfy together before it starts: roles, listeners, quorum, and pairs
// of limits, as Apache Kafka checks them at its start. Each problem names the configs, their values
// and what is allowed.
// Not here: one value by itself (config/definition), what changes while the broker runs
// (config/rules).
#pragma once

#include "config/properties.h"

namespace millrace::config {

// "broker" or "controller", of process.roles.
bool has_role(const NodeProperties& node, std::string_view role);

Result<> check_node(const NodeProperties& node);

}  // namespace millrace::config
