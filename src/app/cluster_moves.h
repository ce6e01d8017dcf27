// `millrace cluster elect`, `reassign` and `rebalance`: who leads partitions, and which brokers
// carry them.
// Not here: the plan of a rebalance (client/core/rebalance).
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_move_commands(Command& cluster);

}  // namespace millrace::app
