// The APIs of the share group protocol (KIP-932) for members and who looks at them:
// ShareGroupHeartbeat, ShareGroupDescribe. Both are UNSUPPORTED_VERSION where the feature
// share.version leaves the protocol out.
#include "node/image_topics.h"
#include "node/partition_groups.h"
#include "node/share_partitions.h"
#include "server/group_descriptions.h"
#include "server/handlers/handlers.h"
#include "share/member_id.h"
#include "wire/error_messages.h"

namespace millrace::server {
namespace {

using group::Coordinator;
using group::RequestContext;
using wire::ErrorCode;
using HeartbeatResponse = wire::ShareGroupHeartbeatResponse;
using DescribeResponse = wire::ShareGroupDescribeResponse;

HeartbeatResponse refused_heartbeat(ErrorCode code) {
  HeartbeatResponse response;
  response.error_code = wire::code_of(code);
  return response;
}

DescribeResponse::DescribedGroup refused_group(const std::string& group_id, ErrorCode code) {
  DescribeResponse::DescribedGroup group;
  group.group_id = group_id;
  group.error_code = wire::code_of(code);
  return group;
}

// What its coordinator, or the way there, refuses has words too.
DescribeResponse::DescribedGroup failed_group(const std::string& group_id, ErrorCode code) {
  DescribeResponse::DescribedGroup group = refused_group(group_id, code);
  group.error_message = wire::error_message(code);
  return group;
}

}  // namespace

void handle_share_group_heartbeat(Call call) {
  auto request = call.decode<wire::ShareGroupHeartbeatRequest>();
  if (!request) return;
  if (!call.node().share_partitions().is_enabled())
    return call.respond(refused_heartbeat(ErrorCode::kUnsupportedVersion));
  if (!share::is_member_id(request->member_id))
    return call.respond(refused_heartbeat(ErrorCode::kInvalidRequest));
  node::GroupHost::Request asked{.group_id = request->group_id,
                                 .api_version = call.version(),
                                 .client_id = call.header().client_id,
                                 .client_host = "/" + call.peer().host,
                                 .shard = &call.shard()};
  asked.step = [request = std::move(*request)](Coordinator& c, const RequestContext& context) {
    return c.decide_share_heartbeat(request, context);
  };
  node::GroupHost& groups = call.node().groups();
  asked.done = [waiting = std::make_shared<Call>(std::move(call))](ErrorCode code,
                                                                   group::Response response) {
    waiting->respond(code == ErrorCode::kNone ? std::get<HeartbeatResponse>(response)
                                              : refused_heartbeat(code));
  };
  groups.run(std::move(asked));
}

void handle_share_group_describe(Call call) {
  auto request = call.decode<wire::ShareGroupDescribeRequest>();
  if (!request) return;
  const node::ImageTopics topics(call.node().image(), call.node().settings());
  const bool enabled = call.node().share_partitions().is_enabled();
  describe_groups<DescribeResponse, wire::ShareGroupDescribeRequest,
                  DescribeResponse::DescribedGroup>(
      std::move(call), *request,
      {.is_enabled = enabled,
       .describe =
           [&topics](const Coordinator& coordinator, const std::string& id) {
             return coordinator.describe_share_group(id, topics);
           },
       .refused = refused_group,
       .failed = failed_group});
}

}  // namespace millrace::server
