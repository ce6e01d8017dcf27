// A member of a consumer group (KIP-848) and what it may be assigned: the values of its records,
// with partitions as maps. Internal to group/.
// Not here: the group (group/consumer_group.h), how an assignment changes (group/reconciler.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/uuid.h"
#include "wire/group_records.h"

namespace millrace::group {

// Partitions by topic id; indexes ascend, no topic is without any.
using TargetAssignment = std::map<Uuid, std::vector<int32_t>>;
// With the epoch at which each was assigned.
using OwnedPartitions = std::map<Uuid, std::map<int32_t, int32_t>>;

// The numbers are those of the record.
enum class MemberState : int8_t {
  kStable = 0,
  kUnrevokedPartitions = 1,   // has to give some up before it may go on
  kUnreleasedPartitions = 2,  // waits for some that others have not given up
  kUnknown = 127              // of a later version
};
std::string_view state_name(MemberState state);
MemberState member_state_of(int8_t value);

// Epochs that a member says, and has in its records.
inline constexpr int32_t kJoiningEpoch = 0;
inline constexpr int32_t kLeavingEpoch = -1;
inline constexpr int32_t kLeavingStaticEpoch = -2;  // it will come back

// What a member said of itself. Topic names ascend; regex and assignor as optional as there.
using MemberMetadata = wire::ConsumerGroupMemberMetadataValue;
using ClassicMetadata = MemberMetadata::ClassicMemberMetadata;
MemberMetadata new_member_metadata();

struct CurrentAssignment {
  int32_t member_epoch = 0;
  int32_t previous_epoch = -1;
  MemberState state = MemberState::kStable;
  OwnedPartitions assigned;
  OwnedPartitions revoking;  // the member owns them until it says that it does not

  bool is_reconciled_to(int32_t epoch) const {
    return state == MemberState::kStable && member_epoch == epoch;
  }
  void advance_to(int32_t epoch) { previous_epoch = std::exchange(member_epoch, epoch); }
  // The epoch at which the partition was given to the member, if it has it.
  std::optional<int32_t> epoch_of(const Uuid& topic_id, int32_t partition) const;
  friend bool operator==(const CurrentAssignment&, const CurrentAssignment&) = default;
};

struct ConsumerMember {
  std::string id;
  MemberMetadata metadata = new_member_metadata();
  CurrentAssignment current;

  bool uses_classic() const { return metadata.classic_member_metadata.has_value(); }
  // Empty: none.
  std::string_view regex() const;
};

CurrentAssignment current_of(const wire::ConsumerGroupCurrentMemberAssignmentValue& value);
wire::ConsumerGroupCurrentMemberAssignmentValue to_record(const CurrentAssignment& current);
TargetAssignment target_of(const wire::ConsumerGroupTargetAssignmentMemberValue& value);
wire::ConsumerGroupTargetAssignmentMemberValue to_record(const TargetAssignment& target);

bool contains(const OwnedPartitions& owned, const Uuid& topic_id, int32_t partition);

}  // namespace millrace::group
