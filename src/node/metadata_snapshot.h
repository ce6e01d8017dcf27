// The snapshots that a node writes: of the metadata image, the first one of a quorum, and the
// bootstrap.checkpoint that formatting leaves in every log directory.
// Not here: their framing (raft/snapshot), when they are due (node/metadata_log).
// Threads: any; files only.
#pragma once

#include <string>
#include <vector>

#include "env/disk.h"
#include "metadata/image.h"
#include "raft/snapshot.h"

namespace millrace::node {

ByteBuffer snapshot_of(const metadata::Image& image, const raft::SnapshotHeader& header);
// 0-0: the voters that a dynamic quorum begins with, at kraft.version 1.
ByteBuffer first_snapshot(raft::VoterSet voters, TimestampMs now);
// The records that a new cluster's log shall begin with.
ByteBuffer bootstrap_checkpoint(const std::vector<wire::MetadataRecord>& records, TimestampMs now);
Result<std::vector<wire::MetadataRecord>> read_bootstrap_checkpoint(env::Disk& disk,
                                                                    const std::string& path);

// Under a name of its own until it is whole and durable; then read-only, as Kafka's are.
Result<> write_snapshot_file(env::Disk& disk, const std::string& path, ByteView content);
// The newest record's time that a snapshot's header says; kNoTimestamp: it cannot be read.
TimestampMs last_contained_in(env::Disk& disk, const std::string& path);

}  // namespace millrace::node
