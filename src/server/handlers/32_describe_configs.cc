// DescribeConfigs (KIP-133, KIP-226, KIP-412, KIP-569, KIP-714, KIP-848): the configs of topics,
// brokers, groups, client metrics and this broker's log, with where they come from.
#include <algorithm>

#include "config/describe.h"
#include "controller/controller.h"
#include "server/broker_logger.h"
#include "server/handlers/handlers.h"
#include "wire/describe_configs.h"

namespace millrace::server {
namespace {

using Request = wire::DescribeConfigsRequest;
using Response = wire::DescribeConfigsResponse;
using Resource = Request::DescribeConfigsResource;
using Entry = Response::DescribeConfigsResourceResult;
using config::Described;
using metadata::ConfigResourceType;
using wire::ErrorCode;

struct Refusal {
  ErrorCode code = ErrorCode::kNone;
  std::string message;
};
using Found = std::expected<std::vector<Described>, Refusal>;

Found refuse(ErrorCode code, std::string message) {
  return std::unexpected(Refusal{code, std::move(message)});
}

// What one request looks at: this moment's image.
class Describer {
 public:
  explicit Describer(Call& call)
      : image_(call.node().image()),
        node_(call.node()),
        self_(std::to_string(node_.id().value())) {}

  Found describe(const Resource& resource) const {
    switch (static_cast<ConfigResourceType>(resource.resource_type)) {
      case ConfigResourceType::kTopic: return topic(resource.resource_name);
      case ConfigResourceType::kBroker: return broker(resource.resource_name);
      case ConfigResourceType::kBrokerLogger: return logger(resource.resource_name);
      case ConfigResourceType::kGroup:
        if (resource.resource_name.empty())
          return refuse(ErrorCode::kInvalidRequest, "Group name must not be empty");
        return config::describe_group(
            layers(), image_->configs({ConfigResourceType::kGroup, resource.resource_name}));
      case ConfigResourceType::kClientMetrics:
        if (resource.resource_name.empty())
          return refuse(ErrorCode::kInvalidRequest,
                        "Client metrics subscription name must not be empty");
        return config::describe_client_metrics(
            image_->configs({ConfigResourceType::kClientMetrics, resource.resource_name}));
    }
    return refuse(ErrorCode::kInvalidRequest,
                  fmt::format("Unknown resource type {}", resource.resource_type));
  }

 private:
  config::BrokerLayers layers() const {
    return {node_.properties(), image_->configs({ConfigResourceType::kBroker, self_}),
            image_->configs({ConfigResourceType::kBroker, ""})};
  }

  Found topic(const std::string& name) const {
    if (auto problem = controller::topic_name_problem(name))
      return refuse(ErrorCode::kInvalidTopicException, "Topic name is invalid: " + *problem);
    if (image_->find_topic(name) == nullptr) return refuse(ErrorCode::kUnknownTopicOrPartition, "");
    return config::describe_topic(layers(), image_->configs({ConfigResourceType::kTopic, name}));
  }

  Found broker(const std::string& name) const {
    if (name.empty()) return config::describe_cluster(layers());
    if (name == self_) return config::describe_broker(layers());
    if (name.find_first_not_of("0123456789") != std::string::npos)
      return refuse(ErrorCode::kInvalidRequest, "Broker id must be an integer, but it is: " + name);
    return refuse(ErrorCode::kInvalidRequest,
                  fmt::format("Unexpected broker id, expected {} or empty string, but received {}",
                              self_, name));
  }

  Found logger(const std::string& name) const {
    if (name.empty()) return refuse(ErrorCode::kInvalidRequest, "Broker id must not be empty");
    if (name != self_)
      return refuse(ErrorCode::kInvalidRequest,
                    fmt::format("Unexpected broker id, expected {} but received {}", self_, name));
    return std::vector<Described>{{.name = broker_logger::kRoot,
                                   .value = broker_logger::level(),
                                   .source = config::Source::kDynamicBrokerLogger}};
  }

  std::shared_ptr<const metadata::Image> image_;
  node::Node& node_;
  std::string self_;
};

// No keys, or none named: all.
bool wanted(const Resource& resource, const std::string& name) {
  const auto& keys = resource.configuration_keys;
  return !keys || keys->empty() || std::ranges::find(*keys, name) != keys->end();
}

Entry entry_of(Described& from, const Request& request) {
  Entry entry{.name = std::move(from.name),
              .value = std::move(from.value),
              .read_only = from.read_only,
              .config_source = static_cast<int8_t>(from.source),
              .is_sensitive = from.sensitive,
              .config_type = from.type};
  entry.documentation.reset();
  if (request.include_documentation) entry.documentation = std::string(from.documentation);
  if (request.include_synonyms)
    for (auto& synonym : from.synonyms)
      entry.synonyms.push_back({.name = std::move(synonym.name),
                                .value = std::move(synonym.value),
                                .source = static_cast<int8_t>(synonym.source)});
  return entry;
}

}  // namespace

void handle_describe_configs(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  const Describer describer(call);
  Response response;
  for (const auto& resource : request->resources) {
    auto& result = response.results.emplace_back();
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
    result.error_message = "";
    Found found = describer.describe(resource);
    if (!found) {
      result.error_code = wire::code_of(found.error().code);
      result.error_message = std::move(found.error().message);
      continue;
    }
    for (Described& each : *found)
      if (wanted(resource, each.name)) result.configs.push_back(entry_of(each, *request));
  }
  call.respond(response);
}

}  // namespace millrace::server
