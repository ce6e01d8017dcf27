// The streams group protocol (KIP-1071): heartbeats of its members and the timers behind them.
// Internal to group/. One object serves one step.
// Not here: the group's state (group/streams_group.h), topologies, the assignor and the
// reconciliation (group/streams/), making the topics that are missing (server/handlers).
//
// A heartbeat: the member is found, or made -> its metadata changes -> the topology is told by the
// first, and compared with what others say -> with the topics that there are it becomes one with
// tasks (ConfiguredTopology), or a status says what is missing -> the group's epoch rises if any of
// that, or what assignments are configured with, has changed -> with a newer epoch than the target
// assignment's a new target is made, not more often than the assignment interval says, and for a
// group that was empty not before the initial delay -> the member comes closer to its target. Each
// is a record, or none. What is refused on the way leaves no records.
//
// Topics that are missing go with the reply, once: those that are being made, or could not be made
// a short while ago, do not. What became of them is noted when it is heard of.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "group/refusal.h"
#include "group/state.h"
#include "group/streams/configured_topology.h"
#include "group/streams/sticky_assignor.h"
#include "group/streams_group.h"
#include "group/streams_records.h"

namespace millrace::group {

class StreamsProtocol {
 public:
  explicit StreamsProtocol(Step& step) : step_(step), state_(step.state), topics_(step.topics) {}

  void heartbeat(const wire::StreamsGroupHeartbeatRequest& request, const RequestContext& context);
  // What became of topics that went with a reply to a member of the group.
  void note_topics(const std::string& group_id, const std::vector<StreamsTopicOutcome>& outcomes);
  void on_loaded(const StreamsGroup& group);
  void on_timer(const StreamsGroup& group, const TimerOwner& owner);

 private:
  using HeartbeatRequest = wire::StreamsGroupHeartbeatRequest;
  using HeartbeatResponse = wire::StreamsGroupHeartbeatResponse;
  using Outcome = std::expected<void, Refusal>;
  template <class T>
  using Expected = std::expected<T, Refusal>;
  // What one heartbeat finds and changes, on its way through the steps above.
  struct Change {
    explicit Change(const RequestContext& asked) : context(asked) {}
    const RequestContext& context;
    const StreamsGroup* group = nullptr;
    std::optional<StreamsGroup> made;  // that is not in the state yet
    StreamsMember member;              // as it is known, or new
    StreamsMemberMetadata metadata;    // as it shall be
    streams::CurrentTasks current;     // the same
    std::optional<streams::Assignment> owned;
    std::optional<streams::Topology> told;  // by the first member
    const streams::Topology* topology = nullptr;
    std::optional<streams::ConfiguredTopology> reconfigured;
    const streams::ConfiguredTopology* configured = nullptr;
    AssignmentConfigs configs;
    int64_t hash = 0;
    bool bumped = false;
    int32_t epoch = 0;
    int32_t target_epoch = 0;
    streams::Assignment target;
    std::vector<streams::Status> statuses;
  };

  // streams_heartbeat.cc
  Outcome check(const HeartbeatRequest& request) const;
  Outcome check_joining(const HeartbeatRequest& request) const;
  Expected<StreamsHeartbeatAnswer> checked(const HeartbeatRequest& request,
                                           const RequestContext& context);
  Expected<StreamsHeartbeatAnswer> beat(const HeartbeatRequest& request,
                                        const RequestContext& context);
  Expected<StreamsHeartbeatAnswer> leave(const HeartbeatRequest& request);
  Outcome find_group(const HeartbeatRequest& request, Change& change);
  Outcome find_member(const HeartbeatRequest& request, Change& change);
  Outcome check_epoch(const HeartbeatRequest& request, const StreamsMember& member) const;
  void change_member(const HeartbeatRequest& request, Change& change);
  Outcome reconcile_member(Change& change);
  void time_revocation(const Change& change);
  void fence(const StreamsGroup& group, const StreamsMember& member, std::string_view reason);
  Duration session_timeout(std::string_view group_id) const;
  void arm(TimerKind kind, const std::string& group_id, const std::string& member_id,
           Duration delay);

  // streams_target.cc
  Outcome change_topology(const HeartbeatRequest& request, Change& change);
  Outcome configure_topology(Change& change);
  Outcome check_tasks(const HeartbeatRequest& request, const Change& change) const;
  void update_epoch(Change& change);
  void delay_first_target(const Change& change);
  void update_target(Change& change);
  bool is_target_due(const StreamsGroup& group) const;
  streams::AssignmentSpec assignment_spec(const StreamsGroup& group, const Change* change,
                                          const AssignmentConfigs& configs) const;
  std::vector<streams::Assignment> write_targets(const StreamsGroup& group, int32_t epoch,
                                                 const streams::AssignmentSpec& spec);
  void make_first_target(const StreamsGroup& group);
  AssignmentConfigs assignment_configs(std::string_view group_id) const;

  // streams_answer.cc
  StreamsHeartbeatAnswer answer(const HeartbeatRequest& request, Change& change);
  static bool has_news(const HeartbeatRequest& request, const Change& change);
  void add_statuses(const Change& change, HeartbeatResponse& response);
  void add_endpoints(const HeartbeatRequest& request, const Change& change,
                     HeartbeatResponse& response);
  void add_missing_topics(const Change& change, StreamsHeartbeatAnswer& answer);
  std::string creation_errors(const StreamsSoft& soft, const streams::InternalTopics& topics) const;
  Duration heartbeat_interval(std::string_view group_id) const;

  GroupSoft& soft(const std::string& group_id) { return state_.soft_groups[group_id]; }
  void append(KeyValueRecord record) { step_.append(std::move(record)); }

  Step& step_;
  State& state_;
  const Topics& topics_;
};

}  // namespace millrace::group
