// The state of each role that a replica can have; epoch, leader and vote are beside it
// (raft/machine).
// Not here: what a role does.
#pragma once

#include <set>

#include "base/time.h"
#include "raft/types.h"

namespace millrace::raft {

struct Unattached {
  Instant election_due;  // an observer stands in no election and just waits again
};
struct Prospective {
  std::map<NodeId, bool> votes;
  Instant due;
};
struct Candidate {
  std::map<NodeId, bool> votes;
  Instant due;
};
struct Follower {
  Instant fetch_due;
  bool has_fetched = false;
  Offset leaders_high_watermark{0};
};
struct Resigned {
  Instant due;
  std::vector<ReplicaKey> preferred;
  std::set<NodeId> to_tell;
};
// How far another replica is, as its requests say.
struct Progress {
  std::optional<Offset> end;
  std::optional<Instant> last_fetch;
  std::optional<Instant> last_caught_up;
  std::optional<Instant> last_told;  // by BeginQuorumEpoch
};
struct Leader {
  Offset epoch_start;
  Instant since;
  std::map<ReplicaKey, Progress> replicas;
  bool has_committed = false;  // a record of its own epoch
  std::optional<Offset> pending_voters;
  VoterSet told;  // at kraft.version 0: the voters; with a directory, as they say of themselves
};

}  // namespace millrace::raft
