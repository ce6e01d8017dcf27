// The share group protocol (KIP-932): heartbeats of its members, the timers behind them, and what
// the group wants of the share coordinators. Internal to group/. One object serves one step.
// Not here: the group's state (group/share_group.h), the assignor (group/simple_assignor.h), what
// of a partition was delivered (the share coordinator).
//
// A heartbeat: the member is found, or made -> its metadata changes -> the group's epoch rises if
// that, the metadata of its topics, or partitions that were initialised change what is to be
// assigned -> with a newer epoch than the target assignment's a new target is made, not more often
// than the assignment interval says -> the member takes what its target has. Each is a record, or
// none. What is refused on the way leaves no records.
//
// A partition is assigned when the share coordinators have initialised it. The heartbeat that finds
// one that they have not writes it down as initialising and wishes it so (ShareStateWish); what
// comes of that is written when it is heard of (finish), and the next heartbeat assigns it. One of
// which nothing is heard for the retry interval is wished for again, a failed one at once.
// AlterShareGroupOffsets, DeleteShareGroupOffsets and DeleteGroups are answered when what they wish
// for is done. None of these waits survives a restart: what the records say is then done again by
// whoever asks.
#pragma once

#include <expected>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "group/refusal.h"
#include "group/share_group.h"
#include "group/share_records.h"
#include "group/simple_assignor.h"
#include "group/state.h"

namespace millrace::group {

class ShareProtocol {
 public:
  explicit ShareProtocol(Step& step) : step_(step), state_(step.state), topics_(step.topics) {}

  void heartbeat(const wire::ShareGroupHeartbeatRequest& request, const RequestContext& context);
  void alter_offsets(const wire::AlterShareGroupOffsetsRequest& request,
                     const RequestContext& context);
  void delete_offsets(const wire::DeleteShareGroupOffsetsRequest& request,
                      const RequestContext& context);
  // True: the group goes when the share coordinators have forgotten it; false: nothing is there
  // that they could, or the group has members.
  bool begin_deletion(const ShareGroup& group, const RequestContext& context);
  void finish(const ShareStateOutcome& outcome);

  void on_loaded(const ShareGroup& group);
  void on_timer(const ShareGroup& group, const TimerOwner& owner);
  // What is known of their partitions goes; the share coordinators hear of it themselves.
  void on_topics_deleted(std::span<const DeletedTopic> deleted);

 private:
  using HeartbeatRequest = wire::ShareGroupHeartbeatRequest;
  using HeartbeatResponse = wire::ShareGroupHeartbeatResponse;
  using AlterRequest = wire::AlterShareGroupOffsetsRequest;
  using AlterResponse = wire::AlterShareGroupOffsetsResponse;
  using DeleteRequest = wire::DeleteShareGroupOffsetsRequest;
  using DeleteResponse = wire::DeleteShareGroupOffsetsResponse;
  using Outcome = std::expected<void, Refusal>;
  template <class T>
  using Expected = std::expected<T, Refusal>;
  // What one heartbeat finds and changes, on its way through the steps above.
  struct Change {
    explicit Change(const RequestContext& asked) : context(asked) {}
    const RequestContext& context;
    const ShareGroup* group = nullptr;
    std::optional<ShareGroup> made;  // that is not in the state yet
    ShareMember member;              // as it is known, or new
    ShareMemberMetadata metadata;    // as it shall be
    ShareAssignment current;         // the same
    Counts subscribed;               // the group's topics as they will be
    bool names_changed = false;
    bool bumped = false;
    int32_t epoch = 0;
    int32_t target_epoch = 0;
    TargetAssignment target;
  };

  // share_heartbeat.cc
  Outcome check(const HeartbeatRequest& request) const;
  Expected<HeartbeatResponse> checked(const HeartbeatRequest& request,
                                      const RequestContext& context);
  Expected<HeartbeatResponse> beat(const HeartbeatRequest& request, const RequestContext& context);
  Expected<HeartbeatResponse> leave(const HeartbeatRequest& request);
  Outcome find_group(const std::string& group_id, bool may_create, Change& change);
  Outcome find_member(const HeartbeatRequest& request, Change& change);
  Expected<const ShareGroup*> known_group(const std::string& group_id) const;
  void change_member(const HeartbeatRequest& request, Change& change);
  void update_epoch(Change& change);
  void update_target(Change& change);
  void reconcile_member(Change& change);
  HeartbeatResponse answer(const HeartbeatRequest& request, const Change& change) const;
  bool lacks_initialized(const ShareGroup& group) const;
  SimpleAssignmentSpec assignment_spec(const Change& change) const;
  TargetAssignment subscribed_part(const Change& change) const;
  void fence(const ShareGroup& group, const ShareMember& member, std::string_view reason);

  // share_partitions.cc
  void initialize_missing(const Change& change);
  ShareTopics missing_partitions(const Change& change) const;
  bool is_tried(const std::string& group_id, const Uuid& topic_id) const;
  void write_initializing(const std::string& group_id, const SharePartitions* known,
                          const ShareTopics& topics);
  void write_partitions(const std::string& group_id, SharePartitions partitions);
  void finish_initializing(const ShareGroup& group, const ShareStateOutcome& outcome);
  void finish_altering(const ShareStateOutcome& outcome, AlterResponse response);
  void finish_deleting_offsets(const ShareStateOutcome& outcome, DeleteResponse response);
  void finish_deletion(const ShareStateOutcome& outcome, const ShareDeletion& deletion);
  bool is_being_deleted(const std::string& group_id) const;
  template <class IsGone>
  void forget_topics(const ShareGroup& group, IsGone is_gone);

  // share_offsets.cc
  struct Alteration {
    ShareTopics topics;
    std::map<std::pair<Uuid, int32_t>, Offset> offsets;  // the last that is said of each
    AlterResponse response;
  };
  void alter_topic(const AlterRequest::AlterShareGroupOffsetsRequestTopic& topic,
                   Alteration& alteration) const;
  struct OffsetDeletion {
    SharePartitions partitions;
    std::vector<ShareStateWish::Partition> wishes;
    DeleteResponse response;  // of what is refused
  };
  void delete_topic(const std::string& name, OffsetDeletion& deletion) const;
  ShareTopics deletable(const SharePartitions& partitions) const;

  struct Wanted {
    const std::string& group_id;
    ShareStateWish::Kind kind;
    int32_t state_epoch = 0;
  };
  void wish(const Wanted& wanted, std::vector<ShareStateWish::Partition> partitions,
            machine::Ticket cause, ShareWork work);
  Duration session_timeout(std::string_view group_id) const;
  void arm_session(const std::string& group_id, const std::string& member_id);
  GroupSoft& soft(const std::string& group_id) { return state_.soft_groups[group_id]; }
  void append(KeyValueRecord record) { step_.append(std::move(record)); }

  Step& step_;
  State& state_;
  const Topics& topics_;
};

}  // namespace millrace::group
