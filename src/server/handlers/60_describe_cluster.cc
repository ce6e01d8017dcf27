// DescribeCluster (KIP-700, KIP-919, KIP-1073): the brokers, or on request the controllers.
#include "node/controller_host.h"
#include "server/authorized_operations.h"
#include "server/broker_view.h"
#include "server/handlers/handlers.h"
#include "wire/describe_cluster.h"

namespace millrace::server {

namespace {

using Response = wire::DescribeClusterResponse;
constexpr int8_t kBrokers = 1, kControllers = 2;

// A listener of the broker tells of brokers, one of the controller of controllers.
void refuse(Response& response, int8_t wanted, ListenerKind kind) {
  const bool known = wanted == kBrokers || wanted == kControllers;
  response.error_code = wire::code_of(known ? wire::ErrorCode::kMismatchedEndpointType
                                            : wire::ErrorCode::kUnsupportedEndpointType);
  const bool is_broker = kind == ListenerKind::kBroker;
  response.error_message =
      known ? fmt::format(
                  "The request was sent to an endpoint of type {}, but we wanted an endpoint of "
                  "type {}",
                  is_broker ? "BROKER" : "CONTROLLER", is_broker ? "CONTROLLER" : "BROKER")
            : fmt::format("Unsupported endpoint type {}", wanted);
  response.controller_id = -1;
}

void add_brokers(Response& response, const metadata::Image& image, const std::string& listener,
                 bool with_fenced) {
  for (const auto& [id, broker] : image.brokers()) {
    if (broker.fenced && !with_fenced) continue;
    if (const metadata::Endpoint* endpoint = endpoint_on(broker, listener))
      response.brokers.push_back({.broker_id = id.value(),
                                  .host = endpoint->host,
                                  .port = endpoint->port,
                                  .rack = broker.rack,
                                  .is_fenced = broker.fenced});
  }
}

void add_controllers(Response& response, const metadata::Image& image,
                     const std::string& listener) {
  for (const auto& [id, controller] : image.controllers())
    for (const auto& endpoint : controller.end_points)
      if (endpoint.name == listener)
        response.brokers.push_back(
            {.broker_id = id.value(), .host = endpoint.host, .port = endpoint.port});
}

// The quorum is shard 0's.
void respond_with_leader(Call call, Response response) {
  node::Node* node = &call.node();
  env::Shard* shard = &call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  node->host().shard(0).post([node, shard, waiting, response = std::move(response)]() mutable {
    response.controller_id = node->controller().driver().leader().value();
    shard->post([waiting, response = std::move(response)] { waiting->respond(response); });
  });
}

}  // namespace

void handle_describe_cluster(Call call) {
  auto request = call.decode<wire::DescribeClusterRequest>();
  if (!request) return;
  Response response;
  const ListenerKind kind = call.header().listener;
  if (request->endpoint_type != (kind == ListenerKind::kBroker ? kBrokers : kControllers)) {
    refuse(response, request->endpoint_type, kind);
    return call.respond(response);
  }
  response.error_message.reset();
  response.endpoint_type = request->endpoint_type;
  response.cluster_id = call.node().cluster_id();
  if (request->include_cluster_authorized_operations)
    response.cluster_authorized_operations = kClusterOperations;
  const auto image = call.node().image();
  if (kind == ListenerKind::kBroker) {
    const std::string& listener = call.peer().listener;
    add_brokers(response, *image, listener, request->include_fenced_brokers);
    response.controller_id =
        BrokerView(*image, listener).some_alive_broker(call.shard().random().next());
    return call.respond(response);
  }
  add_controllers(response, *image, call.peer().listener);
  respond_with_leader(std::move(call), std::move(response));
}

}  // namespace millrace::server
