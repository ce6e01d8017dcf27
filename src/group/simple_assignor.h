// The assignor of share groups (KIP-932), `simple`: a partition may have several members. A pure
// function of members, what they had and what there is. Internal to group/.
// Not here: how a member comes to its target (group/share_protocol.h: at once).
//
// Each partition gets as many members as it takes that every member has one (one at least), each
// member as many partitions as that makes, rounded so that the sum is right. Who had a partition
// keeps it within these bounds. With members that subscribe to different topics this is done topic
// by topic. Kafka's rules; where its maps have no order of their own, members, topics and
// partitions ascend here. What is left of topics that nobody subscribes to any more stays in the
// targets of members that subscribe to different ones, as there.
#pragma once

#include <map>
#include <vector>

#include "group/assignor.h"

namespace millrace::group {

struct SimpleAssignmentSpec {
  std::vector<AssignedMember> members;  // ascending in their ids
  bool is_homogeneous = true;           // all subscribe to the same topics
  // Of each topic what may be assigned, ascending; none: no such topic here.
  std::map<Uuid, std::vector<int32_t>> assignable;
};

Assignments assign_simply(const SimpleAssignmentSpec& spec);

}  // namespace millrace::group
