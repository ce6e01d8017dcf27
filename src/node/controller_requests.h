// What nodes ask of the active controller in their own name, and the decision that answers each:
// the same for a request that came over a connection and for one of this process.
// Not here: the decisions themselves (controller), how the controller is reached
// (node/controller_channel).
#pragma once

#include "controller/controller.h"

namespace millrace::node {

inline auto decide_request(controller::Controller& controller,
                           const wire::BrokerRegistrationRequest& request,
                           const controller::Position& position) {
  return controller.decide_broker_registration(request, position);
}
inline auto decide_request(controller::Controller& controller,
                           const wire::BrokerHeartbeatRequest& request,
                           const controller::Position& position) {
  return controller.decide_broker_heartbeat(request, position);
}
inline auto decide_request(controller::Controller& controller,
                           const wire::AlterPartitionRequest& request,
                           const controller::Position&) {
  return controller.decide_alter_partition(request);
}
inline auto decide_request(controller::Controller& controller,
                           const wire::ControllerRegistrationRequest& request,
                           const controller::Position&) {
  return controller.decide_controller_registration(request);
}
inline auto decide_request(controller::Controller& controller,
                           const wire::AssignReplicasToDirsRequest& request,
                           const controller::Position&) {
  return controller.decide_assign_replicas_to_dirs(request);
}
inline auto decide_request(controller::Controller& controller,
                           const wire::AllocateProducerIdsRequest& request,
                           const controller::Position&) {
  return controller.decide_allocate_producer_ids(request);
}
inline auto decide_request(controller::Controller& controller,
                           const wire::CreateTopicsRequest& request, const controller::Position&) {
  return controller.decide_create_topics(request);
}

template <class Request>
using ControllerResponse =
    decltype(decide_request(std::declval<controller::Controller&>(), std::declval<const Request&>(),
                            std::declval<const controller::Position&>())
                 .response);

// NOT_CONTROLLER when it says that another one decides.
template <class Response>
wire::ErrorCode code_of_response(const Response& response) {
  if constexpr (requires { response.error_code; })
    return static_cast<wire::ErrorCode>(response.error_code);
  else
    return response.topics.empty()
               ? wire::ErrorCode::kNone
               : static_cast<wire::ErrorCode>(response.topics.front().error_code);
}

}  // namespace millrace::node
