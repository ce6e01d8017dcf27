#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "library/admin_impl.h"

namespace millrace::v0 {
namespace {

using client::core::Destination;

constexpr std::int8_t kDefaultConfig = 5;  // ConfigSource of DescribeConfigs

std::string text_of(const ConfigResource& resource) {
  switch (resource.type) {
    case ConfigResource::Type::kTopic: return fmt::format("topic '{}'", resource.name);
    case ConfigResource::Type::kBroker: return fmt::format("broker '{}'", resource.name);
    case ConfigResource::Type::kGroup: return fmt::format("group '{}'", resource.name);
  }
  return resource.name;
}

// The configs of one broker are known to, and changed by, itself.
Destination destination_of(library::Caller& caller, const ConfigResource& resource) {
  if (resource.type != ConfigResource::Type::kBroker || resource.name.empty())
    return Destination::any();
  std::int32_t id = -1;
  const char* end = resource.name.data() + resource.name.size();
  const auto [last, failed] = std::from_chars(resource.name.data(), end, id);
  if (failed != std::errc{} || last != end)
    throw library::error_of(wire::ErrorCode::kInvalidRequest,
                            fmt::format("find {}: its name is to be its id", text_of(resource)));
  caller.look_up({});  // where it is
  return Destination::to(NodeId(id));
}

}  // namespace

std::vector<ConfigEntry> Admin::describe_configs(const ConfigResource& resource) {
  wire::DescribeConfigsRequest request;
  request.resources.push_back({.resource_type = static_cast<std::int8_t>(resource.type),
                               .resource_name = resource.name,
                               .configuration_keys = std::nullopt});
  const auto response = impl_->caller.call(request, destination_of(impl_->caller, resource));
  std::vector<ConfigEntry> entries;
  for (const auto& result : response.results) {
    if (result.error_code != 0)
      throw library::error_of(result.error_code,
                              fmt::format("describe the configs of {}", text_of(resource)),
                              result.error_message);
    for (const auto& each : result.configs)
      entries.push_back({each.name, each.value, each.config_source == kDefaultConfig,
                         each.read_only, each.is_sensitive});
  }
  std::ranges::sort(entries, {}, &ConfigEntry::name);
  return entries;
}

void Admin::alter_configs(const ConfigResource& resource,
                          const std::vector<ConfigChange>& changes) {
  wire::IncrementalAlterConfigsRequest request;
  auto& altered = request.resources.emplace_back();
  altered.resource_type = static_cast<std::int8_t>(resource.type);
  altered.resource_name = resource.name;
  for (const auto& each : changes) {
    const bool is_deleted = each.operation == ConfigChange::Operation::kDelete;
    altered.configs.push_back({.name = each.name,
                               .config_operation = static_cast<std::int8_t>(each.operation),
                               .value = is_deleted ? std::nullopt : std::optional(each.value)});
  }
  const auto response = impl_->caller.call(request, destination_of(impl_->caller, resource));
  for (const auto& each : response.responses)
    if (each.error_code != 0)
      throw library::error_of(each.error_code,
                              fmt::format("alter the configs of {}", text_of(resource)),
                              each.error_message);
}

}  // namespace millrace::v0
