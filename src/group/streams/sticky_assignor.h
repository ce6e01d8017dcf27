// Which member of a streams group gets which task: Kafka's assignor `sticky`. Tasks stay
// where they were, or go to where a standby of them is, as long as no member gets more than its
// share; the rest goes to the process with the least load for the members that it has, there to the
// member with the least. A standby task goes to another process than the active one.
// Not here: warm-up tasks, of which Apache Kafka 4.3 assigns none.
//
// A function of its input alone: what Kafka leaves to the order of a hash table goes by ids here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "group/streams/tasks.h"

namespace millrace::group::streams {

struct MemberSpec {
  std::string id;
  std::string process_id;
  Assignment before;  // its last target
};

struct SubtopologySpec {
  std::string id;
  int32_t tasks = 0;
  bool is_stateful = false;
};

struct AssignmentSpec {
  std::vector<MemberSpec> members;             // one at least, ids ascend
  std::vector<SubtopologySpec> subtopologies;  // ids ascend
  int32_t standby_replicas = 0;
};

// One a member, in their order.
std::vector<Assignment> assign_sticky(const AssignmentSpec& spec);

}  // namespace millrace::group::streams
