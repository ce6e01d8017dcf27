#include "app/listeners.h"

#include <algorithm>

namespace millrace::app {

metadata::Endpoint Listeners::controller_endpoint() const {
  if (controllers.empty()) return {};
  config::ListenerAddress first = controllers[0];
  for (const auto& each : advertised)
    if (each.name == first.name) first = each;
  const bool any = first.host.empty() || first.host == "0.0.0.0";
  return {first.name, any ? "localhost" : first.host, first.port};
}

Result<Listeners> read_listeners(const config::NodeProperties& properties) {
  Listeners result;
  const auto names = properties.list("controller.listener.names");
  ASSIGN_OR_RETURN(auto all, config::parse_listeners("listeners", properties.text("listeners")));
  for (const auto& listener : all) {
    const bool is_controllers = std::ranges::find(names, listener.name) != names.end();
    (is_controllers ? result.controllers : result.brokers).push_back(listener);
  }
  ASSIGN_OR_RETURN(
      result.advertised,
      config::parse_listeners("advertised.listeners", properties.text("advertised.listeners")));
  return result;
}

}  // namespace millrace::app
