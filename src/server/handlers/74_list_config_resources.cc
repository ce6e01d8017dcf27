// ListConfigResources (KIP-714 as version 0, KIP-1142): the names of what has a configuration.
#include <algorithm>

#include "server/handlers/handlers.h"
#include "wire/list_config_resources.h"

namespace millrace::server {
namespace {

using metadata::ConfigResourceType;

constexpr ConfigResourceType kListed[] = {
    ConfigResourceType::kTopic, ConfigResourceType::kBroker, ConfigResourceType::kBrokerLogger,
    ConfigResourceType::kClientMetrics, ConfigResourceType::kGroup};

}  // namespace

void handle_list_config_resources(Call call) {
  auto request = call.decode<wire::ListConfigResourcesRequest>();
  if (!request) return;
  wire::ListConfigResourcesResponse response;
  std::vector<int8_t> types = request->resource_types;
  if (call.version() == 0) types = {static_cast<int8_t>(ConfigResourceType::kClientMetrics)};
  if (types.empty())
    for (ConfigResourceType type : kListed) types.push_back(static_cast<int8_t>(type));
  const auto image = call.node().image();
  for (int8_t number : types) {
    const auto type = static_cast<ConfigResourceType>(number);
    if (std::ranges::find(kListed, type) == std::end(kListed)) {
      response.error_code = wire::code_of(wire::ErrorCode::kUnsupportedVersion);
      response.config_resources.clear();
      break;
    }
    auto add = [&](std::string name) {
      response.config_resources.push_back(
          {.resource_name = std::move(name), .resource_type = number});
    };
    if (type == ConfigResourceType::kTopic)
      for (const auto& [name, topic] : image->topics()) add(name);
    else if (type == ConfigResourceType::kBroker || type == ConfigResourceType::kBrokerLogger)
      for (const auto& [id, broker] : image->brokers()) add(std::to_string(id.value()));
    else
      for (const auto& [resource, values] : image->all_configs())
        if (resource.type == type) add(resource.name);
  }
  call.respond(response);
}

}  // namespace millrace::server
