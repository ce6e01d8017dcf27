// The APIs of the streams group protocol (KIP-1071): StreamsGroupHeartbeat, StreamsGroupDescribe.
// Both are UNSUPPORTED_VERSION where group.coordinator.rebalance.protocols or the feature
// streams.version leaves the protocol out. Topics of the application's own that are missing are
// created in the name of who sends a heartbeat; its answer does not wait for that.
#include <algorithm>
#include <unordered_set>

#include "controller/controller.h"
#include "node/image_topics.h"
#include "node/partition_groups.h"
#include "server/forwarding.h"
#include "server/group_descriptions.h"
#include "server/handlers/handlers.h"
#include "server/topic_creation.h"
#include "wire/error_messages.h"

namespace millrace::server {
namespace {

using group::Coordinator;
using group::RequestContext;
using wire::ErrorCode;
using HeartbeatRequest = wire::StreamsGroupHeartbeatRequest;
using HeartbeatResponse = wire::StreamsGroupHeartbeatResponse;
using DescribeResponse = wire::StreamsGroupDescribeResponse;
using Topics = std::vector<wire::CreateTopicsRequest::CreatableTopic>;

bool is_enabled(const node::Node& node) {
  const auto protocols = node.properties().list("group.coordinator.rebalance.protocols");
  if (std::ranges::find(protocols, "streams") == protocols.end()) return false;
  return node.image()->feature_level("streams.version") >= 1;
}

HeartbeatResponse refused_heartbeat(ErrorCode code) {
  HeartbeatResponse response;
  response.error_code = wire::code_of(code);
  return response;
}

HeartbeatResponse invalid_topology(std::string message) {
  HeartbeatResponse response = refused_heartbeat(ErrorCode::kStreamsInvalidTopology);
  response.error_message = std::move(message);
  return response;
}

DescribeResponse::DescribedGroup refused_group(const std::string& group_id, ErrorCode code) {
  DescribeResponse::DescribedGroup group;
  group.group_id = group_id;
  group.error_code = wire::code_of(code);
  return group;
}

// Each once, as they come.
std::vector<std::string> topics_of(const HeartbeatRequest::Topology& topology) {
  std::vector<std::string> names;
  std::unordered_set<std::string_view> known;
  const auto add = [&](const std::string& name) {
    if (known.insert(name).second) names.push_back(name);
  };
  for (const auto& subtopology : topology.subtopologies) {
    std::ranges::for_each(subtopology.source_topics, add);
    std::ranges::for_each(subtopology.repartition_sink_topics, add);
    for (const auto& topic : subtopology.repartition_source_topics) add(topic.name);
    for (const auto& topic : subtopology.state_changelog_topics) add(topic.name);
  }
  return names;
}

// Java reads no string of more than 32,767 bytes, and so not the answer that this one goes with.
std::string joined(const std::vector<std::string>& names) {
  constexpr size_t kLongest = 30'000;
  std::string text;
  for (const std::string& name : names) {
    if (text.size() + name.size() > kLongest) return text + ",...";
    text += (text.empty() ? "" : ",") + name;
  }
  return text;
}

std::optional<HeartbeatResponse> refusal_of(const HeartbeatRequest::Topology& topology) {
  const std::vector<std::string> names = topics_of(topology);
  std::vector<std::string> internal, invalid;
  std::ranges::copy_if(names, std::back_inserter(internal), is_internal_topic);
  std::ranges::copy_if(names, std::back_inserter(invalid), [](const std::string& name) {
    return controller::topic_name_problem(name).has_value();
  });
  if (!internal.empty())
    return invalid_topology(
        fmt::format("Use of Kafka internal topics {} in a Kafka Streams topology is prohibited.",
                    joined(internal)));
  if (!invalid.empty())
    return invalid_topology(
        fmt::format("Topic names {} are not valid topic names.", joined(invalid)));
  return std::nullopt;
}

node::GroupHost::Request request_of(const Call& call, const std::string& group_id) {
  return {.group_id = group_id,
          .api_version = call.version(),
          .client_id = call.header().client_id,
          .client_host = "/" + call.peer().host,
          .shard = &call.shard()};
}

using TopicOutcomes = std::vector<group::StreamsTopicOutcome>;

// Tells the group's coordinator, wherever it is by now.
void tell_outcomes(node::GroupHost& groups, node::GroupHost::Request told, TopicOutcomes outcomes) {
  told.step = [outcomes = std::move(outcomes), id = told.group_id](Coordinator& c,
                                                                   const RequestContext& context) {
    return c.decide_streams_topics(id, outcomes, context);
  };
  told.done = [](ErrorCode, group::Response) {};
  groups.run(std::move(told));
}

TopicOutcomes outcomes_of(const Topics& asked, std::string_view error) {
  TopicOutcomes outcomes;
  for (const auto& topic : asked) outcomes.push_back({topic.name, std::string(error)});
  return outcomes;
}

TopicOutcomes outcomes_of(const wire::CreateTopicsResponse& response) {
  TopicOutcomes outcomes;
  for (const auto& topic : response.topics) {
    auto& outcome = outcomes.emplace_back(topic.name);
    if (topic.error_code == 0) continue;
    outcome.error = topic.error_message.value_or("");
    if (outcome.error.empty())
      outcome.error = wire::error_message(static_cast<ErrorCode>(topic.error_code));
  }
  return outcomes;
}

void create_missing(const Call& call, const std::string& group_id, Topics topics) {
  wire::CreateTopicsRequest request;
  request.timeout_ms = static_cast<int32_t>(call.node().properties().number("request.timeout.ms"));
  request.topics = std::move(topics);
  auto told = std::make_shared<node::GroupHost::Request>(request_of(call, group_id));
  ask_controller_aside<wire::CreateTopicsResponse>(
      call, request, wire::CreateTopicsRequest::kMaxVersion,
      [told, &groups = call.node().groups(),
       asked = request.topics](const Result<wire::CreateTopicsResponse>& response) {
        auto outcomes =
            response ? outcomes_of(*response) : outcomes_of(asked, response.error().message);
        tell_outcomes(groups, std::move(*told), std::move(outcomes));
      });
}

}  // namespace

void handle_streams_group_heartbeat(Call call) {
  auto request = call.decode<HeartbeatRequest>();
  if (!request) return;
  if (!is_enabled(call.node()))
    return call.respond(refused_heartbeat(ErrorCode::kUnsupportedVersion));
  if (request->topology)
    if (const auto refusal = refusal_of(*request->topology)) return call.respond(*refusal);
  const std::string group_id = request->group_id;
  node::GroupHost::Request asked = request_of(call, group_id);
  asked.step = [request = std::move(*request)](Coordinator& c, const RequestContext& context) {
    return c.decide_streams_heartbeat(request, context);
  };
  node::GroupHost& groups = call.node().groups();
  asked.done = [waiting = std::make_shared<Call>(std::move(call)), group_id](
                   ErrorCode code, group::Response response) {
    auto* answer = std::get_if<group::StreamsHeartbeatAnswer>(&response);
    const bool misses_any = answer != nullptr && !answer->missing_topics.empty();
    if (code != ErrorCode::kNone) {
      if (misses_any)
        tell_outcomes(waiting->node().groups(), request_of(*waiting, group_id),
                      outcomes_of(answer->missing_topics, ""));
      return waiting->respond(refused_heartbeat(code));
    }
    if (misses_any) create_missing(*waiting, group_id, std::move(answer->missing_topics));
    waiting->respond(answer->response);
  };
  groups.run(std::move(asked));
}

void handle_streams_group_describe(Call call) {
  auto request = call.decode<wire::StreamsGroupDescribeRequest>();
  if (!request) return;
  const bool enabled = is_enabled(call.node());
  describe_groups<DescribeResponse, wire::StreamsGroupDescribeRequest,
                  DescribeResponse::DescribedGroup>(
      std::move(call), *request,
      {.is_enabled = enabled,
       .describe = [](const Coordinator& coordinator,
                      const std::string& id) { return coordinator.describe_streams_group(id); },
       .refused = refused_group,
       .failed = refused_group});
}

}  // namespace millrace::server
