// The text of the file quorum-state: one line of JSON, as Kafka writes it.
// Not here: when it is written (the host, before anything of an Output that has an election). The
// input is a file that anything may have happened to: parsing says what is wrong.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "raft/types.h"

namespace millrace::raft {

// Data versions 0 (kraft.version 0) and 1.
Result<ElectionState> parse_quorum_state(std::string_view text);

// In the data version of `kraft_version`. Version 0 names the voters, which are the configured
// ones there.
std::string print_quorum_state(const ElectionState& state, const VoterSet& voters,
                               int16_t kraft_version);

}  // namespace millrace::raft
