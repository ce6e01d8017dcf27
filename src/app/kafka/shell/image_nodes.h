// The tree that the shell shows: /local, and /image with all that a snapshot of the metadata says.
// Not here: the texts of leaves (app/kafka/shell/describe.h).
// Ownership: nodes look into the snapshot, which outlives them.
#pragma once

#include "app/kafka/shell/node.h"
#include "app/kafka/shell/snapshot.h"

namespace millrace::app::kafka::shell {

Node root_of(const Snapshot& snapshot);

}  // namespace millrace::app::kafka::shell
