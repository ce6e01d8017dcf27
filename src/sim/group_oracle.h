// What the members of one consumer group were told, and what must therefore hold. A generation
// counts as known once a member has its assignment, which rests on a record in the log.
//
//   GR1  a partition has one owner in a generation
//   GR2  one assignment for each generation; generations do not go back
//   GR3  only members of the newest known generation change offsets
//   GR4  a fetch of offsets that begins after a commit was answered gives that commit or a later
//        one (GR7: whatever the clock does, for the group has members; see sim/expiry for the rest)
//   GR6  a static member that comes back within its session causes no rebalance (sim/group_member)
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/world.h"

namespace millrace::sim {

using Assignment = std::map<std::string, std::set<int32_t>>;  // partitions by instance or member id

class GroupOracle {
 public:
  explicit GroupOracle(World& world) : world_(&world) {}

  int32_t newest_generation() const { return newest_; }
  int64_t committed(int32_t partition) const;

  // A member was told that it belongs to the group. When none was for a session's time, the group
  // may have been empty, and a clock that stepped may have let its offsets expire.
  void has_member(Duration session);

  struct Generations {
    int32_t told = 0;    // by the answer
    int32_t newest = 0;  // newest_generation() when the request was sent
  };
  void joined(const std::string& member, Generations generations);
  void leader_assigns(int32_t generation, const Assignment& assignment);
  void was_assigned(const std::string& member, int32_t generation,
                    const std::set<int32_t>& partitions);
  void commit_answered(int32_t partition, int64_t offset, Generations generations);
  struct FetchedOffset {
    int64_t told = -1;       // by the answer
    int64_t committed = -1;  // committed(partition) when the request was sent
  };
  void fetched(int32_t partition, FetchedOffset offset);

 private:
  World* world_;
  int32_t newest_ = 0;
  Instant last_seen_;
  std::map<int32_t, std::vector<Assignment>> proposals_;
  // Those that members may have been given: an assignment that could not be written is followed by
  // another one of the same generation, and one without partitions tells nobody which it was.
  std::map<int32_t, std::vector<Assignment>> assignments_;
  std::map<int32_t, int64_t> committed_;
};

}  // namespace millrace::sim
