// `millrace cluster add-voter` and `remove-voter`: who votes in the quorum of the controllers
// (KIP-853).
#pragma once

#include <string>

#include "app/command.h"
#include "base/error.h"
#include "env/disk.h"
#include "wire/add_raft_voter.h"

namespace millrace::app {

// What a controller's own configuration and directory say of it.
Result<wire::AddRaftVoterRequest> voter_in(const std::string& properties_file, env::Disk& disk);

void add_voter_commands(Command& cluster);

}  // namespace millrace::app
