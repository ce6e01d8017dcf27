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

// The same error for all that a request names.

wire::CreateTopicsResponse refused(const wire::CreateTopicsRequest& request, ErrorCode code) {
  wire::CreateTopicsResponse response;
  for (const auto& topic : request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    result.error_code = wire::code_of(code);
    result.error_message.reset();
    result.num_partitions = -1;
    result.replication_factor = -1;
    result.configs.emplace();
  }
  return response;
}

wire::DeleteTopicsResponse refused(const wire::DeleteTopicsRequest& request, ErrorCode code) {
  wire::DeleteTopicsResponse response;
  auto add = [&](std::optional<std::string> name, const Uuid& id) {
    auto& result = response.responses.emplace_back();
    result.name = std::move(name);
    result.topic_id = id;
    result.error_code = wire::code_of(code);
    result.error_message.reset();
  };
  for (const auto& name : request.topic_names) add(name, Uuid::zero());
  for (const auto& topic : request.topics) add(topic.name, topic.topic_id);
  return response;
}

wire::CreatePartitionsResponse refused(const wire::CreatePartitionsRequest& request,
                                       ErrorCode code) {
  wire::CreatePartitionsResponse response;
  for (const auto& topic : request.topics) {
    auto& result = response.results.emplace_back();
    result.name = topic.name;
    result.error_code = wire::code_of(code);
    result.error_message.reset();
  }
  return response;
}

constexpr auto kRefused = [](const auto& request, ErrorCode code) {
  return refused(request, code);
};

}  // namespace

void handle_create_topics(Call call) {
  run_on_controller<wire::CreateTopicsRequest>(
      std::move(call), &controller::Controller::decide_create_topics, kRefused);
}

void handle_delete_topics(Call call) {
  if (call.node().properties().flag("delete.topic.enable"))
    return run_on_controller<wire::DeleteTopicsRequest>(
        std::move(call), &controller::Controller::decide_delete_topics, kRefused);
  auto request = call.decode<wire::DeleteTopicsRequest>();
  if (!request) return;
  call.respond(refused(*request, call.version() < 3 ? ErrorCode::kInvalidRequest
                                                    : ErrorCode::kTopicDeletionDisabled));
}

void handle_create_partitions(Call call) {
  run_on_controller<wire::CreatePartitionsRequest>(
      std::move(call), &controller::Controller::decide_create_partitions, kRefused);
}

}  // namespace millrace::server
