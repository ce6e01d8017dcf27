// A request that the controller decides: submitted, and answered when its records are durable and
// published. Not here: the decisions (controller), the order of commits (node).
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

template <class Request, class Response, class Failed>
void run_on_controller(
    Call call, controller::Decided<Response> (controller::Controller::*decide)(const Request&),
    Failed failed) {
  auto request = call.decode<Request>();
  if (!request) return;
  submit_to_controller(
      std::move(call), std::move(*request),
      [decide](controller::Controller& controller, const Request& wanted) {
        return (controller.*decide)(wanted);
      },
      failed);
}

}  // namespace millrace::server
