// The log of a quorum of one: `__cluster_metadata-0` with its quorum-state and snapshots, in
// Kafka's format. Opening it elects this node: a new epoch, written down before anything is
// appended in it, then the LeaderChange record. Not here: decisions (controller). A quorum of
// several nodes is refused by the node's start. Threads: one caller at a time, but for sync(),
// which the disk thread calls. Invariants: MD-L1 the epoch grows with every start. MD-L2 nothing is
// answered before sync() covered it (node/node).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "metadata/image.h"
#include "storage/log.h"

namespace millrace::node {

struct Voter {
  NodeId id = kNoNode;
  Uuid directory_id;
  metadata::Endpoint endpoint;  // of the controller listener
};

class MetadataLog {
 public:
  // Opens the log in `directory` (of the metadata log dir) and replays snapshot and records into
  // `image`.
  static Result<std::unique_ptr<MetadataLog>> open(env::Disk& disk, const std::string& directory,
                                                   metadata::Image& image);
  // Becomes leader of a new epoch.
  Result<> lead(const Voter& self, TimestampMs now);

  bool is_new() const { return is_new_; }
  LeaderEpoch epoch() const { return epoch_; }
  Offset log_end() const { return log_->log_end(); }
  Offset synced_end() const { return log_->recovery_point(); }  // everything below is durable
  // Appends records as one batch and applies them to `image`; not yet durable.
  Result<> append(const std::vector<wire::MetadataRecord>& records, metadata::Image& image,
                  TimestampMs now);
  // What has to be synced, taken here; synced on any thread by sync(); then noted here again.
  storage::Unsynced take_unsynced() { return log_->take_unsynced(); }
  Result<> sync(const storage::Unsynced& unsynced) const;
  void mark_synced(Offset end) { log_->mark_synced(end); }
  Result<> close() { return log_->close(); }

 private:
  MetadataLog(env::Disk& disk, std::string directory)
      : disk_(&disk), directory_(std::move(directory)) {}
  Result<> load(metadata::Image& image);
  Result<Offset> load_snapshot(metadata::Image& image);
  Result<> write_quorum_state(const Voter& self);
  Result<> append_batch(ByteBuffer batch, TimestampMs now);

  env::Disk* disk_;
  std::string directory_;
  std::unique_ptr<storage::Log> log_;
  LeaderEpoch epoch_{0};
  bool is_new_ = false;
};

// The version in which a record is written at metadata.version 30, the level that we finalise.
int16_t record_version(const wire::MetadataRecord& record);

}  // namespace millrace::node
