// `millrace cluster add-voter` and `remove-voter`: who votes in the quorum of the controllers
// (KIP-853).
#pragma once

#include "app/command.h"

namespace millrace::app {

void add_voter_commands(Command& cluster);

}  // namespace millrace::app
