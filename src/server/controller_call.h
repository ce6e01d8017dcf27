// A request that the controller decides: submitted, and answered when its records are durable and
// published, or with one error for all of it (server/refusal) when they are not.
// Not here: the decisions (controller), the order of commits (node), asking another node's
// controller (server/forwarding).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "node/controller_host.h"
#include "server/call.h"
#include "server/refusal.h"

namespace millrace::server {

// Refuses the whole request. That this node is not the active controller is told apart, for who
// passed the request on.
template <class Request>
void refuse_call(Call& call, const Request& request, const Refusal& refusal) {
  const auto response = refused(request, refusal);
  const bool elsewhere = refusal.code == wire::ErrorCode::kNotController;
  if (elsewhere) return call.respond_not_controller(response);
  call.respond(response);
}

struct SubmitOptions {
  // What is not committed then is answered REQUEST_TIMED_OUT, and may happen later; without any
  // time nothing is begun.
  std::optional<Duration> timeout{};
  std::function<void(Call&)> before_answer{};  // on the call's shard
};

// `decide(controller, request)` gives records and a response.
template <class Request, class Decide>
void submit_to_controller(Call call, Request request, Decide decide, SubmitOptions options = {}) {
  using Response = decltype(decide(std::declval<controller::Controller&>(), request).response);
  struct Question {
    Request request;
    Response response;
  };
  struct Waiting {
    Call call;
    std::shared_ptr<Question> question;
    std::function<void(Call&)> before_answer;
    env::TimerId timer = env::TimerId::kNone;
    bool answered = false;

    void answer(const Result<>& committed) {
      if (std::exchange(answered, true)) return;
      if (timer != env::TimerId::kNone) call.shard().cancel(timer);
      if (before_answer) before_answer(call);
      if (committed) return call.respond(question->response);
      refuse_call(call, question->request, refusal_of(committed.error()));
    }
  };
  const Error late{Errc::kTimedOut, "the controller took too long"};
  const auto timeout = options.timeout;
  if (timeout && *timeout <= Duration::zero()) return refuse_call(call, request, refusal_of(late));
  node::Node& node = call.node();
  env::Shard* shard = &call.shard();
  auto question = std::make_shared<Question>(std::move(request));
  auto waiting =
      std::make_shared<Waiting>(std::move(call), question, std::move(options.before_answer));
  if (timeout)
    waiting->timer =
        shard->after(*timeout, [waiting, late] { waiting->answer(std::unexpected(late)); });
  node.submit({.decide =
                   [question, decide](auto& controller) {
                     auto decided = decide(controller, question->request);
                     question->response = std::move(decided.response);
                     return std::move(decided.records);
                   },
               .done = [waiting](Result<> committed) { waiting->answer(committed); },
               .shard = shard});
}

template <class Request, class Response>
using Decision = controller::Decided<Response> (controller::Controller::*)(const Request&);

// Decides by the request alone, within its own timeout_ms.
template <class Request, class Response>
void run_on_controller(Call call, Decision<Request, Response> decide) {
  auto request = call.decode<Request>();
  if (!request) return;
  const Duration timeout = milliseconds(request->timeout_ms);
  submit_to_controller(std::move(call), std::move(*request), std::mem_fn(decide),
                       {.timeout = timeout});
}

// The same, however long it takes.
template <class Request, class Response>
void run_on_controller_untimed(Call call, Decision<Request, Response> decide) {
  auto request = call.decode<Request>();
  if (request) submit_to_controller(std::move(call), std::move(*request), std::mem_fn(decide));
}

}  // namespace millrace::server
