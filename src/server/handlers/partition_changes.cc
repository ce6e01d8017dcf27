// AlterPartition (56) and AssignReplicasToDirs (73): what brokers tell the controller about the
// partitions they hold (KIP-497, KIP-903, KIP-858).
#include "server/controller_call.h"
#include "server/handlers/handlers.h"

namespace millrace::server {
namespace {

using controller::Controller;

template <class Request, class Response>
void decide(Call call, controller::Decided<Response> (Controller::*function)(const Request&)) {
  auto request = call.decode<Request>();
  if (!request) return;
  submit_to_controller(std::move(call), std::move(*request),
                       [function](Controller& controller, const Request& wanted) {
                         return (controller.*function)(wanted);
                       });
}

}  // namespace

void handle_alter_partition(Call call) {
  decide(std::move(call), &Controller::decide_alter_partition);
}

void handle_assign_replicas_to_dirs(Call call) {
  decide(std::move(call), &Controller::decide_assign_replicas_to_dirs);
}

}  // namespace millrace::server
