// The listeners of a node as its configuration names them: those for clients, and that of the
// controller.
// Not here: listening (server), what clients are told (app/start).
#pragma once

#include <vector>

#include "config/properties.h"
#include "metadata/image.h"

namespace millrace::app {

struct Listeners {
  std::vector<config::ListenerAddress> brokers;
  std::vector<config::ListenerAddress> advertised;
  std::vector<config::ListenerAddress> controllers;

  // What other replicas are told of the controller: what is advertised, else its listener; a
  // wildcard host becomes localhost.
  metadata::Endpoint controller_endpoint() const;
};
Result<Listeners> read_listeners(const config::NodeProperties& properties);

}  // namespace millrace::app
