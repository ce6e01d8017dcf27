// A response that is made of answers which come one by one, each from another coordinator or
// leader: sent when the last one is there.
// Not here: what the answers say, and where in the response they belong (the handlers).
//
// Threads: the shard of the call.
// Ownership: shared by the questions that are under way.
#pragma once

#include <cstddef>

#include "server/call.h"

namespace millrace::server {

template <class Response>
class GatheredResponse {
 public:
  explicit GatheredResponse(Call call) : call(std::move(call)) {}
  // Before each question. Who asks them is one more, which is done when all are asked.
  void one_more() { ++left_; }
  // Sends the response if it was the last.
  void one_is_done() {
    if (--left_ == 0) call.respond(response);
  }

  Call call;
  Response response;

 private:
  size_t left_ = 1;
};

}  // namespace millrace::server
