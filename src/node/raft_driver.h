// Runs this node's replica of the metadata quorum: the metadata log (node/metadata_log) with its
// timers, the disk thread that makes it durable, and connections to the other replicas. Publishes
// the image of what is committed.
// Not here: elections (raft), what records mean (metadata), what the leader decides
// (node/controller_host), requests of other replicas on their way in (server/handlers/quorum).
//
// Threads: open() before the shards run, close() after; everything else on shard 0.
// Ownership: the parts outlive this.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "config/properties.h"
#include "env/host.h"
#include "node/metadata_log.h"
#include "node/peer_link.h"

namespace millrace::node {

// The quorum of the metadata log as this replica sees it; as its leader, with all replicas.
struct QuorumView {
  raft::ReplicaKey self;
  NodeId leader = kNoNode;
  LeaderEpoch epoch;
  Offset high_watermark;
  Offset log_end;
  raft::VoterSet voters;
  std::map<raft::ReplicaKey, raft::Progress> replicas;  // the others, voters and observers
  raft::Now now;
};

class RaftDriver {
 public:
  struct Parts {
    env::Host* host = nullptr;
    const config::NodeProperties* properties = nullptr;
    env::DiskThread* disk_thread = nullptr;  // of the metadata log's directory
    std::string log_dir;                     // that holds the metadata log
    raft::ReplicaKey self;
    std::string cluster_id;
    std::vector<raft::Endpoint> endpoints;  // of the controller listener; none: no controller
    Offset recovery_point{0};               // of the metadata log
    bool may_found = true;                  // an empty log becomes that of a quorum of one
  };
  // After something may have changed: what is committed, who leads, whether it goes on at all.
  using Moved = std::function<void()>;

  RaftDriver(Parts parts, Moved moved);

  Result<> open();
  void start();
  Result<> close() { return log_->close(); }

  // What is committed. Never in the middle of a metadata transaction.
  const std::shared_ptr<const metadata::Image>& image() const { return committed_.image; }
  Offset applied_end() const { return log_->applied_end(); }
  Offset log_end() const { return log_->log_end(); }
  // Of the log; what a follower reports and a leader counts.
  Offset durable_end() const { return log_->machine().durable_end(); }
  // The same, as the log says it: with what a metadata transaction under way has done so far.
  const metadata::Image& committed() const { return log_->image(); }
  // All that the leader is known to have committed is applied here.
  bool is_caught_up() const { return log_->machine().is_caught_up(); }
  bool is_established() const { return log_->machine().is_established(); }
  bool is_leader() const { return log_->machine().is_leader(); }
  LeaderEpoch epoch() const { return log_->epoch(); }
  NodeId leader() const { return log_->machine().leader(); }
  // Where the leader's controller listener is, as far as that is known.
  std::optional<env::Address> address_of(NodeId id) const;
  // Its process is gone: a connection was there, and nobody listens at the address any more.
  bool is_gone(NodeId id) const { return gone_.contains(id); }
  int16_t kraft_version() const { return log_->machine().log().kraft_version(); }
  QuorumView view() const;
  // While no leader is heard of: since when, and who does not answer, for a person; else empty.
  std::string what_is_missing() const;
  const std::optional<Error>& failure() const { return log_->failure(); }

  // As leader. The records are committed when applied_end() is behind the offset returned.
  Result<Offset> append(const std::vector<wire::MetadataRecord>& records, int16_t metadata_version);
  Result<Offset> change_voters(const raft::VoterSet& next);
  Result<> note_voter(NodeId id, raft::Voter voter) {
    return log_->note_voter(id, std::move(voter));
  }
  std::optional<std::string> upgrade_problem(int16_t version) const {
    return log_->machine().upgrade_problem(version);
  }
  Result<Offset> upgrade_kraft_version();
  void resign();
  // Looks whether one is due by time; otherwise that is noticed when something is committed.
  void snapshot_if_due();
  // A request of another replica; `done` runs here.
  void on_request(raft::Message request, AnswerFunction done);
  raft::Now now() const;
  void check_invariants() const { log_->machine().check_invariants(); }

 private:
  enum class Lane : uint8_t { kCalls, kFetch };
  struct Peer {
    env::Address address;
    std::shared_ptr<client::Link> link;
    bool was_reached = false;  // by an earlier link to the same address
  };

  MetadataLogOptions log_options() const;
  void send(raft::Envelope request);
  void submit(const raft::Envelope& request, client::Link& link);
  template <class Response, class WireRequest>
  void call(const raft::Envelope& request, client::Link& link, WireRequest wire_request);
  static Lane lane_of(const raft::Envelope& request);
  Error refusal_of(wire::ErrorCode code) const;
  std::string name_of(NodeId peer) const;
  void failed(const raft::Machine::SendFailure& failure, const Error& why);
  Peer* peer_for(const raft::Envelope& request);
  void settle();
  void publish();
  void save();
  void saved(const Unsaved& unsaved, const Result<>& synced);
  void schedule_tick();
  void watch_for_a_leader();

  Parts parts_;
  Moved moved_;
  std::unique_ptr<MetadataLog> log_;
  CommittedImage committed_{.image = std::make_shared<metadata::Image>()};
  uint64_t image_changes_ = 0;  // as MetadataLog::changes()
  bool saving_ = false;
  bool settling_ = false;
  bool settle_again_ = false;
  Instant tick_at_ = Instant::never();
  env::TimerId tick_{};
  std::map<std::pair<NodeId, Lane>, Peer> peers_;
  std::set<NodeId> gone_;
  struct Complaint {
    std::string why;  // as it was said
    Instant since;
  };
  std::map<NodeId, Complaint> complaints_;  // of peers that do not answer
  std::optional<Instant> leaderless_since_;
  bool leaderless_was_said_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace millrace::node
