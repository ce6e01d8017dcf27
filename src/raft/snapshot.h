// A snapshot of the metadata log as a file (KIP-630): its name, the control batches that frame it,
// data batches of framed records between them.
// Not here: what the records mean (metadata), reading and writing files (node/metadata_log).
// Reading takes files that anything may have happened to: a missing header or footer, a broken
// batch and a torn end are kCorrupt, and say at which byte.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "raft/control_records.h"

namespace millrace::raft {

// "00000000000000000023-0000000001.checkpoint"
std::string snapshot_name(const LogPosition& id);
// Nothing: not the name of a whole snapshot.
std::optional<LogPosition> parse_snapshot_name(std::string_view name);

struct SnapshotHeader {
  LeaderEpoch epoch{0};           // that of its id, in every batch
  TimestampMs last_contained{0};  // of the newest record that it stands for
  int16_t kraft_version = 0;      // voters are written from 1 on
  std::optional<VoterSet> voters;
  TimestampMs now{0};  // of the batches themselves
};

class SnapshotBuilder {
 public:
  explicit SnapshotBuilder(const SnapshotHeader& header);
  // A record as it stands in the log.
  void append(ByteView framed_record);
  ByteBuffer build() &&;

 private:
  void close_batch();

  static constexpr size_t kBatchBytes = 512 << 10;
  SnapshotHeader header_;
  ByteBuffer bytes_;
  Offset next_{0};
  std::optional<record::BatchBuilder> batch_;
};

struct SnapshotContents {
  std::optional<VoterSet> voters;
  int16_t kraft_version = 0;
  TimestampMs last_contained{0};
};

// Gives every record to `visit`, in order, and checks the whole. What `visit` refuses is the error,
// with the place.
using VisitRecord = std::function<Result<>(ByteView framed_record)>;
Result<SnapshotContents> read_snapshot(ByteView file, const VisitRecord& visit);

}  // namespace millrace::raft
