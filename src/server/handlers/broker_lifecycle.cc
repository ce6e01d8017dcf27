// BrokerRegistration (62), BrokerHeartbeat (63), ControllerRegistration (70) and
// AllocateProducerIds (67) on the controller's listener (KIP-631, KIP-730, KIP-919).
#include "server/controller_call.h"
#include "server/handlers/handlers.h"

namespace millrace::server {

void handle_broker_registration(Call call) {
  auto request = call.decode<wire::BrokerRegistrationRequest>();
  if (!request) return;
  node::ControllerHost& host = call.node().controller();
  submit_to_controller(
      std::move(call), std::move(*request),
      [&host](controller::Controller& c, const wire::BrokerRegistrationRequest& wanted) {
        return c.decide_broker_registration(wanted, host.position());
      });
}

void handle_broker_heartbeat(Call call) {
  auto request = call.decode<wire::BrokerHeartbeatRequest>();
  if (!request) return;
  node::ControllerHost& host = call.node().controller();
  submit_to_controller(
      std::move(call), std::move(*request),
      [&host](controller::Controller& c, const wire::BrokerHeartbeatRequest& wanted) {
        return c.decide_broker_heartbeat(wanted, host.position());
      });
}

void handle_controller_registration(Call call) {
  auto request = call.decode<wire::ControllerRegistrationRequest>();
  if (!request) return;
  submit_to_controller(
      std::move(call), std::move(*request),
      [](controller::Controller& c, const wire::ControllerRegistrationRequest& wanted) {
        return c.decide_controller_registration(wanted);
      });
}

void handle_allocate_producer_ids(Call call) {
  auto request = call.decode<wire::AllocateProducerIdsRequest>();
  if (!request) return;
  submit_to_controller(
      std::move(call), std::move(*request),
      [](controller::Controller& c, const wire::AllocateProducerIdsRequest& wanted) {
        return c.decide_allocate_producer_ids(wanted);
      });
}

}  // namespace millrace::server
