// CreateTopics, DeleteTopics, CreatePartitions: decided by the controller, answered when the
// records are durable and published. What a client may change in a time is limited (KIP-599): of
// versions that know THROTTLING_QUOTA_EXCEEDED a topic is refused while earlier changes are not
// worked off, of older ones none is, and the client only waits.
#include "server/controller_call.h"
#include "server/handlers/handlers.h"

namespace millrace::server {

namespace {

using wire::ErrorCode;

// The changes of one request, charged while it is decided, on shard 0.
class Changes {
 public:
  Changes(const Call& call, int16_t strict_since)
      : node_(&call.node()),
        user_(call.peer().principal.name),
        client_id_(call.header().client_id),
        strict_(call.version() >= strict_since) {}

  controller::MutationQuota quota(const std::shared_ptr<Changes>& self) const {
    if (!node_->client_quotas().has(quota::Kind::kControllerMutation)) return nullptr;
    return [self](int64_t partitions) { return self->charge(partitions); };
  }
  // What is left of it: it may be asked for long after.
  Duration wait(Instant now) const { return std::max(Duration::zero(), wait_ - (now - charged_)); }

 private:
  std::optional<controller::Refusal> charge(int64_t partitions) {
    const Instant now = node_->host().shard(0).clock().now();
    const auto charged = node_->client_quotas().charge_mutation(
        {user_, client_id_}, static_cast<double>(partitions), strict_, now);
    if (charged.wait > Duration::zero()) {
      wait_ = charged.wait;
      charged_ = now;
    }
    if (charged.is_allowed) return std::nullopt;
    return controller::Refusal{ErrorCode::kThrottlingQuotaExceeded,
                               "The throttling quota has been exceeded."};
  }

  node::Node* node_;
  const std::string user_, client_id_;
  const bool strict_;
  Duration wait_{};
  Instant charged_;
};

template <class Request, class Response>
void change_topics(
    Call call, int16_t strict_since,
    controller::Decided<Response> (controller::Controller::*decide)(const Request&)) {
  auto request = call.decode<Request>();
  if (!request) return;
  const Duration timeout = milliseconds(request->timeout_ms);
  auto changes = std::make_shared<Changes>(call, strict_since);
  submit_to_controller(
      std::move(call), std::move(*request),
      [decide, changes](controller::Controller& controller, const Request& wanted) {
        controller.set_mutation_quota(changes->quota(changes));
        auto decided = (controller.*decide)(wanted);
        controller.set_mutation_quota(nullptr);
        return decided;
      },
      {.timeout = timeout, .before_answer = [changes](Call& answer) {
         answer.throttle(quota::Kind::kControllerMutation,
                         changes->wait(answer.shard().clock().now()));
       }});
}

constexpr int16_t kStrictCreateTopics = 6;
constexpr int16_t kStrictDeleteTopics = 5;
constexpr int16_t kStrictCreatePartitions = 3;

}  // namespace

void handle_create_topics(Call call) {
  change_topics(std::move(call), kStrictCreateTopics,
                &controller::Controller::decide_create_topics);
}

void handle_delete_topics(Call call) {
  if (call.node().properties().flag("delete.topic.enable"))
    return change_topics(std::move(call), kStrictDeleteTopics,
                         &controller::Controller::decide_delete_topics);
  auto request = call.decode<wire::DeleteTopicsRequest>();
  if (!request) return;
  constexpr int16_t kKnowsDisabled = 3;
  call.respond(refused(
      *request, {call.version() < kKnowsDisabled ? wire::ErrorCode::kInvalidRequest
                                                 : wire::ErrorCode::kTopicDeletionDisabled}));
}

void handle_create_partitions(Call call) {
  change_topics(std::move(call), kStrictCreatePartitions,
                &controller::Controller::decide_create_partitions);
}

}  // namespace millrace::server
