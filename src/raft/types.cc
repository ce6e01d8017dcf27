#include "raft/types.h"

#include <algorithm>

namespace millrace::raft {

bool VoterSet::contains(const ReplicaKey& key) const {
  auto found = voters.find(key.id);
  return found != voters.end() &&
         (found->second.directory_id.is_zero() || found->second.directory_id == key.directory_id);
}

bool VoterSet::overlaps(const VoterSet& next) const {
  size_t added = 0, removed = 0;
  for (const auto& [id, voter] : next.voters)
    if (!contains(ReplicaKey{id, voter.directory_id})) ++added;
  for (const auto& [id, voter] : voters)
    if (!next.contains(ReplicaKey{id, voter.directory_id})) ++removed;
  return added + removed <= 1;
}

}  // namespace millrace::raft
