// `millrace cluster status`, `nodes` and `quorum`: whether the cluster is well, and who is in it.
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_health_commands(Command& cluster);

}  // namespace millrace::app
