#include "app/kafka/resource_configs.h"

#include "app/kafka/text.h"

namespace millrace::app::kafka {
namespace {

using client::core::Destination;

constexpr int8_t kSet = 0, kDelete = 1;

bool is_of_broker(const ConfigResource& resource) {
  const bool has_owner = resource.type == ConfigResourceType::kBroker ||
                         resource.type == ConfigResourceType::kBrokerLogger;
  return has_owner && !resource.name.empty();
}

// A broker's own configs are asked of that broker; where controllers are asked, they answer
// themselves.
Attempt<Destination> destination_of(Admin& admin, const ConfigResource& resource,
                                    std::string_view call) {
  if (!is_of_broker(resource)) return Destination::any();
  ASSIGN_OR_RETURN(const int32_t id, parse_int(resource.name));
  if (!admin.brokers(call)) return Destination::any();
  return admin.broker(NodeId(id), call);
}

Attempt<> alter(Admin& admin, const Destination& to, wire::IncrementalAlterConfigsRequest request) {
  ASSIGN_OR_RETURN(const auto response,
                   admin.call("incrementalAlterConfigs", to, std::move(request)));
  for (const auto& each : response.responses)
    if (each.error_code != 0)
      return std::unexpected(exception_of(each.error_code, each.error_message));
  return {};
}

}  // namespace

Attempt<std::vector<std::string>> config_resource_names(Admin& admin, ConfigResourceType type) {
  const auto wanted = static_cast<int8_t>(type);
  ASSIGN_OR_RETURN(const auto response,
                   admin.call("listConfigResources",
                              wire::ListConfigResourcesRequest{.resource_types = {wanted}}));
  if (response.error_code != 0) return std::unexpected(exception_of(response.error_code));
  std::vector<std::string> names;
  for (const auto& each : response.config_resources)
    if (each.resource_type == wanted) names.push_back(each.resource_name);
  return names;
}

Attempt<std::vector<ConfigEntry>> config_entries(Admin& admin, const ConfigResource& resource) {
  wire::DescribeConfigsRequest request{.include_synonyms = true};
  request.resources.push_back({.resource_type = static_cast<int8_t>(resource.type),
                               .resource_name = resource.name,
                               .configuration_keys = std::nullopt});
  ASSIGN_OR_RETURN(const auto to, destination_of(admin, resource, "describeConfigs"));
  ASSIGN_OR_RETURN(auto response, admin.call("describeConfigs", to, std::move(request)));
  std::vector<ConfigEntry> entries;
  for (auto& result : response.results) {
    if (result.error_code != 0)
      return std::unexpected(exception_of(result.error_code, result.error_message));
    entries = std::move(result.configs);
  }
  return entries;
}

Attempt<> alter_configs(Admin& admin, const std::vector<ConfigAlteration>& alterations) {
  std::vector<std::pair<ConfigResource, wire::IncrementalAlterConfigsRequest>> requests;
  std::optional<wire::IncrementalAlterConfigsRequest> shared;
  for (const auto& [resource, configs] : alterations) {
    auto& request =
        is_of_broker(resource)
            ? requests.emplace_back(resource, wire::IncrementalAlterConfigsRequest{}).second
        : shared ? *shared
                 : shared.emplace();
    auto& altered = request.resources.emplace_back();
    altered.resource_type = static_cast<int8_t>(resource.type);
    altered.resource_name = resource.name;
    for (const auto& [name, value] : configs)
      altered.configs.push_back(
          {.name = name, .config_operation = value ? kSet : kDelete, .value = value});
  }
  if (shared) RETURN_IF_ERROR(alter(admin, Destination::any(), std::move(*shared)));
  for (auto& [resource, request] : requests) {
    ASSIGN_OR_RETURN(const auto to, destination_of(admin, resource, "incrementalAlterConfigs"));
    RETURN_IF_ERROR(alter(admin, to, std::move(request)));
  }
  return {};
}

}  // namespace millrace::app::kafka
