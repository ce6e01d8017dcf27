// One consumer group (KIP-848): its replicated state, built of its records, and what can be
// computed from it. Internal to group/.
// Not here: who asks for what (group/consumer_protocol.h), timers and what else a restart loses
// (group/state.h), who gets which partition (group/assignor.h).
//
// Apart from tombstones a record changes one thing only, so that the records of a group may come in
// any order; a log that was compacted has them so.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "group/consumer_member.h"
#include "machine/replicated.h"

namespace millrace::group {

enum class ConsumerState : uint8_t { kEmpty, kAssigning, kReconciling, kStable };
std::string_view state_name(ConsumerState state);  // as ListGroups and ConsumerGroupDescribe say it

// The topics that a regular expression was found to name, when, and in which metadata.
struct ResolvedRegex {
  std::set<std::string, std::less<>> topics;
  int64_t version = -1;
  TimestampMs timestamp = kNoTimestamp;
  friend bool operator==(const ResolvedRegex&, const ResolvedRegex&) = default;
};

// Who wants a topic: so many members by its name, so many regular expressions.
struct SubscriptionCount {
  int32_t by_name = 0;
  int32_t by_regex = 0;
  bool is_zero() const { return by_name == 0 && by_regex == 0; }
  friend bool operator==(const SubscriptionCount&, const SubscriptionCount&) = default;
};
using SubscribedTopics = std::map<std::string, SubscriptionCount, std::less<>>;
using Counts = std::map<std::string, int32_t, std::less<>>;  // none is zero
void count(Counts& counts, std::string_view name, int32_t by);
// A member's names are added to those that the group subscribes to (by = 1), or taken from them.
void count_names(SubscribedTopics& topics, const MemberMetadata& metadata, int32_t by);
void count_regex(SubscribedTopics& topics, const ResolvedRegex& regex, int32_t by);

class ConsumerGroup {
 public:
  using Members = std::map<std::string, ConsumerMember, std::less<>>;
  using Resolved = std::map<std::string, ResolvedRegex, std::less<>>;

  explicit ConsumerGroup(std::string id) : id_(std::move(id)) {}

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
  ConsumerState state() const;
  const ConsumerMember* find(std::string_view member_id) const;
  const ConsumerMember* static_member(std::string_view instance_id) const;
  const TargetAssignment& target(std::string_view member_id) const;
  const std::map<std::string, TargetAssignment, std::less<>>& targets() const { return targets_; }
  // Whether a member has the partition, or still has to give it up.
  bool is_owned(const Uuid& topic_id, int32_t partition) const;
  // Whether a partition of its target is still another's.
  bool waits_for_release(const ConsumerMember& member) const;

  const SubscribedTopics& subscribed_topics() const { return subscribed_topics_; }
  const Counts& regexes() const { return regexes_; }  // members by what they subscribe with
  int32_t subscribers_of(std::string_view regex) const;
  const Resolved& resolved() const { return resolved_; }
  const ResolvedRegex* resolved(std::string_view regex) const;
  const Counts& assignors() const { return assignors_; }  // members by what they prefer
  int32_t classic_members() const { return classic_members_; }
  // Whether a classic member with these protocols has one in common with the others.
  bool supports_classic(std::string_view protocol_type,
                        const std::vector<std::string>& protocols) const;
  // A record of partitions' racks, of which Kafka 4.1 and later know only that it has to go.
  bool has_partition_metadata() const { return has_partition_metadata_; }

  // kCorrupt, kTruncated, kUnsupported: a record that cannot be read; nothing changed. False: the
  // group's own tombstone, after which nothing is left of it.
  Result<bool> apply(const machine::KeyValueRecord& record);
  // Tombstones of everything, in the order in which Kafka writes them. With `replaced`, records of
  // the member `by` were written in place of that one's.
  struct Replacement {
    std::string_view replaced;
    std::string_view by;
  };
  std::vector<machine::KeyValueRecord> tombstones(
      const std::optional<Replacement>& replacement = std::nullopt) const;
  // Asserts GC9 (group/coordinator.h).
  void check_invariants() const;

 private:
  Result<> apply_member(const machine::KeyValueRecord& record);
  Result<> apply_current(const machine::KeyValueRecord& record);
  Result<> apply_target(const machine::KeyValueRecord& record);
  Result<> apply_regex(const machine::KeyValueRecord& record);
  Result<> apply_assignment_epoch(const machine::KeyValueRecord& record);
  Result<> apply_epoch(const machine::KeyValueRecord& record);
  ConsumerMember& member(const std::string& member_id);
  void count_metadata(const ConsumerMember& member, int32_t by);
  void count_owned(const OwnedPartitions& owned, int32_t by);

  std::string id_;
  // Kafka's groups begin so: the first member makes it epoch 2.
  int32_t epoch_ = 1;
  int32_t assignment_epoch_ = 1;
  TimestampMs assignment_timestamp_{0};
  int64_t metadata_hash_ = 0;
  bool has_partition_metadata_ = false;
  Members members_;
  std::map<std::string, TargetAssignment, std::less<>> targets_;
  Resolved resolved_;

  // Made of those.
  std::map<std::string, std::string, std::less<>> static_members_;  // instance id -> member id
  SubscribedTopics subscribed_topics_;
  Counts regexes_;
  Counts assignors_;
  Counts classic_protocols_;
  int32_t classic_members_ = 0;
  std::map<Uuid, std::map<int32_t, int32_t>> owners_;  // how many a partition has
};

// Whether a record type is one of a consumer group's.
bool is_consumer_group_record(int16_t record_type);

}  // namespace millrace::group
