// One call of the coordinator: when it happens, and what it gives. Internal to txn/.
#pragma once

#include <utility>

#include "txn/coordinator.h"

namespace millrace::txn {

struct Coordinator::Step {
  const Moment& moment;
  Decision decision;

  template <class Reply>
  Decision reply(machine::Ticket ticket, Reply response) && {
    decision.replies.push_back({ticket, Response(std::move(response))});
    return std::move(decision);
  }
};

}  // namespace millrace::txn
