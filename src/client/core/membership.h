// A member of a classic consumer group without its connections: joining, the leader's assignment,
// heartbeats, revoking, committed offsets, leaving. A conversation (ARCHITECTURE.md): resume(event,
// now) gives what to ask the coordinator and what has become of the member's partitions.
// Not here: reading partitions (client/core/fetcher.h), how they are shared out
// (client/core/assignor.h), finding the coordinator and sending (client/consumer.h).
// Inputs: what happened; `now` never goes back.
// Threads: one caller at a time.
// Invariants:
//   ME1 a partition in `assigned` comes with its committed offset, and is ours until it is in
//      `revoke` or the member failed.
//   ME2 after a `revoke` no join is sent before the caller says Revoked, and no commit is under way
//      then.
//   ME3 at most one request of each kind is under way, all to the same coordinator.
// KIP-62 (heartbeats), KIP-345 (static members), KIP-394 (member id required), KIP-429
// (cooperative).
#pragma once

#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "client/core/assignor.h"
#include "client/core/group_coordinator.h"
#include "client/core/group_offsets.h"
#include "client/core/group_vocabulary.h"
#include "wire/heartbeat.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/sync_group.h"

namespace millrace::client::core {

struct MembershipOptions {
  std::string group;
  std::vector<std::string> topics;
  std::optional<std::string> instance_id;
  // In the order of liking. Members revoke everything before they join unless all of these are
  // cooperative.
  std::vector<Assignor> assignors = {Assignor::kRange, Assignor::kCooperativeSticky};
  Duration session_timeout = seconds(45);
  Duration rebalance_timeout = seconds(60);
  Duration heartbeat_interval = seconds(3);
  Duration retry_backoff = milliseconds(100);
};

class Membership : public GroupVocabulary {
 public:
  struct Joined {
    Result<wire::JoinGroupResponse> response;
  };
  struct Synced {
    Result<wire::SyncGroupResponse> response;
  };
  struct Beaten {
    Result<wire::HeartbeatResponse> response;
  };
  struct Left {};
  struct PartitionsKnown {  // the topics of Action::know
    PartitionCounts counts;
  };
  using Event = std::variant<Start, Coordinator, Joined, Synced, Beaten, OffsetsFetched, Committed,
                             Left, PartitionsKnown, Revoked, Commit, Leave, Tick>;

  using Request =
      std::variant<wire::JoinGroupRequest, wire::SyncGroupRequest, wire::HeartbeatRequest,
                   wire::OffsetFetchRequest, wire::OffsetCommitRequest, wire::LeaveGroupRequest>;
  struct Action : News {
    std::vector<Request> requests;
    std::optional<std::set<std::string>> know;  // topics whose partitions the leader must know
  };

  explicit Membership(MembershipOptions options);

  Action resume(Event event, Instant now);

  const std::set<TopicPartition>& owned() const { return owned_; }
  const std::string& member_id() const { return member_id_; }
  GenerationId generation() const { return generation_; }
  std::string describe() const;

 private:
  enum class State {
    kIdle,
    kUnjoined,
    kRevoking,
    kJoining,
    kAssigning,
    kSyncing,
    kStable,
    kLeaving,
    kOut
  };
  static const char* name_of(State state);

  void on(Start&, Instant);
  void on(Coordinator& event, Instant now);
  void on(Joined& event, Instant now);
  void on(Synced& event, Instant now);
  void on(Beaten& event, Instant now);
  void on(OffsetsFetched& event, Instant now);
  void on(Committed& event, Instant now);
  void on(Left&, Instant);
  void on(PartitionsKnown& event, Instant now);
  void on(Revoked&, Instant);
  void on(Commit& event, Instant);
  void on(Leave&, Instant);
  void on(Tick&, Instant) {}

  void pump(Instant now);
  void pump_stable(Instant now);
  void send_join();
  void send_sync(const Assignment& assignment);
  void send_heartbeat(Instant now);
  void send_commit();
  void send_leave();

  void lead(const wire::JoinGroupResponse& response, Instant now);
  void take_assignment(std::vector<TopicPartition> partitions, Instant now);
  void begin_rejoin();
  void lose_all();
  // What every answer of a coordinator may say; false: none of it, and the member goes on.
  bool handle_error(wire::ErrorCode error, Instant now);
  void forget_coordinator(Instant now);
  void fail_with(Error error);
  GroupOffsets::Identity identity() const;
  bool cooperative() const;
  void set_wake(Instant now);

  MembershipOptions options_;
  State state_ = State::kIdle;
  GroupCoordinator coordinator_;
  std::string member_id_;
  GenerationId generation_{-1};
  std::string protocol_;
  std::vector<GroupMember> members_;  // while it leads and assigns
  bool leads_ = false;
  PartitionCounts counts_;  // that its assignment is made for
  Instant next_look_{};
  std::set<TopicPartition> owned_;
  GroupOffsets offsets_;
  bool beating_ = false;
  bool leave_sent_ = false;
  Instant next_heartbeat_{};
  Action action_;
};

}  // namespace millrace::client::core
