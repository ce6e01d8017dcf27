// Changes of the quorum's voters, one at a time (KIP-853): the checks that Kafka's leader makes, in
// its order, the look at the new voter (its supported range of kraft.version, by ApiVersions; that
// it has kept up as an observer), and the wait until the new set is committed.
// Not here: which sets may follow each other, and what a leader does that removes itself
// (raft/machine); the requests' form (server/handlers/raft_voters).
//
// Inputs: add(), remove(), update(), on the leader of the quorum. Output: an error of the protocol
// with words for a person, once: NONE when the new set is committed (or written, when the request
// says that this is enough); REQUEST_TIMED_OUT for what may be tried again;
// NOT_LEADER_OR_FOLLOWER when this node does not lead, or stopped leading.
// Threads: shard 0; `done` runs there, at once or later.
// Ownership: host and driver outlive this.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "env/host.h"
#include "node/raft_driver.h"
#include "wire/errors.h"

namespace millrace::node {

struct VoterOutcome {
  wire::ErrorCode code = wire::ErrorCode::kNone;
  std::string message{};
};
using VoterDone = std::move_only_function<void(VoterOutcome)>;

class VoterChanges {
 public:
  struct Options {
    std::string listener;      // the controllers'
    Duration request_timeout;  // controller.quorum.request.timeout.ms
  };
  VoterChanges(env::Host& host, RaftDriver& driver, Options options)
      : host_(&host), driver_(&driver), options_(std::move(options)) {}

  struct Addition {
    raft::ReplicaKey voter;
    std::vector<raft::Endpoint> endpoints;
    bool ack_when_committed = true;
  };
  void add(Addition addition, VoterDone done);
  void remove(const raft::ReplicaKey& voter, VoterDone done);
  // Endpoints and supported versions of a voter that has started anew. At kraft.version 0 the
  // leader remembers them, with the directory, for an upgrade (raft::Machine::note_voter).
  void update(const raft::ReplicaKey& key, raft::Voter voter, VoterDone done);

  bool leads() const { return driver_->is_leader(); }
  static VoterOutcome not_leader();

  // The quorum has moved: what waits may be done.
  void moved();

  // A voter that was added must have asked for records this recently, and been at their end then.
  static constexpr Duration kCaughtUpWithin = std::chrono::hours(1);

 private:
  // The change under way.
  struct Change {
    LeaderEpoch epoch;
    VoterDone done;            // empty: answered
    std::optional<Offset> at;  // of the new set in the log; nothing: not written yet
    env::TimerId timer = env::TimerId::kNone;
    std::shared_ptr<client::Link> link;  // to a voter that is to be added
  };

  // Why no change may begin now; `doing` completes "Cluster doesn't support ... voter".
  std::optional<VoterOutcome> obstacle() const;
  std::optional<VoterOutcome> obstacle(const char* doing) const;
  std::shared_ptr<Change> begin(VoterDone done);
  void look_at(const std::shared_ptr<Change>& change, const Addition& addition);
  void write_added(const std::shared_ptr<Change>& change, const Addition& addition);
  void write(const std::shared_ptr<Change>& change, const raft::VoterSet& next);
  void remember(const raft::ReplicaKey& key, raft::Voter voter, VoterDone done);
  void end(VoterOutcome outcome);
  bool is_caught_up(const raft::ReplicaKey& key) const;

  env::Host* host_;
  RaftDriver* driver_;
  Options options_;
  std::shared_ptr<Change> change_;  // null: none is under way
};

}  // namespace millrace::node
