// The quorum's messages to and from the protocol's: one topic, __cluster_metadata, with one
// partition. A request that names another cluster or partition is refused with the code that Kafka
// answers as a whole: INCONSISTENT_CLUSTER_ID or INVALID_REQUEST.
// Not here: encoding (wire), what the messages do (raft/machine).
// Ownership: the records and snapshot bytes of a response to the wire are views into the response
// given. Versions: `version` is that of the message on the wire, which lacks fields below some.
#pragma once

#include <expected>
#include <string>

#include "raft/messages.h"
#include "wire/begin_quorum_epoch.h"
#include "wire/end_quorum_epoch.h"
#include "wire/fetch.h"
#include "wire/fetch_snapshot.h"
#include "wire/vote.h"

namespace millrace::raft {

inline constexpr const char* kMetadataTopic = "__cluster_metadata";
inline constexpr Uuid kMetadataTopicId = Uuid::of_words({0, 1});

template <class Request>
using Received = std::expected<Request, ErrorCode>;

wire::VoteRequest to_wire(const VoteRequest& request, const std::string& cluster_id);
wire::BeginQuorumEpochRequest to_wire(const BeginQuorumEpochRequest& request,
                                      const std::string& cluster_id);
wire::EndQuorumEpochRequest to_wire(const EndQuorumEpochRequest& request,
                                    const std::string& cluster_id);
wire::FetchRequest to_wire(const FetchRequest& request, const std::string& cluster_id);
wire::FetchSnapshotRequest to_wire(const FetchSnapshotRequest& request,
                                   const std::string& cluster_id);

Received<VoteRequest> from_wire(const wire::VoteRequest& request, const std::string& cluster_id);
Received<BeginQuorumEpochRequest> from_wire(const wire::BeginQuorumEpochRequest& request,
                                            const std::string& cluster_id);
Received<EndQuorumEpochRequest> from_wire(const wire::EndQuorumEpochRequest& request,
                                          const std::string& cluster_id);
Received<FetchRequest> from_wire(const wire::FetchRequest& request, const std::string& cluster_id);
Received<FetchSnapshotRequest> from_wire(const wire::FetchSnapshotRequest& request,
                                         const std::string& cluster_id);

wire::VoteResponse to_wire(const VoteResponse& response);
wire::BeginQuorumEpochResponse to_wire(const BeginQuorumEpochResponse& response);
wire::EndQuorumEpochResponse to_wire(const EndQuorumEpochResponse& response);
wire::FetchResponse to_wire(const FetchResponse& response);
wire::FetchSnapshotResponse to_wire(const FetchSnapshotResponse& response);

VoteResponse from_wire(const wire::VoteResponse& response);
BeginQuorumEpochResponse from_wire(const wire::BeginQuorumEpochResponse& response);
EndQuorumEpochResponse from_wire(const wire::EndQuorumEpochResponse& response);
FetchResponse from_wire(const wire::FetchResponse& response);
FetchSnapshotResponse from_wire(const wire::FetchSnapshotResponse& response);

}  // namespace millrace::raft
