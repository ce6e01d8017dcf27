// A member of a share group (KIP-932) without its connections: heartbeats, in which the coordinator
// says what partitions it reads together with others; leaving. A conversation (ARCHITECTURE.md).
// Not here: reading and acknowledging (client/core/share_fetcher.h), the names of topic ids and
// sending (client/share_consumer.h).
// Inputs: what happened; `now` never goes back. Every request is answered by its event once, with
// an error if need be.
// Threads: one caller at a time.
// Invariants:
//   SM1 assigned() holds what the coordinator gave the member in its epoch, as far as the names of
//      topics are known; nothing once the member is fenced, has failed or left.
//   SM2 at most one heartbeat is under way.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "client/core/group_coordinator.h"
#include "client/core/heartbeats.h"
#include "wire/share_group_heartbeat.h"

namespace millrace::client::core {

struct ShareMembershipOptions {
  std::string group;
  std::string member_id;  // a uuid of the caller's making, which the member keeps
  std::vector<std::string> topics;
  std::optional<std::string> rack_id;
  Duration retry_backoff = milliseconds(100);
};

class ShareMembership {
 public:
  struct Start {};
  struct Coordinator {
    Result<FoundCoordinator> found;
  };
  struct Beaten {
    Result<wire::ShareGroupHeartbeatResponse> response;
  };
  struct NamesKnown {  // of Action::resolve, as far as they are
    std::map<Uuid, std::string> names;
  };
  struct Leave {};
  struct Tick {};
  using Event = std::variant<Start, Coordinator, Beaten, NamesKnown, Leave, Tick>;

  using Assignment = std::map<TopicIdPartition, std::string>;  // with the topic's name
  struct Action {
    bool find_coordinator = false;
    std::optional<wire::ShareGroupHeartbeatRequest> request;
    NodeId to = kNoNode;                   // of the request
    std::set<Uuid> resolve;                // topics whose names it must know
    std::optional<Assignment> assignment;  // another one than before
    std::optional<Error> failed;           // fatal: the member is out
    bool left = false;
    std::optional<Instant> wake;
  };

  explicit ShareMembership(ShareMembershipOptions options);

  Action resume(Event event, Instant now);

  Assignment assigned() const { return assigned_; }
  const std::string& member_id() const { return options_.member_id; }
  int32_t epoch() const { return epoch_; }
  std::string describe() const;

 private:
  enum class State { kIdle, kJoining, kMember, kLeaving, kOut };

  void on(Start&, Instant);
  void on(Coordinator& event, Instant now);
  void on(Beaten& event, Instant now);
  void on(NamesKnown& event, Instant now);
  void on(Leave&, Instant);
  void on(Tick&, Instant) {}

  void take_answer(const wire::ShareGroupHeartbeatResponse& response);
  void handle_refusal(const wire::ShareGroupHeartbeatResponse& response, Instant now);
  void join_anew();
  void reassign();
  void pump(Instant now);
  void send_heartbeat(Instant now);
  void fail_with(Error error);
  void end();
  void set_wake(Instant now);

  ShareMembershipOptions options_;
  State state_ = State::kIdle;
  GroupCoordinator coordinator_;
  HeartbeatPace pace_;
  AssignedTopics topics_;
  Assignment assigned_;
  int32_t epoch_ = kJoiningEpoch;
  bool resolving_ = false;
  Instant next_resolve_{};
  bool leave_sent_ = false;
  Action action_;  // of the event being handled
};

}  // namespace millrace::client::core
