// A request that the controller decides: submitted, and answered when its records are durable and
// published.
// Not here: the decisions (controller), the order of commits (node).
#pragma once

#include <memory>
#include <utility>

#include "node/controller_host.h"
#include "server/call.h"

namespace millrace::server {

// `decide(controller, request)` gives records and a response, which goes out when the records are
// committed; `failed(response)` turns it into errors when they are not.
template <class Request, class Decide, class Failed>
void submit_to_controller(Call call, Request request, Decide decide, Failed failed) {
  using Response = decltype(decide(std::declval<controller::Controller&>(), request).response);
  node::Node& node = call.node();
  env::Shard* shard = &call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  auto response = std::make_shared<Response>();
  node.submit({.decide =
                   [request = std::move(request), response, decide](auto& controller) {
                     auto decided = decide(controller, request);
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

// What is not committed after the request's timeout_ms is answered by `refused(request, code)`
// with REQUEST_TIMED_OUT, and may happen later; without any time nothing is begun.
template <class Request, class Response, class Refused>
void run_on_controller(
    Call call, controller::Decided<Response> (controller::Controller::*decide)(const Request&),
    Refused refused) {
  auto request = call.decode<Request>();
  if (!request) return;
  const auto late = refused(*request, wire::ErrorCode::kRequestTimedOut);
  if (request->timeout_ms <= 0) return call.respond(late);
  struct Waiting {
    Call call;
    env::TimerId timer = env::TimerId::kNone;
    bool answered = false;

    void answer(const Response& response) {
      if (std::exchange(answered, true)) return;
      call.shard().cancel(timer);
      call.respond(response);
    }
  };
  node::Node& node = call.node();
  env::Shard* shard = &call.shard();
  auto waiting = std::make_shared<Waiting>(std::move(call));
  waiting->timer =
      shard->after(milliseconds(request->timeout_ms), [waiting, late] { waiting->answer(late); });
  auto decided = std::make_shared<Response>();
  auto failed = refused(*request, wire::ErrorCode::kUnknownServerError);
  node.submit({.decide =
                   [request = std::move(*request), decided, decide](auto& controller) {
                     auto outcome = (controller.*decide)(request);
                     *decided = std::move(outcome.response);
                     return std::move(outcome.records);
                   },
               .done = [waiting, decided, failed = std::move(failed)](
                           Result<> committed) { waiting->answer(committed ? *decided : failed); },
               .shard = shard});
}

}  // namespace millrace::server
