// CreateTopics, DeleteTopics, CreatePartitions, IncrementalAlterConfigs: decided by the controller,
// answered when the records are durable and published.
#include "server/handlers/handlers.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/incremental_alter_configs.h"

namespace millrace::server {
namespace {

using wire::ErrorCode;

// Submits `decide`, whose response goes out when its records are committed; `failed` turns it into
// errors when they are not.
template <class Request, class Response>
void run_on_controller(
    Call call, controller::Decided<Response> (controller::Controller::*decide)(const Request&),
    void (*failed)(Response&)) {
  auto request = call.decode<Request>();
  if (!request) return;
  node::Node& node = call.node();
  env::Shard* shard = &call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  auto response = std::make_shared<Response>();
  node.submit(
      {.decide =
           [request = std::move(*request), response, decide](controller::Controller& controller) {
             auto decided = (controller.*decide)(request);
             *response = std::move(decided.response);
             return std::move(decided.records);
           },
       .done =
           [waiting, response, failed](Result<> committed) {
             if (!committed) failed(*response);
             waiting->respond(*response);
           },
       .shard = shard});
}

constexpr int16_t kNotCommitted = wire::code_of(ErrorCode::kUnknownServerError);

}  // namespace

void handle_create_topics(Call call) {
  run_on_controller<wire::CreateTopicsRequest, wire::CreateTopicsResponse>(
      std::move(call), &controller::Controller::decide_create_topics, [](auto& response) {
        for (auto& each : response.topics) each.error_code = kNotCommitted;
      });
}

void handle_delete_topics(Call call) {
  if (!call.node().properties().flag("delete.topic.enable")) {
    auto request = call.decode<wire::DeleteTopicsRequest>();
    if (!request) return;
    wire::DeleteTopicsResponse response;
    const auto code =
        call.version() < 3 ? ErrorCode::kInvalidRequest : ErrorCode::kTopicDeletionDisabled;
    for (const auto& name : request->topic_names)
      response.responses.push_back({.name = name, .error_code = wire::code_of(code)});
    for (const auto& topic : request->topics)
      response.responses.push_back(
          {.name = topic.name, .topic_id = topic.topic_id, .error_code = wire::code_of(code)});
    return call.respond(response);
  }
  run_on_controller<wire::DeleteTopicsRequest, wire::DeleteTopicsResponse>(
      std::move(call), &controller::Controller::decide_delete_topics, [](auto& response) {
        for (auto& each : response.responses) each.error_code = kNotCommitted;
      });
}

void handle_create_partitions(Call call) {
  run_on_controller<wire::CreatePartitionsRequest, wire::CreatePartitionsResponse>(
      std::move(call), &controller::Controller::decide_create_partitions, [](auto& response) {
        for (auto& each : response.results) each.error_code = kNotCommitted;
      });
}

void handle_incremental_alter_configs(Call call) {
  run_on_controller<wire::IncrementalAlterConfigsRequest, wire::IncrementalAlterConfigsResponse>(
      std::move(call), &controller::Controller::decide_alter_configs, [](auto& response) {
        for (auto& each : response.responses) each.error_code = kNotCommitted;
      });
}

}  // namespace millrace::server
