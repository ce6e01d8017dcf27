// CreateTopics, DeleteTopics, CreatePartitions: decided by the controller, answered when the
// records are durable and published.
#include "server/controller_call.h"
#include "server/handlers/handlers.h"

namespace millrace::server {

void handle_create_topics(Call call) {
  run_on_controller(std::move(call), &controller::Controller::decide_create_topics);
}

void handle_delete_topics(Call call) {
  if (call.node().properties().flag("delete.topic.enable"))
    return run_on_controller(std::move(call), &controller::Controller::decide_delete_topics);
  auto request = call.decode<wire::DeleteTopicsRequest>();
  if (!request) return;
  constexpr int16_t kKnowsDisabled = 3;
  call.respond(refused(
      *request, {call.version() < kKnowsDisabled ? wire::ErrorCode::kInvalidRequest
                                                 : wire::ErrorCode::kTopicDeletionDisabled}));
}

void handle_create_partitions(Call call) {
  run_on_controller(std::move(call), &controller::Controller::decide_create_partitions);
}

}  // namespace millrace::server
