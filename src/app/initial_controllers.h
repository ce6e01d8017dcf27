// The text in which the first voters of a quorum are told: "id@host:port:directory-id", several
// between commas (KIP-853).
// Not here: controller.quorum.voters, which has no directory ids (config/node_rules).
#pragma once

#include <string>

#include "base/error.h"
#include "raft/types.h"

namespace millrace::app {

// Each voter with one endpoint, of `listener`. kInvalid in the words of Kafka's script.
Result<raft::VoterSet> parse_initial_controllers(const std::string& text,
                                                 const std::string& listener);

}  // namespace millrace::app
