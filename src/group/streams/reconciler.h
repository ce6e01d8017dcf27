// How a member of a streams group comes from the tasks that it has to those that it shall have
// (KIP-1071): first it gives up what is not its any more, and says so; then it goes to the epoch of
// the target and gets what is free. An active task is free when no member has it as one, nor its
// own process in any kind; a standby or warm-up task when its own process has it in no kind.
// Not here: what it shall have (sticky_assignor.h), how long it may take (group/streams_protocol).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "group/streams/tasks.h"

namespace millrace::group::streams {

// The numbers are those of the record.
enum class MemberState : int8_t {
  kStable = 1,
  kUnrevokedTasks = 2,   // has to give some up before it may go on
  kUnreleasedTasks = 3,  // waits for some that are not free
  kUnknown = 127         // of a later version
};
MemberState member_state_of(int8_t value);

struct CurrentTasks {
  int32_t member_epoch = 0;
  int32_t previous_epoch = 0;
  MemberState state = MemberState::kStable;
  OwnedTasks assigned;
  OwnedTasks revoking;  // the member has them until it says that it does not

  bool is_reconciled_to(int32_t epoch) const {
    return state == MemberState::kStable && member_epoch == epoch;
  }
  friend bool operator==(const CurrentTasks&, const CurrentTasks&) = default;
};

struct Reconciliation {
  const CurrentTasks& current;
  const std::string& process_id;
  const TaskOwners& owners;  // of the group, this member's tasks among them
  int32_t target_epoch = 0;
  const Assignment& target;
  const std::optional<Assignment>& owned;  // nothing: the request does not say
};

// What the member has from now on; nothing: its state is not known, it has to join again.
std::optional<CurrentTasks> reconcile(const Reconciliation& given);

}  // namespace millrace::group::streams
