// Metadata: who leads what (KIP-516 topic ids, KIP-430 authorised operations). A topic that is
// missing is created when the client and the configuration allow it; the request that caused it is
// answered UNKNOWN_TOPIC_OR_PARTITION, as Kafka does.
#include <algorithm>
#include <set>

#include "controller/controller.h"
#include "metadata/node_ids.h"
#include "server/authorized_operations.h"
#include "server/broker_view.h"
#include "server/handlers/handlers.h"
#include "server/topic_creation.h"
#include "wire/metadata.h"

namespace millrace::server {
namespace {

using Response = wire::MetadataResponse;
using wire::ErrorCode;

void add_brokers(Response& response, const metadata::Image& image, const std::string& listener) {
  for (const auto& [id, broker] : image.brokers()) {
    if (broker.fenced) continue;
    if (const metadata::Endpoint* endpoint = endpoint_on(broker, listener))
      response.brokers.push_back({.node_id = id.value(),
                                  .host = endpoint->host,
                                  .port = endpoint->port,
                                  .rack = broker.rack});
  }
}

// Version 0 has no place for what cannot be reached, and no word for the listener before 6.
constexpr int16_t kNamesUnreachable = 1;
constexpr int16_t kKnowsListenerNotFound = 6;

std::vector<int32_t> reachable(const BrokerView& view, const std::vector<NodeId>& nodes) {
  std::vector<int32_t> ids;
  for (NodeId id : nodes)
    if (view.is_reachable(id)) ids.push_back(id.value());
  return ids;
}

class TopicDescriber {
 public:
  TopicDescriber(const metadata::Image& image, const std::string& listener, int16_t version)
      : view_(image, listener), version_(version) {}

  void add(Response& response, const metadata::Topic& topic) const {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    result.topic_id = topic.id;
    result.is_internal = is_internal_topic(topic.name);
    for (size_t i = 0; i < topic.partitions.size(); ++i)
      result.partitions.push_back(describe(i, topic.partitions[i]));
  }

 private:
  std::vector<int32_t> nodes(const std::vector<NodeId>& all) const {
    return version_ < kNamesUnreachable ? reachable(view_, all) : metadata::numbers_of(all);
  }

  Response::MetadataResponsePartition describe(size_t index,
                                               const metadata::PartitionState& p) const {
    Response::MetadataResponsePartition result{.partition_index = static_cast<int32_t>(index),
                                               .leader_id = p.leader.value(),
                                               .leader_epoch = p.leader_epoch.value(),
                                               .replica_nodes = nodes(p.replicas),
                                               .isr_nodes = nodes(p.isr),
                                               .offline_replicas = view_.offline_replicas(p)};
    ErrorCode code = view_.leader_error(p);
    if (code == ErrorCode::kListenerNotFound && version_ < kKnowsListenerNotFound)
      code = ErrorCode::kLeaderNotAvailable;
    if (code != ErrorCode::kNone)
      result.leader_id = kNoNode.value();
    else if (result.replica_nodes.size() < p.replicas.size() ||
             result.isr_nodes.size() < p.isr.size())
      code = ErrorCode::kReplicaNotAvailable;
    result.error_code = wire::code_of(code);
    return result;
  }

  BrokerView view_;
  int16_t version_;
};

using Wanted = wire::MetadataRequest::MetadataRequestTopic;

// Before version 12 a topic is asked for by its name: the others have no place for an answer.
bool asks_before_its_time(const wire::MetadataRequest& request, int16_t version) {
  constexpr int16_t kFirstVersionWithIds = 12;
  return version < kFirstVersionWithIds && request.topics &&
         std::ranges::any_of(
             *request.topics,
             [](const Wanted& topic) { return !topic.name || !topic.topic_id.is_zero(); });
}

Response refused(const wire::MetadataRequest& request) {
  Response response;
  for (const Wanted& topic : *request.topics)
    response.topics.push_back({.error_code = wire::code_of(ErrorCode::kInvalidRequest),
                               .name = topic.name.value_or(""),
                               .topic_id = topic.topic_id});
  return response;
}

// Each topic once, in the order asked for. Where one is asked for by its id, names do not count.
std::vector<Wanted> each_once(std::vector<Wanted> topics) {
  auto by_id = [](const Wanted& topic) { return !topic.topic_id.is_zero(); };
  if (std::ranges::any_of(topics, by_id)) {
    std::erase_if(topics, [&](const Wanted& topic) { return !by_id(topic); });
    for (Wanted& topic : topics) topic.name.reset();
  }
  std::set<std::pair<std::optional<std::string>, Uuid>> seen;
  std::erase_if(topics, [&](const Wanted& topic) {
    return !seen.emplace(topic.name, topic.topic_id).second;
  });
  return topics;
}

void add_authorized_operations(Response& response, const wire::MetadataRequest& request) {
  if (request.include_cluster_authorized_operations)
    response.cluster_authorized_operations = kClusterOperations;
  if (!request.include_topic_authorized_operations) return;
  for (auto& topic : response.topics)
    if (topic.name) topic.topic_authorized_operations = kTopicOperations;
}

void add_error(Response& response, ErrorCode code, const Wanted& wanted) {
  auto& result = response.topics.emplace_back();
  result.error_code = wire::code_of(code);
  result.name = wanted.name;
  result.topic_id = wanted.topic_id;
  if (wanted.name) result.is_internal = is_internal_topic(*wanted.name);
}

}  // namespace

void handle_metadata(Call call) {
  auto request = call.decode<wire::MetadataRequest>();
  if (!request) return;
  if (asks_before_its_time(*request, call.version())) return call.respond(refused(*request));
  const auto image = call.node().image();
  const std::string& listener = call.peer().listener;
  const TopicDescriber describer(*image, listener, call.version());
  Response response;
  response.cluster_id = call.node().cluster_id();
  add_brokers(response, *image, listener);
  response.controller_id =
      BrokerView(*image, listener).some_alive_broker(call.shard().random().next());
  const bool all = !request->topics || (call.version() == 0 && request->topics->empty());
  if (all)
    for (const auto& [name, topic] : image->topics()) describer.add(response, *topic);
  const bool may_create = !all && request->allow_auto_topic_creation &&
                          call.node().properties().flag("auto.create.topics.enable");
  std::vector<std::string> missing;
  for (const auto& wanted : all ? std::vector<Wanted>{} : each_once(*request->topics)) {
    const metadata::Topic* topic =
        wanted.name ? image->find_topic(*wanted.name) : image->find_topic(wanted.topic_id);
    if (topic != nullptr) {
      describer.add(response, *topic);
    } else if (!wanted.name) {
      add_error(response, ErrorCode::kUnknownTopicId, wanted);
    } else if (controller::topic_name_problem(*wanted.name)) {
      add_error(response, ErrorCode::kInvalidTopicException, wanted);
    } else {
      add_error(response, ErrorCode::kUnknownTopicOrPartition, wanted);
      if (may_create) missing.push_back(*wanted.name);
    }
  }
  add_authorized_operations(response, *request);
  if (missing.empty()) return call.respond(response);
  // Answered when the topics are there, so that the client's next look finds them.
  create_topics(std::move(call), missing,
                [response = std::move(response)](Call& waiting) { waiting.respond(response); });
}

}  // namespace millrace::server
