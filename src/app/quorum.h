// What a broker says of the controllers' quorum, as all commands about it need it.
// Not here: how it is shown (app/cluster_health), changing who votes (app/cluster_voters).
#pragma once

#include "app/session.h"

namespace millrace::app {

struct Quorum {
  wire::describe_quorum_response::PartitionData partition;
  std::vector<wire::describe_quorum_response::Node> nodes;  // where the voters are

  bool has_voter(int32_t id) const;
};

// A failure says that no controller is active, if that is why there is no answer.
Outcome<Quorum> describe_quorum(Session& session);

}  // namespace millrace::app
