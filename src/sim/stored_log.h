// A log as it stands on a medium, whoever runs on it or nobody: for oracles that compare replicas
// and look what power loss would leave.
// Not here: reading logs as a broker does (storage/log).
// Threads: one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "raft/types.h"
#include "record/batch.h"
#include "sim/disk.h"

namespace millrace::sim {

enum class View {
  kWritten,  // as a process sees it
  kDurable   // as power loss would leave it at worst
};

struct StoredBatch {
  int64_t first = 0, end = 0;  // offsets
  int32_t epoch = 0;
  uint64_t fingerprint = 0;  // of its bytes, the leader's epoch and the offset among them
  int64_t producer = -1;
  bool transactional = false, control = false;
  friend bool operator==(const StoredBatch&, const StoredBatch&) = default;
};

struct StoredLog {
  int64_t base = 0;  // of the last segment; or the end of the newest snapshot beside the log
  int64_t first_segment = 0;
  std::vector<StoredBatch>
      batches;  // whole ones with a right checksum, up to the first that is not
  int64_t start() const { return batches.empty() ? base : batches.front().first; }
  int64_t end() const { return batches.empty() ? base : batches.back().end; }
};

StoredBatch stored_batch(const record::BatchView& batch);
// Nothing: there is no such directory.
std::optional<StoredLog> read_stored_log(const Medium& medium, const std::string& directory,
                                         View view);
struct StoredSnapshot {
  std::string name;  // of the file, which says where it ends
  int64_t end = 0;
  uint64_t fingerprint = 0;  // of its records
};
// Sets of voters in the log of a dynamic quorum (KIP-853), in the order of their offsets.
struct StoredVoters {
  Offset offset;
  LeaderEpoch epoch;
  raft::VoterSet set;
};
std::vector<StoredVoters> read_stored_voters(const Medium& medium, const std::string& directory);
// Beside a log, in the order of their ends.
std::vector<StoredSnapshot> read_stored_snapshots(const Medium& medium,
                                                  const std::string& directory);
// Its end alone, which is cheaper: of the last segment that has any.
Offset stored_end(const Medium& medium, const std::string& directory, View view);
// The first segment with bytes that are no whole batches with right checksums; empty: none.
std::string torn_segment(const Medium& medium, const std::string& directory);
// The file that has the offset, or would have; empty: the log begins behind it.
std::string segment_with(const Medium& medium, const std::string& directory, Offset offset);

}  // namespace millrace::sim
