// This broker's side of its life (KIP-631): registers with the controller, sends heartbeats, is
// unfenced, asks to be let go at the end. The controller is in this process: requests reach it as
// commands, and take the decisions that a request from elsewhere takes.
// Not here: those decisions (controller/brokers), what the broker serves (server).
// Threads: register_now() and leave_now() before and after the shards run; the rest on shard 0.
#pragma once

#include <string>
#include <vector>

#include "node/controller_host.h"

namespace millrace::node {

// What a broker says of itself.
struct BrokerIdentity {
  NodeId id = kNoNode;
  std::string cluster_id;
  std::vector<metadata::Endpoint> listeners;
  std::optional<std::string> rack;
  std::vector<Uuid> log_dirs;
  BrokerEpoch previous_epoch{-1};  // of the process before, if it stopped cleanly
};

class BrokerLifecycle {
 public:
  BrokerLifecycle(env::Host& host, ControllerHost& controller, BrokerIdentity identity)
      : host_(&host), controller_(&controller), identity_(std::move(identity)) {}

  // Registers and is unfenced at once; durable after ControllerHost::flush().
  Result<> register_now();
  // A heartbeat every `interval`.
  void start(Duration interval);
  // Controlled shutdown: partitions are given up, then the broker is fenced.
  Result<> leave_now();

  BrokerEpoch epoch() const { return epoch_; }

 private:
  wire::BrokerRegistrationRequest registration() const;
  wire::BrokerHeartbeatRequest heartbeat() const;
  Result<> heartbeat_now(const wire::BrokerHeartbeatRequest& request,
                         wire::BrokerHeartbeatResponse& response);
  void beat(Duration interval);
  void register_again();

  env::Host* host_;
  ControllerHost* controller_;
  BrokerIdentity identity_;
  Uuid incarnation_;
  BrokerEpoch epoch_{-1};
};

}  // namespace millrace::node
