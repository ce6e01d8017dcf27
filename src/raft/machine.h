// One replica of a KRaft quorum, without I/O: elections with pre-vote (KIP-996), replication by
// Fetch with diverging epochs (KIP-595), snapshots (KIP-630), voter sets by records (KIP-853). A
// protocol machine (house, section 3): it is told what arrived, what became durable and what time
// it is, and says in take_output() what has to be done, in order. Not here: files and sockets (the
// host: node/metadata_log), what the records mean (metadata), the wire's form
// (raft/wire_messages).
//
// The host does each Output in the order of its fields, before it hands in anything else:
//   1. `election`: replaces quorum-state, durably;
//   2. `truncate_to`, `restore`, `append`: changes the log, durable or not;
//      (where appending fails it sends nothing of this Output and calls on_append_failed());
//   3. `snapshot_chunk`: writes a piece of a snapshot that is being fetched; after the last one
//      makes it durable, loads it, and calls on_snapshot_restored();
//   4. `send`: sends; answers with a range are filled first;
//   5. `committed`: applies records below it.
// When the log's bytes handed over up to an Output are durable it calls on_persisted(sequence).
//
// Time: on_tick() is due at next_deadline(). Randomness: `random` spreads timeouts only.
// Threads: one caller at a time. Memory: parked fetches are at most kMaxParkedFetches, a fetch
// carries at most max_fetch_bytes.
// Peers may send anything: what contradicts what is committed sets fault(), and the machine then
// does nothing any more; the host stops the node.
//
// Invariants (check_invariants; RA numbers of the quorum as a whole are checked by the tests'
// oracle): RM1 the epoch never falls. RM2 one vote an epoch. RM3 the high watermark never falls and
// is at most the log's end; a follower raises it to its durable end at most, but one that led may
// know of a majority without it. RM4 a leader of a majority has it only behind a record of its own
// epoch. RM5 only a voter is prospective, candidate or leader, but for a leader that removes
// itself.
#pragma once

#include <functional>
#include <string>
#include <variant>

#include "raft/log_state.h"
#include "raft/messages.h"
#include "raft/roles.h"

namespace millrace::raft {

struct Options {
  ReplicaKey self;
  std::vector<Endpoint> endpoints;  // where this node's controller listens
  bool can_vote = true;             // process.roles has controller
  std::vector<NodeId> bootstrap;    // whom an observer asks that knows no leader; below -1: a
                                    // server of controller.quorum.bootstrap.servers
  Duration election_timeout = milliseconds(1000);  // up to twice as long, at random
  Duration election_backoff_max = milliseconds(1000);
  Duration fetch_timeout = milliseconds(2000);
  Duration request_timeout = milliseconds(2000);
  Duration retry_backoff = milliseconds(20);
  Duration fetch_max_wait = milliseconds(500);
  uint32_t max_fetch_bytes = 8 << 20;
};

// What was found on disk. All of the log is durable.
struct Recovered {
  ElectionState election;
  LogState log;
};

enum class Role { kUnattached, kProspective, kCandidate, kLeader, kFollower, kResigned };
std::string_view role_name(Role role);

// A piece of the snapshot that is being fetched.
struct SnapshotChunk {
  LogPosition snapshot;
  uint64_t position = 0;
  ByteBuffer bytes;
  bool last = false;
};

struct Output {
  uint64_t sequence = 0;  // of outputs; for on_persisted()
  std::optional<ElectionState> election;
  std::optional<Offset> truncate_to;   // everything from there on goes
  std::optional<LogPosition> restore;  // the log is emptied and goes on behind this snapshot
  std::vector<ByteBuffer> append;      // batches, with their offsets and epochs
  std::optional<SnapshotChunk> snapshot_chunk;
  std::vector<Envelope> send;
  std::optional<Offset> committed;  // the new high watermark
  bool changes_log() const { return truncate_to || restore || !append.empty(); }
};

class Machine {
 public:
  static constexpr size_t kMaxParkedFetches = 1000;
  static constexpr size_t kMaxObservers = 10'000;
  using Random = std::function<uint64_t()>;

  Machine(Options options, Recovered recovered, Random random, const Now& now);

  // A request or an answer of a peer.
  void on_message(Envelope envelope, const Now& now);
  // A request of ours found no answer. `gone`: nobody listens where the peer was, so that a
  // follower need not wait for its leader any longer. A replica that is wrong about that finds no
  // majority in its pre-vote.
  struct SendFailure {
    NodeId peer;
    uint64_t correlation = 0;
    bool gone = false;
  };
  void on_send_failed(const SendFailure& failure, const Now& now);
  // All log changes of the outputs up to `sequence` are durable.
  void on_persisted(uint64_t sequence, const Now& now);
  // The appends of the last output taken could not be written, and nothing of them is in the log.
  void on_append_failed();
  void on_tick(const Now& now);
  // A snapshot of ours is durable; or those below the log's start are gone.
  void on_snapshot_written(const LogPosition& snapshot) { log_.note_snapshot(snapshot); }
  void on_snapshot_removed(const LogPosition& snapshot) { log_.forget_snapshot(snapshot); }
  void on_log_start(Offset start) { log_.advance_start(start); }
  // The last chunk's snapshot is durable and loaded. `voters`, `kraft_version`: what it says.
  struct RestoredSnapshot {
    LogPosition id;
    VoterSet voters;
    int16_t kraft_version = 0;
  };
  void on_snapshot_restored(RestoredSnapshot snapshot, const Now& now);

  // Appends a batch of the leader's; offset and epoch are put in. kUnsupported: not the leader.
  Result<Offset> append(ByteBuffer batch, const Now& now);
  // Replaces the voters by a set that differs by one. Refused (kInvalid, kBusy) before a record of
  // this epoch is committed, while another change is under way, and below kraft.version 1.
  Result<Offset> change_voters(const VoterSet& next, const Now& now);
  // At kraft.version 0 the leader knows of its voters' directories and versions only what they tell
  // it, for as long as its epoch lasts. kUnsupported: not the leader, or the voters are in the log;
  // kNotFound: no voter.
  Result<> note_voter(NodeId id, Voter voter);
  // Why the quorum cannot go to that kraft.version now; nothing: it can, or has.
  std::optional<std::string> upgrade_problem(int16_t version) const;
  // To kraft.version 1, with the voters as they told of themselves (KIP-853), in one batch. Refused
  // (kInvalid) with upgrade_problem(), and where it has that version already.
  Result<Offset> upgrade_kraft_version(const Now& now);
  // Stops leading, and tells the others so that they need not wait (KIP-595, EndQuorumEpoch).
  void resign(const Now& now);

  Output take_output();
  Instant next_deadline() const;

  Role role() const;
  bool is_leader() const { return role() == Role::kLeader; }
  // It leads, and a record of its own epoch is committed: nothing older is still to come.
  bool is_established() const;
  // Somebody leads as far as is known here: this node, or one that has answered its fetches.
  bool hears_of_a_leader() const;
  // All that this epoch's leader has said to be committed is committed here.
  bool is_caught_up() const;
  bool is_voter() const { return options_.can_vote && log_.voters().contains(options_.self); }
  LeaderEpoch epoch() const { return election_.epoch; }
  NodeId leader() const { return election_.leader; }
  const LogState& log() const { return log_; }
  std::optional<Offset> high_watermark() const { return high_watermark_; }
  Offset durable_end() const { return durable_end_; }
  // Where to reach a node of the quorum; empty: not known.
  std::vector<Endpoint> endpoints_of(NodeId id) const;
  // The leader's view of the others, voters and observers; empty elsewhere.
  std::map<ReplicaKey, Progress> progress() const;
  const std::optional<Error>& fault() const { return fault_; }

  void check_invariants() const;
  std::string describe() const;

 private:
  struct ParkedFetch {
    NodeId peer;
    uint64_t correlation;
    FetchRequest request;
    Instant due;
  };
  // A request under way to a peer, or the pause after one.
  struct Exchange {
    uint64_t correlation = 0;  // 0: none is under way
    Instant due;
  };
  struct HandedOver {
    uint64_t sequence;
    Offset end;
  };
  // Of a fetching replica's log: neither, it is a prefix of ours.
  struct Verdict {
    std::optional<LogPosition> diverging;
    std::optional<LogPosition> snapshot;
  };
  struct SnapshotFetch {
    LogPosition id;
    uint64_t position = 0;
    bool complete = false;  // the host loads it
  };

  // Requests of peers (machine_requests.cc).
  void on(const VoteRequest& request, const Envelope& from, const Now& now);
  void on(const BeginQuorumEpochRequest& request, const Envelope& from, const Now& now);
  void on(const EndQuorumEpochRequest& request, const Envelope& from, const Now& now);
  void on(const FetchRequest& request, const Envelope& from, const Now& now);
  void on(const FetchSnapshotRequest& request, const Envelope& from, const Now& now);
  bool can_grant(const VoteRequest& request) const;
  ErrorCode check_vote(const VoteRequest& request) const;
  ErrorCode check_claim(NodeId leader, LeaderEpoch epoch) const;
  ErrorCode check_epoch_of_leader(LeaderEpoch asked) const;
  bool is_meant_for_us(const ReplicaKey& voter) const;
  void note_fetch(const FetchRequest& request, const Now& now);
  Verdict compare(const FetchRequest& request) const;
  std::optional<FetchResponse> answer_to(const FetchRequest& request) const;
  FetchResponse nothing_new() const;
  void wake_parked_fetches();
  void fail_parked_fetches();
  template <class Response>
  void answer(const Envelope& to, Response response, ErrorCode error);
  Standing standing(ErrorCode error) const;

  // Answers of peers (machine_answers.cc).
  void on(const VoteResponse& response, const Envelope& from, const Now& now);
  void on(const BeginQuorumEpochResponse& response, const Envelope& from, const Now& now);
  void on(const EndQuorumEpochResponse& response, const Envelope& from, const Now& now);
  void on(FetchResponse& response, const Envelope& from, const Now& now);
  void on(FetchSnapshotResponse& response, const Envelope& from, const Now& now);
  bool settle(NodeId peer, uint64_t correlation);
  void back_off(NodeId peer, const Now& now);
  void miss(NodeId peer, const Now& now);
  bool follow_standing(const Standing& told, NodeId peer, const Now& now);
  void cut_back(const LogPosition& leaders);
  void begin_snapshot_fetch(const LogPosition& snapshot);
  Result<> take_records(ByteView records);
  Result<> take_batch(ByteView bytes);

  // Voters (machine_voters.cc).
  Voter own_entry() const { return {options_.self.directory_id, options_.endpoints}; }
  std::optional<VoterSet> voters_to_write() const;
  void name_replicas_anew();

  // Roles (machine.cc).
  void become_unattached(LeaderEpoch epoch, NodeId leader, const Now& now);
  void become_prospective(const Now& now);
  void become_candidate(const Now& now);
  void become_leader(const std::vector<NodeId>& granting, const Now& now);
  void become_follower(LeaderEpoch epoch, NodeId leader, const Now& now);
  void become_resigned(const Now& now);
  void lose_prospect(const Now& now);
  template <class Next>
  void enter(Next next);
  void set_election(ElectionState next);
  void tick_role(const Now& now);
  void count_votes(const Now& now);
  void append_epoch_start(const std::vector<NodeId>& granting, const Now& now);
  void append_at_end(ByteBuffer batch);
  void finish(const Now& now);
  void expire(const Now& now);
  bool is_only_voter() const;
  bool may_stand() const;
  Instant quorum_due(const Leader& leader) const;
  Instant next_begin_epoch(const Progress& progress) const;
  Progress* progress_of(const ReplicaKey& key);
  void update_high_watermark(const Now& now);
  void set_high_watermark(Offset to, const Now& now);
  std::vector<ReplicaKey> successors() const;

  // Requests of ours (machine_send.cc).
  void send_due(const Now& now);
  void send_votes(const std::map<NodeId, bool>& answered, bool pre_vote, const Now& now);
  void send_begin_epoch(Leader& leader, const Now& now);
  void send_end_epoch(const Now& now);
  void send_fetch(const Now& now);
  bool may_send(NodeId to) const;
  void send(NodeId to, Message message, const Now& now);
  NodeId whom_to_fetch_from();
  Duration random_election_timeout();

  Options options_;
  Random random_;
  ElectionState election_;
  LogState log_;
  std::variant<Unattached, Prospective, Candidate, Leader, Follower, Resigned> role_;
  std::vector<Endpoint> leader_endpoints_;  // as the leader told them
  Offset durable_end_{0};
  std::optional<Offset> high_watermark_;
  std::vector<HandedOver> handed_over_;
  std::vector<ParkedFetch> parked_;
  std::map<NodeId, Exchange> exchanges_;
  std::optional<SnapshotFetch> snapshot_fetch_;
  uint64_t next_correlation_ = 1;
  uint64_t next_sequence_ = 1;
  Instant last_now_;
  Output output_;
  std::optional<Error> fault_;
};

}  // namespace millrace::raft
