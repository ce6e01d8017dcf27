// IncrementalAlterConfigs (KIP-339) and the older AlterConfigs (KIP-133). Topics, brokers, groups
// and client metrics are the controller's; the levels of this process's log (BROKER_LOGGER,
// KIP-412) are set here and now, and forgotten at its end.
#include <set>

#include "base/log.h"
#include "server/broker_logger.h"
#include "server/controller_call.h"
#include "server/forwarding.h"
#include "server/handlers/handlers.h"

namespace millrace::server {
namespace {

using metadata::ConfigResourceType;
using wire::ErrorCode;

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

// Answers that are given without a record: kNotMine leaves a resource to the controller.
using Local = std::optional<Refusal>;  // no refusal: done
using LocalAnswer = std::optional<Local>;
constexpr LocalAnswer kNotMine = std::nullopt;

// Takes those resources out of the request that `local` answers, and gives the answers.
template <class Result, class Request, class Answer>
std::vector<Result> answer_locally(Request& request, const Answer& local) {
  std::vector<Result> answered;
  std::erase_if(request.resources, [&](const auto& resource) {
    const LocalAnswer answer = local(resource, request);
    if (!answer) return false;
    answered.push_back(result_of<Result>(resource, *answer));
    return true;
  });
  return answered;
}

template <class Response, class Results>
void add(Response& response, const Results& answered) {
  response.responses.insert(response.responses.end(), answered.begin(), answered.end());
}

// The controller is asked for what is left.
template <class Request, class Response, class Answer>
void alter_on_broker(Call call, const Answer& local) {
  using Result = std::decay_t<decltype(Response{}.responses[0])>;
  auto request = call.decode<Request>();
  if (!request) return;
  auto answered = answer_locally<Result>(*request, local);
  if (request->resources.empty()) return call.respond(Response{.responses = std::move(answered)});
  if (answered.empty()) return ask_controller(std::move(call));
  const int16_t version = call.version();
  ask_controller_for<Response>(std::move(call), *request, version,
                               [answered = std::move(answered)](Call& outer, Response response) {
                                 add(response, answered);
                                 outer.respond(response);
                               });
}

template <class Request, class Response, class Answer>
void alter_on_controller(
    Call call, controller::Decided<Response> (controller::Controller::*decide)(const Request&),
    const Answer& local) {
  using Result = std::decay_t<decltype(Response{}.responses[0])>;
  auto request = call.decode<Request>();
  if (!request) return;
  auto answered = answer_locally<Result>(*request, local);
  if (request->resources.empty()) return call.respond(Response{.responses = std::move(answered)});
  submit_to_controller(std::move(call), std::move(*request),
                       [decide, answered = std::move(answered)](controller::Controller& controller,
                                                                const Request& wanted) {
                         auto decided = (controller.*decide)(wanted);
                         add(decided.response, answered);
                         return decided;
                       });
}

LocalAnswer answer_logger(const wire::IncrementalAlterConfigsRequest::AlterConfigsResource& wanted,
                          NodeId self, bool validate_only) {
  if (static_cast<ConfigResourceType>(wanted.resource_type) != ConfigResourceType::kBrokerLogger)
    return kNotMine;
  return alter_logger(wanted, self, validate_only);
}

template <class Resource>
LocalAnswer answer_broker(const Resource& resource, NodeId self) {
  auto refusal = broker_refusal(resource, self);
  return refusal ? LocalAnswer(std::move(refusal)) : kNotMine;
}

}  // namespace

void handle_incremental_alter_configs_on_broker(Call call) {
  using Request = wire::IncrementalAlterConfigsRequest;
  const NodeId self = call.node().id();
  alter_on_broker<Request, wire::IncrementalAlterConfigsResponse>(
      std::move(call), [self](const auto& resource, const Request& request) {
        auto answer = answer_logger(resource, self, request.validate_only);
        return answer ? answer : answer_broker(resource, self);
      });
}

void handle_alter_configs_on_broker(Call call) {
  const NodeId self = call.node().id();
  alter_on_broker<wire::AlterConfigsRequest, wire::AlterConfigsResponse>(
      std::move(call),
      [self](const auto& resource, const auto&) { return answer_broker(resource, self); });
}

void handle_incremental_alter_configs(Call call) {
  const NodeId self = call.node().id();
  alter_on_controller(std::move(call), &controller::Controller::decide_incremental_alter_configs,
                      [self](const auto& resource, const auto& request) {
                        return answer_logger(resource, self, request.validate_only);
                      });
}

void handle_alter_configs(Call call) {
  alter_on_controller(std::move(call), &controller::Controller::decide_alter_configs,
                      [](const auto&, const auto&) { return kNotMine; });
}

}  // namespace millrace::server
