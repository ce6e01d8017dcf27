// CreateTopics, DeleteTopics, CreatePartitions: decided by the controller, answered when the
// records are durable and published.
#include "server/controller_call.h"
#include "server/handlers/handlers.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"

namespace millrace::server {
namespace {

using wire::ErrorCode;

constexpr int16_t kNotCommitted = wire::code_of(ErrorCode::kUnknownServerError);

}  // namespace

void handle_create_topics(Call call) {
  run_on_controller<wire::CreateTopicsRequest>(
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
  run_on_controller<wire::DeleteTopicsRequest>(
      std::move(call), &controller::Controller::decide_delete_topics, [](auto& response) {
        for (auto& each : response.responses) each.error_code = kNotCommitted;
      });
}

void handle_create_partitions(Call call) {
  run_on_controller<wire::CreatePartitionsRequest>(
      std::move(call), &controller::Controller::decide_create_partitions, [](auto& response) {
        for (auto& each : response.results) each.error_code = kNotCommitted;
      });
}

}  // namespace millrace::server
