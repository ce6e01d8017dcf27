// The APIs of the consumer group protocol (KIP-848): ConsumerGroupHeartbeat, ConsumerGroupDescribe.
// Both are UNSUPPORTED_VERSION where group.coordinator.rebalance.protocols or the feature
// group.version leaves the protocol out.
#include <algorithm>

#include "node/image_topics.h"
#include "node/partition_groups.h"
#include "server/authorized_operations.h"
#include "server/gathered_response.h"
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
  const auto image = node.image();
  const auto level = image->features().find("group.version");
  return level != image->features().end() && level->second >= 1;
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
  const bool enabled = is_enabled(call.node());
  const bool wants_operations = request->include_authorized_operations;
  using Description = GatheredResponse<DescribeResponse>;
  auto description = std::make_shared<Description>(std::move(call));
  auto& described = description->response.groups;
  for (const std::string& id : request->group_ids)
    described.push_back(
        refused_group(id, enabled ? ErrorCode::kInvalidGroupId : ErrorCode::kUnsupportedVersion));
  node::Node& node = description->call.node();
  const node::ImageTopics topics(node.image());
  for (size_t i = 0; enabled && i < described.size(); ++i) {
    const std::string id = described[i].group_id;
    if (id.empty()) continue;
    const ErrorCode code = node.groups().read(id, [&](const Coordinator& coordinator) {
      described[i] = coordinator.describe_consumer_group(id, topics);
      if (wants_operations && described[i].error_code == 0)
        described[i].authorized_operations = kGroupOperations;
    });
    if (code != ErrorCode::kNone) {
      described[i] = refused_group(id, code);
      continue;
    }
    // What was read may rest on records that are not durable yet.
    description->one_more();
    node.groups().when_durable(id, description->call.shard(), [description, i](ErrorCode durable) {
      auto& group = description->response.groups[i];
      if (durable != ErrorCode::kNone) group = refused_group(group.group_id, durable);
      description->one_is_done();
    });
  }
  description->one_is_done();
}

}  // namespace millrace::server
