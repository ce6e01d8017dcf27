// A snapshot of the metadata log (or a piece of the log) as the shell loads it: batch by batch, as
// if it were the log.
// Not here: snapshots that a node starts from, which have to be whole (raft/snapshot).
// Errors: exceptions. A record that cannot be read or applied is told of on standard error and left
// out, and so is what comes behind the last whole batch.
#pragma once

#include <cstdint>
#include <string>

#include "app/kafka/ending.h"
#include "metadata/image.h"

namespace millrace::app::kafka::shell {

struct Provenance {
  int64_t offset = -1;  // of the last record, in the file
  int32_t epoch = -1;
  int64_t time_ms = -1;
};

struct Snapshot {
  metadata::Image image;
  Provenance provenance;
  bool tells_producer_ids = false;
};

Attempt<Snapshot> load_snapshot(const std::string& path);

}  // namespace millrace::app::kafka::shell
