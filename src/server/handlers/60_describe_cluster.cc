// DescribeCluster (KIP-700, KIP-919, KIP-1073): the brokers, or on request the controllers.
#include "server/authorized_operations.h"
#include "server/handlers/handlers.h"
#include "wire/describe_cluster.h"

namespace millrace::server {

void handle_describe_cluster(Call call) {
  constexpr int8_t kBrokers = 1, kControllers = 2;
  auto request = call.decode<wire::DescribeClusterRequest>();
  if (!request) return;
  wire::DescribeClusterResponse response;
  if (request->endpoint_type != kBrokers) {
    const auto code = request->endpoint_type == kControllers
                          ? wire::ErrorCode::kMismatchedEndpointType
                          : wire::ErrorCode::kUnsupportedEndpointType;
    response.error_code = wire::code_of(code);
    response.error_message =
        request->endpoint_type == kControllers
            ? "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of "
              "type CONTROLLER"
            : fmt::format("Unsupported endpoint type {}", request->endpoint_type);
    response.controller_id = -1;
    return call.respond(response);
  }
  response.error_message.reset();
  response.cluster_id = call.node().cluster_id();
  if (request->include_cluster_authorized_operations)
    response.cluster_authorized_operations = kClusterOperations;
  const auto image = call.node().image();
  for (const auto& [id, broker] : image->brokers()) {
    if (broker.fenced && !request->include_fenced_brokers) continue;
    for (const auto& endpoint : broker.endpoints)
      if (endpoint.listener == call.peer().listener)
        response.brokers.push_back({.broker_id = id.value(),
                                    .host = endpoint.host,
                                    .port = endpoint.port,
                                    .rack = broker.rack,
                                    .is_fenced = broker.fenced});
  }
  response.controller_id = call.node().id().value();
  call.respond(response);
}

}  // namespace millrace::server
