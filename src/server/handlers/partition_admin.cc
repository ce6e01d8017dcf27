// ElectLeaders (43), AlterPartitionReassignments (45), ListPartitionReassignments (46) and
// UnregisterBroker (64): what operators ask of the controller (KIP-460, KIP-455, KIP-631).
#include "server/controller_call.h"
#include "server/handlers/handlers.h"

namespace millrace::server {

using controller::Controller;

void handle_elect_leaders(Call call) {
  run_on_controller(std::move(call), &Controller::decide_elect_leaders);
}

void handle_alter_partition_reassignments(Call call) {
  run_on_controller(std::move(call), &Controller::decide_alter_partition_reassignments);
}

// Its timeout_ms means nothing, as in Apache Kafka: there are clients that send none.
void handle_list_partition_reassignments(Call call) {
  run_on_controller_untimed(std::move(call), &Controller::decide_list_partition_reassignments);
}

void handle_unregister_broker(Call call) {
  run_on_controller_untimed(std::move(call), &Controller::decide_unregister_broker);
}

}  // namespace millrace::server
