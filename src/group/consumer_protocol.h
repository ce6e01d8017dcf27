// The consumer group protocol (KIP-848): heartbeats of its members, requests of classic members in
// the same group, the timers behind both, and groups that go from one protocol to the other.
// Internal to group/. One object serves one step.
// Not here: the group's state (group/consumer_group.h), assignors (group/assignor.h), how a member
// gets to its target (group/reconciler.h), offsets (group/offsets.h).
//
// A heartbeat: the member is found, or made -> its metadata changes -> the group's epoch rises if
// that, or the metadata of its topics, changes what is to be assigned -> with a newer epoch than
// the target assignment's a new target is made, not more often than the assignment interval says ->
// the member comes one step closer to its target. Each is a record, or none. What is refused on the
// way leaves no records.
//
// Regular expressions are resolved a moment later, in a step of their own (on_timer), as they take
// long with many topics; the group's epoch rises then.
#pragma once

#include <expected>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "group/assignor.h"
#include "group/consumer_group.h"
#include "group/consumer_records.h"
#include "group/reconciler.h"
#include "group/state.h"

namespace millrace::group {

class ConsumerProtocol {
 public:
  using Outcome = std::expected<void, Refusal>;
  using MemberIds = std::set<std::string, std::less<>>;

  explicit ConsumerProtocol(Step& step) : step_(step), state_(step.state), topics_(step.topics) {}

  void heartbeat(const wire::ConsumerGroupHeartbeatRequest& request, const RequestContext& context);

  // Of classic members, in a group that has members.
  void join(const ConsumerGroup& group, const wire::JoinGroupRequest& request,
            const RequestContext& context);
  void sync(const ConsumerGroup& group, const wire::SyncGroupRequest& request,
            const RequestContext& context);
  void classic_heartbeat(const ConsumerGroup& group, const wire::HeartbeatRequest& request,
                         const RequestContext& context);
  void leave(const ConsumerGroup& group, const wire::LeaveGroupRequest& request,
             const RequestContext& context);

  void on_loaded(const ConsumerGroup& group);
  void on_timer(const ConsumerGroup& group, const TimerOwner& owner);

 private:
  // What one request finds and changes, on its way through the steps above.
  struct Change {
    explicit Change(const RequestContext& asked) : context(asked) {}
    const RequestContext& context;
    const ConsumerGroup* group = nullptr;
    std::optional<ConsumerGroup> made;  // that is not in the state yet
    ClassicGroup* upgraded = nullptr;   // that `made` was
    ConsumerMember member;              // as it is known, or new
    MemberMetadata metadata;            // as it shall be
    CurrentAssignment current;          // the same
    const OwnedTopics* owned = nullptr;
    bool is_classic = false;
    bool may_create = false;
    bool names_changed = false;
    bool regex_changed = false;
    bool regex_resolved = false;  // and what it names is known, so that the epoch rises now
    int32_t epoch = 0;
    int32_t target_epoch = 0;
    TargetAssignment new_target;
    const TargetAssignment* target = nullptr;  // null: none
    bool subscription_changed() const { return names_changed || regex_changed; }
  };
  struct Identity {
    std::string member_id;
    int32_t epoch = -1;
    const std::optional<std::string>& instance_id;
  };
  using HeartbeatRequest = wire::ConsumerGroupHeartbeatRequest;
  using HeartbeatResponse = wire::ConsumerGroupHeartbeatResponse;
  template <class T>
  using Expected = std::expected<T, Refusal>;

  // consumer_heartbeat.cc
  Outcome check(const HeartbeatRequest& request, int16_t version) const;
  Expected<HeartbeatResponse> checked(const HeartbeatRequest& request,
                                      const RequestContext& context);
  Expected<HeartbeatResponse> beat(const HeartbeatRequest& request, const RequestContext& context);
  Outcome find_group(const std::string& group_id, Change& change);
  Outcome find_member(const Identity& identity, Change& change);
  Outcome find_static_member(const Identity& identity, Change& change);
  Outcome check_epoch(const ConsumerMember& member, int32_t epoch, const OwnedTopics* owned) const;
  void replace_member(const ConsumerMember& old, Change& change);
  Outcome check_size(const ConsumerGroup& group, std::string_view member_id) const;
  Outcome change_member(Change& change);
  Outcome reconcile_member(Change& change);
  void time_revocation(const Change& change);
  HeartbeatResponse answer(const HeartbeatRequest& request, const Change& change) const;

  // consumer_subscription.cc
  void write_metadata(Change& change);
  Outcome change_regex(Change& change);
  void request_resolution(const Change& change, bool required);
  void update_epoch(Change& change, bool bump);
  SubscribedTopics subscribed_topics(const Change& change) const;
  bool will_be_homogeneous(const Change& change) const;
  int64_t metadata_hash(const SubscribedTopics& topics);
  void resolve_regexes(const ConsumerGroup& group);

  // consumer_assignment.cc
  void update_target(Change& change);
  bool is_target_due(const ConsumerGroup& group) const;
  std::string_view preferred_assignor(const Change& change) const;
  AssignmentSpec assignment_spec(const Change& change) const;

  // consumer_leave.cc
  Expected<HeartbeatResponse> leave_group(const HeartbeatRequest& request);
  HeartbeatResponse leave_for_a_while(const ConsumerGroup& group, const ConsumerMember& member);
  void fence(const ConsumerGroup& group, const MemberIds& members);
  void fence(const ConsumerGroup& group, const std::string& member_id, std::string_view reason);
  void remove_members(const ConsumerGroup& group, const MemberIds& members);
  void write_removal(const ConsumerRecords& write, const std::string& member_id);
  Expected<const ConsumerMember*> leaving_member(
      const ConsumerGroup& group, const wire::LeaveGroupRequest::MemberIdentity& identity) const;

  // consumer_classic.cc
  Expected<wire::JoinGroupResponse> join_group(const ConsumerGroup& group,
                                               const wire::JoinGroupRequest& request,
                                               const RequestContext& context);
  Expected<wire::JoinGroupResponse> join_as(const std::string& member_id,
                                            const wire::JoinGroupRequest& request, Change& change);
  Expected<const ConsumerMember*> classic_member(const ConsumerGroup& group,
                                                 const Identity& identity) const;
  Outcome check_sync(const ConsumerGroup& group, const ConsumerMember& member,
                     const wire::SyncGroupRequest& request);
  // Whether a target is due that nobody makes but a classic member that joins again.
  bool needs_a_join(const ConsumerGroup& group) const;
  void demand_join(const ConsumerGroup& group, const ConsumerMember& member);

  // consumer_migration.cc
  Outcome upgrade(ClassicGroup& group, Change& change);
  void finish_upgrade(const Change& change);
  bool may_downgrade(const ConsumerGroup& group, const MemberIds& without) const;
  bool may_downgrade_replacing(const ConsumerGroup& group, const ConsumerMember& replaced) const;
  struct Downgrade {
    MemberIds leaving;
    const ConsumerMember* joining = nullptr;   // in place of
    const ConsumerMember* replaced = nullptr;  // this one
    bool rebalance = true;
  };
  // The group is gone afterwards, and another in its place; false: it cannot be one.
  bool downgrade(const ConsumerGroup& group, const Downgrade& how);

  Duration session_timeout(std::string_view group_id) const;
  void arm(TimerKind kind, const ConsumerGroup& group, std::string_view member_id, Duration delay);
  MemberTimers& timers_of(const std::string& group_id, std::string_view member_id);
  void cancel_timers(const std::string& group_id, std::string_view member_id);
  GroupSoft& soft(const std::string& group_id) { return state_.soft_groups[group_id]; }
  void append(KeyValueRecord record) { step_.append(std::move(record)); }

  Step& step_;
  State& state_;
  const Topics& topics_;
};

}  // namespace millrace::group
