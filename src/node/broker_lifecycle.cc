#include "node/broker_lifecycle.h"

#include <fmt/format.h>

#include "base/log.h"
#include "metadata/features.h"
#include "node/random_uuid.h"

namespace millrace::node {

wire::BrokerRegistrationRequest BrokerLifecycle::registration() const {
  wire::BrokerRegistrationRequest request{.broker_id = identity_.id.value(),
                                          .cluster_id = identity_.cluster_id,
                                          .incarnation_id = incarnation_,
                                          .rack = identity_.rack,
                                          .log_dirs = identity_.log_dirs};
  request.previous_broker_epoch = identity_.previous_epoch.value();
  for (const auto& e : identity_.listeners)
    request.listeners.push_back({.name = e.listener,
                                 .host = e.host,
                                 .port = e.port,
                                 .security_protocol = e.security_protocol});
  for (const auto& f : metadata::supported_features())
    request.features.push_back(
        {.name = f.name, .min_supported_version = f.least, .max_supported_version = f.most});
  return request;
}

// All that is decided here is seen here at once.
wire::BrokerHeartbeatRequest BrokerLifecycle::heartbeat() const {
  return {.broker_id = identity_.id.value(),
          .broker_epoch = epoch_.value(),
          .current_metadata_offset = controller_->metadata_end().value() - 1};
}

Result<> BrokerLifecycle::register_now() {
  incarnation_ = random_uuid(host_->shard(0).random());
  wire::BrokerRegistrationResponse registered;
  RETURN_IF_ERROR(controller_->decide_now([&](controller::Controller& c) {
    auto decided = c.decide_broker_registration(registration(), controller_->position());
    registered = decided.response;
    return std::move(decided.records);
  }));
  if (registered.error_code != 0)
    return fail(Errc::kInvalid,
                fmt::format("the controller refuses to register this broker: {}",
                            wire::error_name(static_cast<wire::ErrorCode>(registered.error_code))));
  epoch_ = BrokerEpoch(registered.broker_epoch);
  wire::BrokerHeartbeatResponse response;
  return heartbeat_now(heartbeat(), response);
}

Result<> BrokerLifecycle::heartbeat_now(const wire::BrokerHeartbeatRequest& request,
                                        wire::BrokerHeartbeatResponse& response) {
  return controller_->decide_now([&](controller::Controller& c) {
    auto decided = c.decide_broker_heartbeat(request, controller_->position());
    response = decided.response;
    return std::move(decided.records);
  });
}

void BrokerLifecycle::start(Duration interval) {
  host_->shard(0).after(interval, [this, interval] { beat(interval); });
}

void BrokerLifecycle::beat(Duration interval) {
  auto response = std::make_shared<wire::BrokerHeartbeatResponse>();
  controller_->submit({.decide =
                           [this, response](controller::Controller& c) {
                             auto decided =
                                 c.decide_broker_heartbeat(heartbeat(), controller_->position());
                             *response = decided.response;
                             return std::move(decided.records);
                           },
                       .done =
                           [this, response, interval](Result<>) {
                             if (response->error_code != 0) register_again();
                             start(interval);
                           },
                       .shard = &host_->shard(0)});
}

// Somebody unregistered this broker, or registered another in its place.
void BrokerLifecycle::register_again() {
  auto response = std::make_shared<wire::BrokerRegistrationResponse>();
  controller_->submit({.decide =
                           [this, response](controller::Controller& c) {
                             auto decided = c.decide_broker_registration(registration(),
                                                                         controller_->position());
                             *response = decided.response;
                             return std::move(decided.records);
                           },
                       .done =
                           [this, response](Result<> committed) {
                             if (committed && response->error_code == 0)
                               epoch_ = BrokerEpoch(response->broker_epoch);
                             else
                               LOG_WARN("this broker could not register with the controller again");
                           },
                       .shard = &host_->shard(0)});
}

// At most one heartbeat to give the partitions up, and one to go.
Result<> BrokerLifecycle::leave_now() {
  wire::BrokerHeartbeatResponse response;
  for (int round = 0; round < 2 && !response.should_shut_down; ++round) {
    auto request = heartbeat();
    request.want_shut_down = true;
    RETURN_IF_ERROR(heartbeat_now(request, response));
  }
  return {};
}

}  // namespace millrace::node
