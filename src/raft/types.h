// The words of KRaft (KIP-595, KIP-853): replicas, voters, positions in the log, what quorum-state
// holds. Values only.
// Not here: what is done with them (raft/machine), their form on the wire (raft/wire_messages),
// quorum-state's text (raft/quorum_state).
#pragma once

#include <compare>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace millrace::raft {

// What time it is: `time` for timeouts, `wall` for the timestamps of records.
struct Now {
  Instant time;
  TimestampMs wall{0};
};

// A node with the directory that it keeps the log in. Zero: the directory is not known, as in
// quorums of kraft.version 0.
struct ReplicaKey {
  NodeId id = kNoNode;
  Uuid directory_id;
  friend auto operator<=>(const ReplicaKey&, const ReplicaKey&) = default;
};

struct Endpoint {
  std::string listener;
  std::string host;
  uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// A place in the log: everything below `offset`, the last of it written in `epoch`. Ordered as logs
// are: the higher epoch is newer, then the longer. Names a snapshot, too.
struct LogPosition {
  LeaderEpoch epoch{0};
  Offset offset{0};
  friend auto operator<=>(const LogPosition&, const LogPosition&) = default;
};

struct Voter {
  Uuid directory_id;
  std::vector<Endpoint> endpoints;
  int16_t min_kraft_version = 0;
  int16_t max_kraft_version = 1;
  friend bool operator==(const Voter&, const Voter&) = default;
};

// Who may vote, and who counts for a majority.
struct VoterSet {
  std::map<NodeId, Voter> voters;

  bool contains(NodeId id) const { return voters.contains(id); }
  // A known directory must match: a node whose disk was replaced is another replica.
  bool contains(const ReplicaKey& key) const;
  size_t majority() const { return voters.size() / 2 + 1; }
  // The two differ by one voter at most, so that any majorities of them meet.
  bool overlaps(const VoterSet& next) const;
  friend bool operator==(const VoterSet&, const VoterSet&) = default;
};

// What quorum-state holds: the epoch, its leader where known, and whom this node voted for in it.
struct ElectionState {
  LeaderEpoch epoch{0};
  NodeId leader = kNoNode;
  std::optional<ReplicaKey> voted;
  friend bool operator==(const ElectionState&, const ElectionState&) = default;
};

}  // namespace millrace::raft
