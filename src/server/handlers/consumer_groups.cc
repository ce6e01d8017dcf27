// The APIs of the consumer group protocol (KIP-848): ConsumerGroupHeartbeat, ConsumerGroupDescribe.
// Both are UNSUPPORTED_VERSION where group.coordinator.rebalance.protocols or the feature
// group.version leaves the protocol out.
#include <algorithm>

#include "node/image_topics.h"
#include "node/partition_groups.h"
#include "server/group_descriptions.h"
#include "server/handlers/handlers.h"

namespace millrace::server {
namespace {

using group::Coordinator;
using group::RequestContext;
using wire::ErrorCode;
using HeartbeatResponse = wire::ConsumerGroupHeartbeatResponse;
using DescribeResponse = wire::ConsumerGroupDescribeResponse;

bool is_enabled(const node::Node& node) {
  const auto protocols = node.properties().list("group.coordinator.rebalance.protocols");
  if (std::ranges::find(protocols, "consumer") == protocols.end()) return false;
  return node.image()->feature_level("group.version") >= 1;
}

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

}  // namespace

void handle_consumer_group_heartbeat(Call call) {
  auto request = call.decode<wire::ConsumerGroupHeartbeatRequest>();
  if (!request) return;
  if (!is_enabled(call.node()))
    return call.respond(refused_heartbeat(ErrorCode::kUnsupportedVersion));
  node::GroupHost::Request asked{.group_id = request->group_id,
                                 .api_version = call.version(),
                                 .client_id = call.header().client_id,
                                 .client_host = "/" + call.peer().host,
                                 .shard = &call.shard()};
  asked.step = [request = std::move(*request)](Coordinator& c, const RequestContext& context) {
    return c.decide_consumer_heartbeat(request, context);
  };
  node::GroupHost& groups = call.node().groups();
  asked.done = [waiting = std::make_shared<Call>(std::move(call))](ErrorCode code,
                                                                   group::Response response) {
    waiting->respond(code == ErrorCode::kNone ? std::get<HeartbeatResponse>(response)
                                              : refused_heartbeat(code));
  };
  groups.run(std::move(asked));
}

void handle_consumer_group_describe(Call call) {
  auto request = call.decode<wire::ConsumerGroupDescribeRequest>();
  if (!request) return;
  const node::ImageTopics topics(call.node().image(), call.node().settings());
  const bool enabled = is_enabled(call.node());
  describe_groups<DescribeResponse, wire::ConsumerGroupDescribeRequest,
                  DescribeResponse::DescribedGroup>(
      std::move(call), *request,
      {.is_enabled = enabled,
       .describe =
           [&topics](const Coordinator& coordinator, const std::string& id) {
             return coordinator.describe_consumer_group(id, topics);
           },
       .refused = refused_group,
       .failed = refused_group});
}

}  // namespace millrace::server
