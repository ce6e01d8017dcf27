// DescribeCluster (KIP-700, KIP-919, KIP-1073): the brokers, or on request the controllers.
#include "server/authorized_operations.h"
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
    for (const auto& endpoint : broker.endpoints)
      if (endpoint.listener == listener)
        response.brokers.push_back({.broker_id = id.value(),
                                    .host = endpoint.host,
                                    .port = endpoint.port,
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
  if (kind == ListenerKind::kBroker)
    add_brokers(response, *image, call.peer().listener, request->include_fenced_brokers);
  else
    add_controllers(response, *image, call.peer().listener);
  response.controller_id = call.node().id().value();
  call.respond(response);
}

}  // namespace millrace::server
