// The group coordinator of one partition of __consumer_offsets: classic groups and committed
// offsets, as a replicated machine (machine/replicated.h) whose records are Kafka's (docs: kafka,
// __consumer_offsets). Not here: which partition a group belongs to, the log, the clock
// (node/group_host); topics' existence (TopicLookup).
//
// Replicated: offsets, and of a group its generation, protocol, leader and members with their
// assignments. Soft: sessions,
//   joins and syncs under way, members that were given an id and have not come back with it. A
//   replay gives the first; on_loaded() starts sessions anew for the members it gave.
// Steps: every function that may change something returns a Step: records to append, and replies
// that leave when those (and
//   all before them) are durable. A reply may answer a request of an earlier step.
// Threads: none; the host serialises.
// Invariants. By construction: GR1 a generation never shrinks while the group lives; GR2 in Stable
// every member has the assignment of this generation. Asserted by check_invariants(): GR3 the
// leader is a member; GR4 an instance id belongs to one member.
// KIP-62, KIP-134, KIP-345, KIP-394, KIP-447, KIP-800, KIP-814.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "machine/replicated.h"
#include "wire/delete_groups.h"
#include "wire/describe_groups.h"
#include "wire/errors.h"
#include "wire/heartbeat.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/list_groups.h"
#include "wire/offset_commit.h"
#include "wire/offset_delete.h"
#include "wire/offset_fetch.h"
#include "wire/sync_group.h"

namespace millrace::group {

struct GroupConfig {
  Duration min_session{seconds(6)};
  Duration max_session{seconds(1800)};
  Duration initial_rebalance_delay{seconds(3)};
  size_t max_size = INT32_MAX;
  size_t max_offset_metadata = 4096;
  int64_t offset_retention_ms = 7 * 24 * 3'600'000LL;
  Duration offset_check_interval{seconds(600)};
};

// Who asks, when. `fresh_id` becomes the id of a member that has none.
struct Caller {
  machine::Ticket ticket{};
  int16_t version = 0;
  std::string client_id;
  std::string client_host;
  Instant now;
  TimestampMs wall;
  Uuid fresh_id;
};

using Response =
    std::variant<wire::JoinGroupResponse, wire::SyncGroupResponse, wire::HeartbeatResponse,
                 wire::LeaveGroupResponse, wire::OffsetCommitResponse, wire::OffsetDeleteResponse,
                 wire::DeleteGroupsResponse>;
using Step = machine::Decision<machine::KeyValueRecord, Response>;

// The id of a topic that has this partition; nothing: there is none.
using TopicLookup = std::function<std::optional<Uuid>(const std::string& topic, int32_t partition)>;

enum class GroupState { kEmpty, kPreparingRebalance, kCompletingRebalance, kStable };
std::string_view state_name(GroupState state);  // "Empty", "PreparingRebalance", ...

class Coordinator {
 public:
  explicit Coordinator(const GroupConfig& config) : config_(config) {}

  Step join(const wire::JoinGroupRequest& request, const Caller& caller);
  Step sync(const wire::SyncGroupRequest& request, const Caller& caller);
  Step heartbeat(const wire::HeartbeatRequest& request, const Caller& caller);
  Step leave(const wire::LeaveGroupRequest& request, const Caller& caller);
  Step commit(const wire::OffsetCommitRequest& request, const Caller& caller,
              const TopicLookup& topics);
  Step delete_group(const std::string& group_id, const Caller& caller);
  Step delete_offsets(const wire::OffsetDeleteRequest& request, const Caller& caller);
  // Sessions, rebalances and offsets whose time is over.
  Step on_tick(Instant now, TimestampMs wall);
  bool needs_ticks() const;

  // Reads.
  // Offsets that wait for the end of a transaction are UNSTABLE_OFFSET_COMMIT if stable ones are
  // asked for; otherwise what was committed before them is given.
  wire::OffsetFetchResponse::OffsetFetchResponseGroup fetch(
      const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request,
      bool require_stable = false) const;
  wire::DescribeGroupsResponse::DescribedGroup describe(const std::string& group_id,
                                                        int16_t version) const;
  std::vector<wire::ListGroupsResponse::ListedGroup> list() const;

  // Replay. Records of kinds that we do not know are passed over, as Kafka does (KIP-915).
  // Offsets in a transactional batch of `producer` count from its marker on, if it commits.
  Result<> apply(const machine::KeyValueRecord& record, ProducerId producer = kNoProducerId);
  void apply_marker(ProducerId producer, bool commit);
  void on_loaded(Instant now);
  void check_invariants() const;

 private:
  struct Waiting {
    machine::Ticket ticket{};
    int16_t version = 0;
  };
  struct Member {
    std::string id;
    std::optional<std::string> instance_id;
    std::string client_id, client_host;
    int32_t rebalance_timeout_ms = 0;
    int32_t session_timeout_ms = 0;
    std::vector<std::pair<std::string, ByteBuffer>> protocols;
    ByteBuffer assignment;
    std::optional<Waiting> joining;
    std::optional<Waiting> syncing;
    bool is_new = false;     // has not had the answer to its first join, so it knows no id
    bool owes_sync = false;  // joined this generation and has not synced
    Instant session_ends;
  };
  struct CommittedOffset {
    Offset offset;
    LeaderEpoch leader_epoch = kNoLeaderEpoch;
    std::string metadata;
    TimestampMs committed_at;
    TimestampMs expires_at = kNoTimestamp;
    uint64_t order = 0;  // of its record: of two commits the later in the log counts
  };
  struct OffsetKey {
    std::string group, topic;
    int32_t partition = 0;
    friend auto operator<=>(const OffsetKey&, const OffsetKey&) = default;
  };
  using Partitions = std::map<int32_t, CommittedOffset>;
  struct Group {
    GroupState state = GroupState::kEmpty;
    std::string id;
    std::string protocol_type;
    int32_t generation = 0;
    std::optional<std::string> protocol;
    std::optional<std::string> leader;
    std::map<std::string, Member> members;
    std::map<std::string, Instant> pending;     // ids given out, not yet joined
    Instant phase_ends = Instant::never();      // of the join or sync phase under way
    std::optional<Instant> initial_delay_ends;  // set while a new group waits for more members
    TimestampMs state_since;
    std::map<std::string, Partitions> offsets;
  };

  Step refuse_join(const Caller& caller, wire::ErrorCode code, std::string member_id = "") const;
  std::optional<wire::ErrorCode> check_join(const wire::JoinGroupRequest& request) const;
  Step join_new(Group& group, const wire::JoinGroupRequest& request, const Caller& caller);
  Step join_static_again(Group& group, Member old, const wire::JoinGroupRequest& request,
                         const Caller& caller);
  Step rejoin(Group& group, Member& member, const wire::JoinGroupRequest& request,
              const Caller& caller);
  Member& add_member(Group& group, const std::string& id, const wire::JoinGroupRequest& request,
                     const Caller& caller);
  wire::JoinGroupResponse join_response(const Group& group, const Member& member) const;
  bool has_common_protocol(const Group& group, const wire::JoinGroupRequest& request) const;

  void prepare_rebalance(Group& group, Instant now, Step& step);
  void complete_join_when_all_are_there(Group& group, const Caller& caller, Step& step);
  void complete_join(Group& group, Instant now, TimestampMs wall, Step& step);
  void remove_member(Group& group, const std::string& id, Step& step);
  void after_removal(Group& group, Instant now, TimestampMs wall, Step& step);
  void finish_sync(Group& group, const wire::SyncGroupRequest& request, const Caller& caller,
                   Step& step);
  std::string vote(const Group& group) const;
  Duration longest_rebalance(const Group& group) const;

  std::optional<wire::ErrorCode> check_member(const Group& group, const std::string& member_id,
                                              const std::optional<std::string>& instance_id) const;
  std::optional<wire::ErrorCode> check_commit(const wire::OffsetCommitRequest& request,
                                              const Caller& caller);
  std::string leave_one(Group& group, const wire::LeaveGroupRequest::MemberIdentity& who,
                        wire::ErrorCode& code, Step& step);
  // The topics that active consumers read; nothing: not consumers, or not to be read.
  std::optional<std::set<std::string>> subscribed_topics(const Group& group) const;
  void expire_offsets(Group& group, TimestampMs wall, Step& step);
  machine::KeyValueRecord group_record(const Group& group, TimestampMs wall) const;
  Group* find(const std::string& id);
  const Group* find(const std::string& id) const;
  bool is_pending(const OffsetKey& key) const;
  Result<> apply_offset(const machine::KeyValueRecord& record, ProducerId producer);
  void put(const OffsetKey& key, CommittedOffset offset);
  Result<> apply_group(const std::string& id, const std::optional<ByteBuffer>& value);
  void tick_group(Group& group, Instant now, TimestampMs wall, Step& step);

  GroupConfig config_;
  std::map<std::string, Group> groups_;
  bool loaded_ = false;
  Instant next_expiry_;
  std::map<ProducerId, std::map<OffsetKey, CommittedOffset>> transactions_;  // undecided
  uint64_t applied_ = 0;
};

}  // namespace millrace::group
