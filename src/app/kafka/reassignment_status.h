// How far a reassignment has come, told line by line: kafka-reassign-partitions --verify, --cancel.
// Threads, errors: those of app/kafka/admin.h.
#pragma once

#include "app/kafka/reassignment_json.h"

namespace millrace::app::kafka {

// Prints it of partitions and of replicas' directories; whether anything moves still.
Attempt<bool> tell_partitions(Admin& admin, const ReassignmentPlan& plan);
Attempt<bool> tell_directories(Admin& admin, const ReassignmentPlan& plan);

// Of replicas that move to another directory: the one that they are in.
Attempt<DirectoryMoves> moving_replicas(Admin& admin, const ReassignmentPlan& plan);

}  // namespace millrace::app::kafka
