// DescribeConfigs (KIP-133, KIP-226, KIP-569): the effective configs of topics and brokers with
// their sources and synonyms.
#include <algorithm>

#include "server/handlers/handlers.h"
#include "wire/describe_configs.h"

namespace millrace::server {
namespace {

using Request = wire::DescribeConfigsRequest;
using Response = wire::DescribeConfigsResponse;
using Entry = Response::DescribeConfigsResourceResult;
using config::Definition;
using metadata::ConfigResourceType;
using wire::ErrorCode;

enum Source : int8_t { kDynamicTopic = 1, kStaticBroker = 4, kDefault = 5 };

bool wanted(const Request::DescribeConfigsResource& resource, std::string_view name) {
  if (!resource.configuration_keys) return true;
  return std::ranges::find(*resource.configuration_keys, name) !=
         resource.configuration_keys->end();
}

Entry entry_of(const Definition& definition, std::string value, Source source) {
  Entry entry{
      .name = std::string(definition.name),
      .value = std::move(value),
      .read_only = definition.scope == config::Scope::kBroker && definition.update == "read-only",
      .config_source = source,
      .is_sensitive = definition.type == config::Type::kPassword,
      .config_type = config::type_id(definition.type)};
  if (entry.is_sensitive || (source == kDefault && definition.default_value == nullptr))
    entry.value.reset();
  return entry;
}

ErrorCode describe_topic(Call& call, const Request::DescribeConfigsResource& resource,
                         bool synonyms, Response::DescribeConfigsResult& result) {
  const auto image = call.node().image();
  if (image->find_topic(resource.resource_name) == nullptr)
    return ErrorCode::kUnknownTopicOrPartition;
  const auto& overrides = image->configs({ConfigResourceType::kTopic, resource.resource_name});
  const auto& node = call.node().properties();
  for (const Definition& definition : config::all_definitions()) {
    if (definition.scope != config::Scope::kTopic || !wanted(resource, definition.name)) continue;
    const bool overridden = overrides.contains(std::string(definition.name));
    const std::string inherited = node.topic_default(definition);
    const Source below = inherited == (definition.default_value ? definition.default_value : "")
                             ? kDefault
                             : kStaticBroker;
    const Source source = overridden ? kDynamicTopic : below;
    auto& entry = result.configs.emplace_back(entry_of(
        definition, overridden ? overrides.at(std::string(definition.name)) : inherited, source));
    if (!synonyms) continue;
    if (overridden)
      entry.synonyms.push_back({.name = entry.name, .value = entry.value, .source = kDynamicTopic});
    if (!definition.broker_configs.empty())
      entry.synonyms.push_back({.name = std::string(definition.broker_configs.substr(
                                    0, definition.broker_configs.find(','))),
                                .value = inherited,
                                .source = below});
  }
  return ErrorCode::kNone;
}

ErrorCode describe_broker(Call& call, const Request::DescribeConfigsResource& resource,
                          Response::DescribeConfigsResult& result) {
  if (resource.resource_name.empty()) return ErrorCode::kNone;  // no dynamic cluster defaults
  if (resource.resource_name != std::to_string(call.node().id().value()))
    return ErrorCode::kInvalidRequest;
  const auto& node = call.node().properties();
  for (const Definition& definition : config::all_definitions())
    if (definition.scope == config::Scope::kBroker && wanted(resource, definition.name))
      result.configs.push_back(entry_of(definition, node.text(definition.name),
                                        node.is_set(definition.name) ? kStaticBroker : kDefault));
  return ErrorCode::kNone;
}

}  // namespace

void handle_describe_configs(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  Response response;
  for (const auto& resource : request->resources) {
    auto& result = response.results.emplace_back();
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
    ErrorCode error = ErrorCode::kInvalidRequest;
    if (resource.resource_type == static_cast<int8_t>(ConfigResourceType::kTopic))
      error = describe_topic(call, resource, request->include_synonyms, result);
    else if (resource.resource_type == static_cast<int8_t>(ConfigResourceType::kBroker))
      error = describe_broker(call, resource, result);
    result.error_code = wire::code_of(error);
    if (error != ErrorCode::kNone) result.error_message = std::string(wire::error_name(error));
  }
  call.respond(response);
}

}  // namespace millrace::server
