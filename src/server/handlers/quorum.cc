// Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch and FetchSnapshot on the controller's listener
// (KIP-595, KIP-630, KIP-853): what replicas of the metadata log ask. The machine answers
// (raft/machine), records and snapshots go from their files to the socket.
#include "node/controller_host.h"
#include "raft/wire_messages.h"
#include "server/handlers/handlers.h"

namespace millrace::server {
namespace {

// The range that stands for `records`, where there is one.
std::vector<FileRange> attach(const storage::ReadSlice& range, wire::Records& records) {
  if (range.length == 0) return {};
  records = wire::Records::external(0, range.length);
  return {{range.file, range.position, range.length}};
}

std::vector<FileRange> attach_range(const storage::ReadSlice& range,
                                    wire::FetchResponse& response) {
  return attach(range, response.responses[0].partitions[0].records);
}
std::vector<FileRange> attach_range(const storage::ReadSlice& range,
                                    wire::FetchSnapshotResponse& response) {
  return attach(range, response.topics[0].partitions[0].unaligned_records);
}
template <class Response>
std::vector<FileRange> attach_range(const storage::ReadSlice&, Response&) {
  return {};
}

// Another cluster's, or another partition: refused as a whole. Else asked of the machine, whose
// answer may take as long as a fetch may wait.
template <class WireRequest, class Answer>
void ask_quorum(Call call) {
  auto request = call.decode<WireRequest>();
  if (!request) return;
  auto asked = raft::from_wire(*request, call.node().cluster_id());
  if (!asked) {
    decltype(raft::to_wire(std::declval<const Answer&>())) refusal;
    refusal.error_code = wire::code_of(asked.error());
    return call.respond(refusal);
  }
  env::Shard& shard = call.shard();
  node::ControllerHost& controller = call.node().controller();
  auto waiting = std::make_shared<Call>(std::move(call));
  controller.ask_quorum(shard, std::move(*asked), [waiting](node::QuorumAnswer answer) {
    if (!answer.message) return waiting->close("this voter cannot write what it would answer");
    auto response = raft::to_wire(std::get<Answer>(*answer.message));
    auto ranges = attach_range(answer.range, response);
    waiting->respond(response, std::move(ranges));
  });
}

}  // namespace

void handle_vote(Call call) { ask_quorum<wire::VoteRequest, raft::VoteResponse>(std::move(call)); }
void handle_begin_quorum_epoch(Call call) {
  ask_quorum<wire::BeginQuorumEpochRequest, raft::BeginQuorumEpochResponse>(std::move(call));
}
void handle_end_quorum_epoch(Call call) {
  ask_quorum<wire::EndQuorumEpochRequest, raft::EndQuorumEpochResponse>(std::move(call));
}
void handle_quorum_fetch(Call call) {
  ask_quorum<wire::FetchRequest, raft::FetchResponse>(std::move(call));
}
void handle_fetch_snapshot(Call call) {
  ask_quorum<wire::FetchSnapshotRequest, raft::FetchSnapshotResponse>(std::move(call));
}

}  // namespace millrace::server
