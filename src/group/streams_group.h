// One streams group (KIP-1071): its replicated state, built of its records, and what can be
// computed from it. Internal to group/.
// Not here: who asks for what (group/streams_protocol.h), timers and what else a restart loses
// (group/state.h), topologies and who gets which task (group/streams/).
//
// Apart from tombstones a record changes one thing only, so that the records of a group may come in
// any order; a log that was compacted has them so.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "group/consumer_member.h"
#include "group/streams/reconciler.h"
#include "group/streams/topology.h"
#include "machine/replicated.h"

namespace millrace::group {

// What a member said of itself. Keys of client tags ascend.
using StreamsMemberMetadata = wire::StreamsGroupMemberMetadataValue;
StreamsMemberMetadata new_streams_member_metadata();

struct StreamsMember {
  std::string id;
  StreamsMemberMetadata metadata = new_streams_member_metadata();
  streams::CurrentTasks current;
};

enum class StreamsState : uint8_t { kEmpty, kNotReady, kAssigning, kReconciling, kStable };
std::string_view state_name(StreamsState state);  // as ListGroups and StreamsGroupDescribe say it

using AssignmentConfigs = std::map<std::string, std::string>;

class StreamsGroup {
 public:
  using Members = std::map<std::string, StreamsMember, std::less<>>;
  using Targets = std::map<std::string, streams::Assignment, std::less<>>;

  explicit StreamsGroup(std::string id) : id_(std::move(id)) {}

  const std::string& id() const { return id_; }
  int32_t epoch() const { return epoch_; }
  // Wraps where Java's int does; a log may hold any number.
  int32_t next_epoch() const { return static_cast<int32_t>(static_cast<uint32_t>(epoch_) + 1); }
  int64_t metadata_hash() const { return metadata_hash_; }
  // Of the topology whose topics were all found; another than its own: tasks cannot run.
  int32_t validated_topology_epoch() const { return validated_topology_epoch_; }
  // That the epoch was raised with.
  const AssignmentConfigs& assignment_configs() const { return assignment_configs_; }
  // Of the target assignment: below epoch(), a new one is due.
  int32_t assignment_epoch() const { return assignment_epoch_; }
  TimestampMs assignment_timestamp() const { return assignment_timestamp_; }
  // Null: no member has told it yet.
  const streams::Topology* topology() const { return topology_ ? &*topology_ : nullptr; }
  // False: nothing can be made of it. Apache Kafka does not write such a one.
  bool is_topology_well_formed() const { return is_topology_well_formed_; }
  // The id of the subtopology that reads the topic; null: none.
  const std::string* reader_of(std::string_view topic) const;
  // Topics that have to be there; none without a topology.
  const std::set<std::string, std::less<>>& required_topics() const { return required_topics_; }

  const Members& members() const { return members_; }
  bool is_empty() const { return members_.empty(); }
  StreamsState state() const;
  const StreamsMember* find(std::string_view member_id) const;
  const streams::Assignment& target(std::string_view member_id) const;
  const Targets& targets() const { return targets_; }
  // Of what members have, or still have to give up.
  const streams::TaskOwners& owners() const { return owners_; }
  // Whether members read the topic.
  bool is_subscribed_to(std::string_view topic) const;

  // kCorrupt, kTruncated, kUnsupported: a record that cannot be read; nothing changed. False: the
  // group's own tombstone, after which nothing is left of it.
  Result<bool> apply(const machine::KeyValueRecord& record);
  // Tombstones of everything, in the order in which Kafka writes them.
  std::vector<machine::KeyValueRecord> tombstones() const;
  // Asserts GC9 (group/coordinator.h).
  void check_invariants() const;

 private:
  Result<> apply_epoch(const machine::KeyValueRecord& record);
  Result<> apply_member(const machine::KeyValueRecord& record);
  Result<> apply_current(const machine::KeyValueRecord& record);
  Result<> apply_target(const machine::KeyValueRecord& record);
  Result<> apply_assignment_epoch(const machine::KeyValueRecord& record);
  Result<> apply_topology(const machine::KeyValueRecord& record);
  StreamsMember& member(const std::string& member_id);
  void add_tasks(const StreamsMember& member);
  void remove_tasks(const StreamsMember& member);

  std::string id_;
  // Kafka's groups begin so: the first member makes it epoch 2.
  int32_t epoch_ = 1;
  int32_t assignment_epoch_ = 1;
  TimestampMs assignment_timestamp_{0};
  int64_t metadata_hash_ = 0;
  int32_t validated_topology_epoch_ = 0;
  AssignmentConfigs assignment_configs_;
  std::optional<streams::Topology> topology_;
  Members members_;
  Targets targets_;

  // Made of those.
  bool is_topology_well_formed_ = false;
  std::set<std::string, std::less<>> required_topics_;
  streams::Readers readers_;
  streams::TaskOwners owners_;
};

// Whether a record type is one of a streams group's.
bool is_streams_group_record(int16_t record_type);

}  // namespace millrace::group
