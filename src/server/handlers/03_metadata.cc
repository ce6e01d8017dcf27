// Metadata: who leads what (KIP-516 topic ids, KIP-430 authorised operations). A topic that is
// missing is created when the client and the configuration allow it; the request that caused it is
// answered UNKNOWN_TOPIC_OR_PARTITION, as Kafka does.
#include <algorithm>
#include <set>

#include "controller/controller.h"
#include "metadata/node_ids.h"
#include "server/authorized_operations.h"
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
    for (const metadata::Endpoint& endpoint : broker.endpoints)
      if (endpoint.listener == listener)
        response.brokers.push_back({.node_id = id.value(),
                                    .host = endpoint.host,
                                    .port = endpoint.port,
                                    .rack = broker.rack});
  }
}

Response::MetadataResponsePartition describe(const metadata::Image& image, size_t index,
                                             const metadata::PartitionState& p) {
  Response::MetadataResponsePartition result{.partition_index = static_cast<int32_t>(index),
                                             .leader_id = p.leader.value(),
                                             .leader_epoch = p.leader_epoch.value(),
                                             .replica_nodes = metadata::numbers_of(p.replicas),
                                             .isr_nodes = metadata::numbers_of(p.isr)};
  for (NodeId replica : p.replicas) {
    const metadata::Broker* broker = image.find_broker(replica);
    if (broker == nullptr || broker->fenced) result.offline_replicas.push_back(replica.value());
  }
  const metadata::Broker* leader = image.find_broker(p.leader);
  if (leader == nullptr || leader->fenced) {
    result.error_code = wire::code_of(ErrorCode::kLeaderNotAvailable);
    result.leader_id = -1;
  }
  return result;
}

void add_topic(Response& response, const metadata::Image& image, const metadata::Topic& topic) {
  auto& result = response.topics.emplace_back();
  result.name = topic.name;
  result.topic_id = topic.id;
  result.is_internal = is_internal_topic(topic.name);
  for (size_t i = 0; i < topic.partitions.size(); ++i)
    result.partitions.push_back(describe(image, i, topic.partitions[i]));
}

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
  Response response;
  response.cluster_id = call.node().cluster_id();
  add_brokers(response, *image, call.peer().listener);
  response.controller_id =
      response.brokers.empty()
          ? -1
          : response.brokers[call.shard().random().below(response.brokers.size())].node_id;
  const bool all = !request->topics || (call.version() == 0 && request->topics->empty());
  if (all)
    for (const auto& [name, topic] : image->topics()) add_topic(response, *image, *topic);
  const bool may_create = !all && request->allow_auto_topic_creation &&
                          call.node().properties().flag("auto.create.topics.enable");
  std::vector<std::string> missing;
  for (const auto& wanted : all ? std::vector<Wanted>{} : each_once(*request->topics)) {
    const metadata::Topic* topic =
        wanted.name ? image->find_topic(*wanted.name) : image->find_topic(wanted.topic_id);
    if (topic != nullptr) {
      add_topic(response, *image, *topic);
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
  node::Node& node = call.node();
  env::Shard& shard = call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  create_topics(node, shard, missing, [waiting, response = std::move(response)](Result<>) {
    waiting->respond(response);
  });
}

}  // namespace millrace::server
