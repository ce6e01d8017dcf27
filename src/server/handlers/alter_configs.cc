// IncrementalAlterConfigs (KIP-339) and the older AlterConfigs (KIP-133). Topics, brokers, groups
// and client metrics are the controller's; the levels of this process's log (BROKER_LOGGER,
// KIP-412) are set here and now, and forgotten at its end.
#include "wire/alter_configs.h"

#include <set>

#include "base/log.h"
#include "server/broker_logger.h"
#include "server/controller_call.h"
#include "server/handlers/handlers.h"
#include "wire/incremental_alter_configs.h"

namespace millrace::server {
namespace {

using metadata::ConfigResourceType;
using wire::ErrorCode;

struct Refusal {
  ErrorCode code = ErrorCode::kNone;
  std::string message;
};

// A broker's configs are checked by the broker that they are for: the one that was asked.
template <class Resource>
std::optional<Refusal> broker_refusal(const Resource& resource, NodeId self) {
  const auto type = static_cast<ConfigResourceType>(resource.resource_type);
  const bool is_number =
      !resource.resource_name.empty() &&
      resource.resource_name.find_first_not_of("0123456789") == std::string::npos;
  if (type != ConfigResourceType::kBroker || !is_number ||
      resource.resource_name == std::to_string(self.value()))
    return std::nullopt;
  return Refusal{ErrorCode::kInvalidRequest,
                 fmt::format("Unexpected broker id, expected {}, but received {}", self,
                             resource.resource_name)};
}

std::optional<Refusal> alter_logger(
    const wire::IncrementalAlterConfigsRequest::AlterConfigsResource& resource, NodeId self,
    bool validate_only) {
  const auto problem = broker_logger::name_problem(resource.resource_name, self);
  if (problem) return Refusal{ErrorCode::kInvalidRequest, *problem};
  constexpr int8_t kSet = 0;
  std::set<std::string_view> names;
  for (const auto& each : resource.configs) {
    if (!names.insert(each.name).second)
      return Refusal{ErrorCode::kInvalidRequest, "Error due to duplicate config keys"};
    if (!each.value && each.config_operation == kSet)
      return Refusal{ErrorCode::kInvalidRequest, "Null value not supported for : " + each.name};
  }
  for (const bool apply : {false, true}) {
    if (apply && validate_only) break;
    for (const auto& each : resource.configs) {
      const broker_logger::Change change{each.name, each.config_operation, each.value.value_or("")};
      if (auto wrong = apply ? broker_logger::apply(change) : broker_logger::check(change))
        return Refusal{
            wrong->is_of_request ? ErrorCode::kInvalidRequest : ErrorCode::kInvalidConfig,
            wrong->message};
    }
  }
  return std::nullopt;
}

template <class Result, class Resource>
Result result_of(const Resource& resource, const std::optional<Refusal>& refusal) {
  Result result;
  result.resource_type = resource.resource_type;
  result.resource_name = resource.resource_name;
  result.error_message.reset();
  if (!refusal) return result;
  result.error_code = wire::code_of(refusal->code);
  result.error_message = refusal->message;
  return result;
}

// Resources that `local` answers are taken out of the request; the controller gets the others.
template <class Request, class Response, class Local>
void alter(Call call,
           controller::Decided<Response> (controller::Controller::*decide)(const Request&),
           Local local) {
  using Result = std::decay_t<decltype(Response{}.responses[0])>;
  auto request = call.decode<Request>();
  if (!request) return;
  std::vector<Result> answered;
  std::erase_if(request->resources, [&](const auto& resource) {
    std::optional<std::optional<Refusal>> answer = local(resource, *request);
    if (!answer) return false;
    answered.push_back(result_of<Result>(resource, *answer));
    return true;
  });
  submit_to_controller(
      std::move(call), std::move(*request),
      [decide, answered](controller::Controller& controller, const Request& wanted) {
        auto decided = (controller.*decide)(wanted);
        auto& responses = decided.response.responses;
        responses.insert(responses.end(), answered.begin(), answered.end());
        return decided;
      },
      [](Response& response) {
        for (auto& each : response.responses)
          each.error_code = wire::code_of(ErrorCode::kUnknownServerError);
      });
}

}  // namespace

void handle_incremental_alter_configs(Call call) {
  using Answer = std::optional<std::optional<Refusal>>;
  const NodeId self = call.node().id();
  alter(std::move(call), &controller::Controller::decide_incremental_alter_configs,
        [self](const auto& resource, const auto& request) -> Answer {
          if (static_cast<ConfigResourceType>(resource.resource_type) ==
              ConfigResourceType::kBrokerLogger)
            return alter_logger(resource, self, request.validate_only);
          if (auto refusal = broker_refusal(resource, self)) return refusal;
          return std::nullopt;
        });
}

void handle_alter_configs(Call call) {
  using Answer = std::optional<std::optional<Refusal>>;
  const NodeId self = call.node().id();
  alter(std::move(call), &controller::Controller::decide_alter_configs,
        [self](const auto& resource, const auto&) -> Answer {
          if (auto refusal = broker_refusal(resource, self)) return refusal;
          return std::nullopt;
        });
}

}  // namespace millrace::server
