// One share group (KIP-932): its replicated state, built of its records, and what can be computed
// from it. Internal to group/.
// Not here: who asks for what (group/share_protocol.h), timers and what else a restart loses
// (group/state.h), who gets which partition (group/simple_assignor.h), what of a partition was
// delivered (the share coordinator).
//
// Apart from tombstones a record changes one thing only, so that the records of a group may come in
// any order; a log that was compacted has them so.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "group/consumer_group.h"
#include "machine/replicated.h"

namespace millrace::group {

// What a member said of itself. Topic names ascend.
using ShareMemberMetadata = wire::ShareGroupMemberMetadataValue;
ShareMemberMetadata new_share_member_metadata();

// It has what it is assigned at once: other members may have it too, so that nothing has to be
// given up before.
struct ShareAssignment {
  int32_t member_epoch = 0;
  int32_t previous_epoch = -1;
  MemberState state = MemberState::kStable;
  TargetAssignment assigned;

  bool is_reconciled_to(int32_t epoch) const {
    return state == MemberState::kStable && member_epoch == epoch;
  }
  friend bool operator==(const ShareAssignment&, const ShareAssignment&) = default;
};

struct ShareMember {
  std::string id;
  ShareMemberMetadata metadata = new_share_member_metadata();
  ShareAssignment current;
};

struct ShareTopic {
  std::string name;
  std::set<int32_t> partitions;
  friend bool operator==(const ShareTopic&, const ShareTopic&) = default;
};
using ShareTopics = std::map<Uuid, ShareTopic>;
// Adds `more` to what is there, under the names that it has.
void unite(ShareTopics& topics, const ShareTopics& more);
void subtract(ShareTopics& topics, const ShareTopics& less);

// How far the share coordinators are with the partitions of the group. One that was initialised
// before and is altered now is in both of the first.
struct SharePartitions {
  ShareTopics initializing;
  ShareTopics initialized;
  std::map<Uuid, std::string> deleting;  // names of topics
  friend bool operator==(const SharePartitions&, const SharePartitions&) = default;
};

class ShareGroup {
 public:
  using Members = std::map<std::string, ShareMember, std::less<>>;

  explicit ShareGroup(std::string id) : id_(std::move(id)) {}

  const std::string& id() const { return id_; }
  int32_t epoch() const { return epoch_; }
  // Wraps where Java's int does; a log may hold any number.
  int32_t next_epoch() const { return static_cast<int32_t>(static_cast<uint32_t>(epoch_) + 1); }
  int64_t metadata_hash() const { return metadata_hash_; }
  // Of the target assignment: below epoch(), a new one is due.
  int32_t assignment_epoch() const { return assignment_epoch_; }
  TimestampMs assignment_timestamp() const { return assignment_timestamp_; }

  const Members& members() const { return members_; }
  bool is_empty() const { return members_.empty(); }
  std::string_view state_name() const { return is_empty() ? "Empty" : "Stable"; }
  const ShareMember* find(std::string_view member_id) const;
  const TargetAssignment& target(std::string_view member_id) const;
  const std::map<std::string, TargetAssignment, std::less<>>& targets() const { return targets_; }
  const Counts& subscribed_topics() const { return subscribed_topics_; }  // members by topic
  // Null: nothing was ever asked of the share coordinators.
  const SharePartitions* partitions() const { return partitions_ ? &*partitions_ : nullptr; }

  // kCorrupt, kTruncated, kUnsupported: a record that cannot be read; nothing changed. False: the
  // group's own tombstone, after which nothing is left of it.
  Result<bool> apply(const machine::KeyValueRecord& record);
  // Tombstones of everything, in the order in which Kafka writes them.
  std::vector<machine::KeyValueRecord> tombstones() const;
  // Asserts GC9 (group/coordinator.h).
  void check_invariants() const;

 private:
  Result<> apply_member(const machine::KeyValueRecord& record);
  Result<> apply_current(const machine::KeyValueRecord& record);
  Result<> apply_target(const machine::KeyValueRecord& record);
  Result<> apply_assignment_epoch(const machine::KeyValueRecord& record);
  Result<> apply_epoch(const machine::KeyValueRecord& record);
  Result<> apply_partitions(const machine::KeyValueRecord& record);
  ShareMember& member(const std::string& member_id);
  void count_topics(const ShareMember& member, int32_t by);

  std::string id_;
  // Kafka's groups begin so: the first member makes it epoch 2.
  int32_t epoch_ = 1;
  int32_t assignment_epoch_ = 1;
  TimestampMs assignment_timestamp_{0};
  int64_t metadata_hash_ = 0;
  Members members_;
  std::map<std::string, TargetAssignment, std::less<>> targets_;
  std::optional<SharePartitions> partitions_;

  Counts subscribed_topics_;  // made of those
};

// Whether a record type is one of a share group's.
bool is_share_group_record(int16_t record_type);

}  // namespace millrace::group
