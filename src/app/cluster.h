// `millrace cluster ...`: brokers, controller, features, versions, log directories.
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_cluster_commands(Command& root);

}  // namespace millrace::app
