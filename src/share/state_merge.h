// State batches that are laid over others, as Kafka's share coordinator does it: to the batch,
// since the result is written into its log.
// Not here: who writes them (share/share_coordinator).
// Threads: values.
#pragma once

#include <vector>

#include "share/state.h"

namespace millrace::share {

// Of two batches that say different things of an offset, the one with the higher delivery count
// counts; of equal ones, that with the higher state. What lies below `start` goes, unless that is
// kNoStartOffset. Inputs may overlap and come in any order, but first <= last in each. Ascending
// and apart; two neighbours may say the same, where the lower one was done before the upper one
// became what it is. Fewer than two batches are left as they are.
std::vector<StateBatch> merge_batches(std::vector<StateBatch> known,
                                      const std::vector<StateBatch>& added, Offset start);

// Whether no batch is reversed.
bool are_whole(const std::vector<StateBatch>& batches);
// Whether each offset is one that a record can have: no end is behind the last of all offsets.
bool are_of_records(const std::vector<StateBatch>& batches);
// Whether they are whole, ascending and apart, and none is below `start`.
bool are_merged(const std::vector<StateBatch>& batches, Offset start);

}  // namespace millrace::share
