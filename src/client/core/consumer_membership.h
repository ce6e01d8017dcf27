// A member of a consumer group by the protocol of KIP-848, without its connections: heartbeats, in
// which the coordinator says what it shall own; giving up and taking over partitions, committed
// offsets, leaving. A conversation (ARCHITECTURE.md): resume(event, now) gives what to ask the
// coordinator and what has become of the member's partitions, in the words of a classic member
// (client/core/membership.h).
// Not here: reading partitions (client/core/fetcher.h), who gets which (the coordinator), the names
// of topic ids and sending (client/consumer.h).
// Inputs: what happened; `now` never goes back. Every request is answered by its event once, with
// an error if need be.
// Threads: one caller at a time.
// Invariants:
//   CM1 a partition in `assigned` comes with its committed offset, and is ours until it is in
//      `revoke` or the member failed.
//   CM2 what is in `revoke` is owned for the coordinator until the caller says Revoked and nothing
//      is left to commit; unless it is lost.
//   CM3 at most one request of each kind is under way; those of one action go to one coordinator.
//   CM4 a heartbeat tells no partitions but those of owned() and of a revocation that goes on.
//   CM5 every offset that was to be committed comes back in `committed`, unless a newer one of its
//      partition has taken its place.
// KIP-848, KIP-1082 (member ids of the client's making), KIP-345 (static members).
#pragma once

#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "client/core/group_coordinator.h"
#include "client/core/group_offsets.h"
#include "client/core/group_vocabulary.h"
#include "client/core/heartbeats.h"
#include "wire/consumer_group_heartbeat.h"

namespace millrace::client::core {

struct ConsumerMembershipOptions {
  std::string group;
  std::string member_id;  // a uuid of the caller's making, which the member keeps
  std::vector<std::string> topics;
  std::optional<std::string> regex;  // RE2's, of topics beside those
  std::optional<std::string> instance_id;
  std::optional<std::string> rack_id;
  std::optional<std::string> server_assignor;  // none: the group's
  Duration rebalance_timeout = seconds(300);   // for giving up partitions
  Duration retry_backoff = milliseconds(100);
};

class ConsumerMembership : public GroupVocabulary {
 public:
  struct Beaten {
    Result<wire::ConsumerGroupHeartbeatResponse> response;
  };
  struct NamesKnown {  // of Action::resolve, as far as they are
    std::map<Uuid, std::string> names;
  };
  using Event = std::variant<Start, Coordinator, Beaten, OffsetsFetched, Committed, NamesKnown,
                             Revoked, Commit, Leave, Tick>;

  using Request = std::variant<wire::ConsumerGroupHeartbeatRequest, wire::OffsetFetchRequest,
                               wire::OffsetCommitRequest>;
  struct Action : News {
    std::vector<Request> requests;
    std::set<Uuid> resolve;  // topics whose names it must know; answered by NamesKnown
  };

  explicit ConsumerMembership(ConsumerMembershipOptions options);

  Action resume(Event event, Instant now);

  // Without what is being revoked.
  std::set<TopicPartition> owned() const;
  const std::string& member_id() const { return options_.member_id; }
  int32_t epoch() const { return epoch_; }
  std::string describe() const;

 private:
  using Partitions = AssignedTopics::Partitions;
  // kFenced: waits until what it has lost is given up.
  enum class State { kIdle, kJoining, kMember, kFenced, kLeaving, kOut };
  static const char* name_of(State state);

  void on(Start&, Instant);
  void on(Coordinator& event, Instant now);
  void on(Beaten& event, Instant now);
  void on(OffsetsFetched& event, Instant now);
  void on(Committed& event, Instant now);
  void on(NamesKnown& event, Instant now);
  void on(Revoked&, Instant);
  void on(Commit& event, Instant);
  void on(Leave&, Instant);
  void on(Tick&, Instant) {}

  void take_answer(const wire::ConsumerGroupHeartbeatResponse& response);
  void handle_refusal(wire::ErrorCode error, const std::optional<std::string>& message,
                      Instant now);
  void reconcile(Instant now);
  void finish_revocation();
  void revoke(const Partitions& partitions);
  void lose_all();
  void pump(Instant now);
  void send_heartbeat(Instant now);
  void send_leave();
  void look_up_names(Instant now);
  void learn_soon(Instant now);
  void fail_with(Error error);
  void end();
  void give_up_commits();
  GroupOffsets::Identity identity() const;
  bool is_member() const { return epoch_ > kJoiningEpoch && state_ != State::kOut; }
  bool must_commit() const { return is_member() && !offsets_.all_committed(); }
  void set_wake(Instant now);

  ConsumerMembershipOptions options_;
  State state_ = State::kIdle;
  GroupCoordinator coordinator_;
  HeartbeatPace pace_;
  GroupOffsets offsets_;
  AssignedTopics topics_;
  int32_t epoch_ = kJoiningEpoch;
  Partitions owned_;               // for the coordinator; with revoking_
  Partitions revoking_;            // told to the caller, and not yet given up
  int revocations_ = 0;            // that the caller has not answered
  bool target_is_new_ = false;     // and not answered
  bool tells_partitions_ = false;  // the next heartbeat
  bool resolving_ = false;
  Instant next_resolve_{};
  bool leave_sent_ = false;
  Action action_;  // of the event being handled
};

}  // namespace millrace::client::core
