// The classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup and the timers behind
// them. Internal to group/. One object serves one step.
// Not here: offsets (group/offsets.h).
//
// A rebalance: somebody joins or leaves -> prepare_rebalance() (PreparingRebalance; JoinGroups park
// until all members are there, the initial delay is over or the longest rebalance timeout has
// passed) -> complete_join() (CompletingRebalance; a generation begins, all parked joins are
// answered, SyncGroups park) -> the leader's SyncGroup -> the group's record -> Stable; the parked
// SyncGroups are answered with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "group/state.h"

namespace millrace::group {

class ClassicProtocol {
 public:
  explicit ClassicProtocol(Step& step) : step_(step), state_(step.state) {}

  void join(const wire::JoinGroupRequest& request, const RequestContext& context);
  void sync(const wire::SyncGroupRequest& request, const RequestContext& context);
  void heartbeat(const wire::HeartbeatRequest& request, const RequestContext& context);
  void leave(const wire::LeaveGroupRequest& request, const RequestContext& context);

  void on_loaded(ClassicGroup& group);
  void on_session_expired(ClassicGroup& group, const std::string& member_id);
  void on_join_timeout(ClassicGroup& group);
  void on_sync_timeout(ClassicGroup& group);
  void keep_alive(ClassicGroup& group, ClassicMember& member);
  // Who waits for a join or a sync is told this.
  void answer_all(ClassicGroup& group, ErrorCode error);
  // A group that was one of the consumer protocol until now.
  void adopt(ClassicGroup& group, bool rebalance);

  // Whether the member is one, under this instance id if it has one.
  static ErrorCode check_member(ClassicGroup& group, std::string_view member_id,
                                const std::optional<std::string>& instance_id);

 private:
  // One JoinGroup with what was made of it.
  struct Join {
    const wire::JoinGroupRequest& request;
    const RequestContext& context;
    std::vector<MemberProtocol> protocols;
    int32_t rebalance_timeout_ms;
    Parked parked() const { return {context.ticket, context.api_version}; }
  };
  using MemberIdentity = wire::LeaveGroupRequest::MemberIdentity;

  // classic_join.cc
  ErrorCode check_join(const wire::JoinGroupRequest& request) const;
  ClassicGroup* group_to_join(const Join& join);
  bool accepts(ClassicGroup& group, std::string_view member_id) const;
  void join_group(ClassicGroup& group, const Join& join);
  void join_new(ClassicGroup& group, const Join& join);
  void join_existing(ClassicGroup& group, const Join& join);
  void rejoin(ClassicGroup& group, ClassicMember& member, const Join& join);
  void give_out_id(ClassicGroup& group, const Join& join, const std::string& member_id);
  void add_member(ClassicGroup& group, const Join& join, std::string member_id);
  void update_member(ClassicGroup& group, ClassicMember& member, const Join& join);
  void replace_static(ClassicGroup& group, const Join& join, const std::string& new_id);
  void answer_replaced(ClassicGroup& group, const ClassicMember& member, const Join& join,
                       const std::string& old_leader);
  void refuse_join(const Join& join, ErrorCode error, std::string member_id);
  void refuse_join(const Parked& request, ErrorCode error, std::string member_id);
  void reply_join(const Parked& request, wire::JoinGroupResponse response);
  wire::JoinGroupResponse current_generation(const ClassicGroup& group,
                                             const ClassicMember& member) const;

  // classic_rebalance.cc
  void rebalance_or_complete(ClassicGroup& group);
  void prepare_rebalance(ClassicGroup& group);
  void complete_if_all_joined(ClassicGroup& group);
  void complete_join(ClassicGroup& group);
  void answer_joins(ClassicGroup& group);
  void arm_join_timer(ClassicGroup& group, Duration delay);
  void arm_session(ClassicGroup& group, ClassicMember& member, Duration timeout);
  void remove_member(ClassicGroup& group, const std::string& member_id);
  void remove_and_rebalance(ClassicGroup& group, const std::string& member_id);
  void fail_syncs(ClassicGroup& group, ErrorCode error);
  void write(ClassicGroup& group);

  // classic_membership.cc
  ErrorCode check_sync(ClassicGroup& group, const wire::SyncGroupRequest& request) const;
  void assign(ClassicGroup& group, const wire::SyncGroupRequest& request);
  void answer_sync(const ClassicGroup& group, const Parked& request, ByteBuffer assignment);
  void refuse_sync(machine::Ticket ticket, ErrorCode error);
  ErrorCode leave_one(ClassicGroup& group, const MemberIdentity& member);

  Step& step_;
  State& state_;
};

}  // namespace millrace::group
