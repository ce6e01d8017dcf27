// The control records that KRaft keeps in its log and snapshots: leader change, version, voters, a
// snapshot's header and footer. Building and reading them; nothing else reads or writes these.
// Not here: other control records (record/control), metadata records (wire/metadata_records).
#pragma once

#include <utility>
#include <vector>

#include "raft/log_state.h"
#include "record/batch.h"
#include "record/builder.h"
#include "record/control.h"

namespace millrace::raft {

using ControlRecords = std::vector<std::pair<record::ControlType, ByteBuffer>>;

ByteBuffer leader_change_record(NodeId leader, const VoterSet& voters,
                                const std::vector<NodeId>& granting);
ByteBuffer kraft_version_record(int16_t version);
ByteBuffer voters_record(const VoterSet& voters);
ByteBuffer snapshot_header_record(TimestampMs last_contained);
ByteBuffer snapshot_footer_record();

// One control batch of these records, in order.
ByteBuffer control_batch(const ControlRecords& records, const record::BatchOptions& options,
                         TimestampMs now);

// What the control records of a batch say; kCorrupt when one cannot be read.
struct ControlFacts {
  std::optional<std::pair<Offset, VoterSet>> voters;
  std::optional<std::pair<Offset, int16_t>> kraft_version;
  bool has_snapshot_header = false;
  bool has_snapshot_footer = false;
  TimestampMs last_contained{0};  // of the header
};
Result<ControlFacts> read_control_batch(const record::BatchView& batch);

// Notes a batch that stands at the log's end: its epoch, and what its control records set.
Result<> note_batch(LogState& log, const record::BatchView& batch);

}  // namespace millrace::raft
