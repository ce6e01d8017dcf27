// State batches of several changes as one list, as they are written to the share coordinator.
// Not here: what changes (share/share_partition), how it is kept.
// Threads: values.
#pragma once

#include <vector>

#include "share/state.h"

namespace millrace::share {

// `batches` is ascending and apart, and is so afterwards: what it says of the offsets of `newer`
// gives way.
void overlay(std::vector<StateBatch>& batches, const StateBatch& newer);
// Neighbours that say the same are one; what is below `start` goes.
std::vector<StateBatch> combined(std::vector<StateBatch> batches, Offset start);

}  // namespace millrace::share
