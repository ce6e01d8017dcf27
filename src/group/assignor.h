// The assignors that Kafka 4.3 has on the server (KIP-848): who gets which partition. Pure
// functions of members, what they had and what there is. Internal to group/.
// Not here: who owns what in the meantime (group/reconciler.h).
//
// uniform  as many partitions for each, moving as few as possible; two algorithms, as all members
//          subscribe to the same topics or not.
// range    of each topic a range of partitions for each subscriber, so that topics with as many
//          partitions are dealt out alike. Members with instance ids come first, by those.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "group/consumer_member.h"

namespace millrace::group {

using TopicIds = std::set<Uuid>;

struct AssignedMember {
  std::string id;
  std::optional<std::string> instance_id;
  std::shared_ptr<const TopicIds> topics;  // that it subscribes to and that exist
  const TargetAssignment* before = nullptr;
};

struct AssignmentSpec {
  std::vector<AssignedMember> members;  // ascending in their ids
  bool is_homogeneous = true;           // all subscribe to the same topics
  std::map<Uuid, int32_t> partitions;   // of each of their topics
};

// In the order of the members.
using Assignments = std::vector<TargetAssignment>;
using Assignor = Assignments (*)(const AssignmentSpec& spec);

Assignments assign_uniformly(const AssignmentSpec& spec);
Assignments assign_ranges(const AssignmentSpec& spec);
// The second half of assign_uniformly: members subscribe to different topics.
Assignments assign_heterogeneously(const AssignmentSpec& spec);

// null: there is none of this name.
Assignor find_assignor(std::string_view name);

// When a group's last target was made, and how soon another may follow (KIP-1263).
struct AssignmentPace {
  TimestampMs last{0};  // 0: none was made
  milliseconds interval{};
  bool is_due(TimestampMs now) const;
};

}  // namespace millrace::group
