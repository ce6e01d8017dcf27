// ShareAcknowledge (KIP-932, KIP-1222): what a member of a share group says of the records that it
// has, apart from a ShareFetch. Answered when it is kept.
#include "server/handlers/handlers.h"
#include "server/leader_hint.h"
#include "server/share_acknowledgements.h"
#include "wire/share_acknowledge.h"

namespace millrace::server {
namespace {

using Request = wire::ShareAcknowledgeRequest;
using Response = wire::ShareAcknowledgeResponse;
using wire::ErrorCode;

void refuse(Call& call, ErrorCode error) {
  Response response;
  response.error_code = wire::code_of(error);
  call.respond(response);
}

void answer(Call& call, const share::SessionKey& session, int32_t epoch,
            const std::vector<AcknowledgedPartition>& results) {
  node::SharePartitions& partitions = call.node().share_partitions();
  Response response;
  response.acquisition_lock_timeout_ms = static_cast<int32_t>(
      partitions.settings_of(session.group).partition.record_lock / milliseconds(1));
  AnswerPartitions<Response::ShareAcknowledgeTopicResponse> told(response.responses);
  for (const AcknowledgedPartition& result : results) {
    auto& data = told.at(result.partition, [] { return Response::PartitionData{}; });
    data.error_code = wire::code_of(result.error);
    data.error_message = message_of(result.error, result.message);
    if (result.error == ErrorCode::kNotLeaderOrFollower ||
        result.error == ErrorCode::kFencedLeaderEpoch)
      hint_at_leader(call, {{}, result.partition.topic_id, data.partition_index},
                     data.current_leader, response.node_endpoints);
  }
  if (epoch == share::kFinalEpoch) partitions.close_session(session);
  call.respond(response);
}

}  // namespace

void handle_share_acknowledge(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  const ErrorCode error = check_share_request(call, request->group_id, request->member_id);
  if (error != ErrorCode::kNone) return refuse(call, error);
  const share::SessionKey session{*request->group_id, *request->member_id};
  const int32_t epoch = request->share_session_epoch;
  const ErrorCode out = call.node().share_partitions().with_sessions(
      [&](auto& sessions) { return sessions.begin_acknowledge(session, epoch); });
  if (out != ErrorCode::kNone) return refuse(call, out);
  const Acknowledgements said = acknowledgements_of(call, *request);
  auto kept = std::make_shared<Call>(std::move(call));
  acknowledge(*kept, said, [kept, session, epoch](std::vector<AcknowledgedPartition> results) {
    answer(*kept, session, epoch, results);
  });
}

}  // namespace millrace::server
