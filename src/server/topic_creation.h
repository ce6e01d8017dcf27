// Topics that the broker itself creates: for a client that asked for one that is missing, and
// Kafka's internal ones.
#pragma once

#include <string>
#include <vector>

#include "node/node.h"

namespace millrace::server {

bool is_internal_topic(std::string_view name);

// Creates those that are missing, internal ones with their own partition counts and configs; `done`
// runs on `shard` when they are published (or could not be made: the log says why).
void create_topics(node::Node& node, env::Shard& shard, const std::vector<std::string>& names,
                   std::move_only_function<void(Result<>)> done);

}  // namespace millrace::server
