#include "server/topic_creation.h"

#include "base/log.h"
#include "server/forwarding.h"
#include "wire/errors.h"

namespace millrace::server {
namespace {

constexpr int32_t kCreationTimeMs = 5000;  // a client waits longer for its answer

void log_failure(const wire::CreateTopicsResponse::CreatableTopicResult& result) {
  const auto code = static_cast<wire::ErrorCode>(result.error_code);
  LOG_INFO("topic {} was not created: {}", result.name,
           result.error_message.value_or(std::string(wire::error_name(code))));
}

}  // namespace

void create_topics(Call call, const std::vector<std::string>& names,
                   std::move_only_function<void(Call&)> then) {
  wire::CreateTopicsRequest request;
  request.timeout_ms = kCreationTimeMs;
  for (const std::string& name : names)
    request.topics.push_back(node::creatable_topic(call.node().properties(), name));
  ask_controller_for<wire::CreateTopicsResponse>(
      std::move(call), request, wire::CreateTopicsRequest::kMaxVersion,
      [then = std::move(then)](Call& waiting, const wire::CreateTopicsResponse& response) mutable {
        for (const auto& each : response.topics)
          if (each.error_code != 0) log_failure(each);
        then(waiting);
      });
}

}  // namespace millrace::server
