// Topics that the broker itself creates: for a client that asked for one that is missing, and
// Kafka's internal ones.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "node/internal_topics.h"
#include "server/call.h"

namespace millrace::server {

using node::is_internal_topic;

// Has those created that are missing, internal ones with their own partition counts and configs, in
// the name of who made `call`; `then` answers it when they are published on the controller, or
// could not be made: the log says why. This broker may hear of them a moment later.
void create_topics(Call call, const std::vector<std::string>& names,
                   std::move_only_function<void(Call&)> then);

}  // namespace millrace::server
