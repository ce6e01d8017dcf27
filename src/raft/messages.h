// The conversation of a quorum: Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch, FetchSnapshot with
// the fields that matter to the one partition there is.
// Not here: their form on the wire and the checks of cluster id and topic (raft/wire_messages),
// what they do (raft/machine).
// Ownership: values; a response that carries a range instead of bytes is filled by the host from
// its files.
#pragma once

#include <variant>

#include "base/bytes.h"
#include "base/time.h"
#include "raft/types.h"
#include "wire/errors.h"

namespace millrace::raft {

using wire::ErrorCode;

struct VoteRequest {
  ReplicaKey candidate;
  LeaderEpoch epoch;  // that it stands for; of a pre-vote: that it is in
  ReplicaKey voter;   // whom it asks; id -1 below version 1
  LogPosition log_end;
  bool pre_vote = false;
  friend bool operator==(const VoteRequest&, const VoteRequest&) = default;
};

struct BeginQuorumEpochRequest {
  NodeId leader = kNoNode;
  LeaderEpoch epoch;
  ReplicaKey voter;
  std::vector<Endpoint> endpoints;  // of the leader
  friend bool operator==(const BeginQuorumEpochRequest&, const BeginQuorumEpochRequest&) = default;
};

struct EndQuorumEpochRequest {
  NodeId leader = kNoNode;
  LeaderEpoch epoch;
  std::vector<ReplicaKey> preferred;  // the longest log first
  std::vector<Endpoint> endpoints;
  friend bool operator==(const EndQuorumEpochRequest&, const EndQuorumEpochRequest&) = default;
};

struct FetchRequest {
  ReplicaKey replica;
  LeaderEpoch current_epoch;
  Offset from;
  LeaderEpoch last_fetched_epoch;
  Duration max_wait{};
  uint32_t max_bytes = 0;
  Offset high_watermark;  // that the replica knows; the largest number where it does not say
  friend bool operator==(const FetchRequest&, const FetchRequest&) = default;
};

struct FetchSnapshotRequest {
  ReplicaKey replica;
  LeaderEpoch current_epoch;
  LogPosition snapshot;
  uint64_t position = 0;
  uint32_t max_bytes = 0;
  friend bool operator==(const FetchSnapshotRequest&, const FetchSnapshotRequest&) = default;
};

// What every answer tells of the quorum as its sender sees it.
struct Standing {
  ErrorCode error = ErrorCode::kNone;
  NodeId leader = kNoNode;
  LeaderEpoch epoch;
  std::vector<Endpoint> leader_endpoints;  // where known
  friend bool operator==(const Standing&, const Standing&) = default;
};

struct VoteResponse {
  Standing standing;
  bool granted = false;
};

struct BeginQuorumEpochResponse {
  Standing standing;
};

struct EndQuorumEpochResponse {
  Standing standing;
};

struct FetchResponse {
  Standing standing;
  Offset high_watermark{-1};
  Offset log_start{-1};
  std::optional<LogPosition> diverging;  // cut back to there and fetch again
  std::optional<LogPosition> snapshot;   // fetch this snapshot first
  // On its way out the host puts whole batches from `read_from` on, below `read_below`, into
  // `records`.
  Offset read_from{0};
  Offset read_below{0};
  uint32_t max_bytes = 0;
  ByteBuffer records;
};

struct FetchSnapshotResponse {
  Standing standing;
  LogPosition snapshot;
  uint64_t position = 0;
  // On its way out the host fills these from the snapshot's file, or sets the error
  // POSITION_OUT_OF_RANGE.
  uint32_t max_bytes = 0;
  uint64_t size = 0;
  ByteBuffer bytes;
};

using Message =
    std::variant<VoteRequest, BeginQuorumEpochRequest, EndQuorumEpochRequest, FetchRequest,
                 FetchSnapshotRequest, VoteResponse, BeginQuorumEpochResponse,
                 EndQuorumEpochResponse, FetchResponse, FetchSnapshotResponse>;

// The others are answers.
inline bool is_request(const Message& message) {
  return std::holds_alternative<VoteRequest>(message) ||
         std::holds_alternative<BeginQuorumEpochRequest>(message) ||
         std::holds_alternative<EndQuorumEpochRequest>(message) ||
         std::holds_alternative<FetchRequest>(message) ||
         std::holds_alternative<FetchSnapshotRequest>(message);
}

// A message with the peer that it comes from or goes to. `correlation` joins an answer to its
// request: of a request that arrives it is the host's, of one that leaves the machine's.
struct Envelope {
  NodeId peer = kNoNode;
  uint64_t correlation = 0;
  Message message;
};

}  // namespace millrace::raft
