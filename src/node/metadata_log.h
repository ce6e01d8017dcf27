// The metadata log of a quorum of one: runs raft::Machine over the files of `__cluster_metadata-0`,
// which are Kafka's: segments, quorum-state, snapshots. Opening it replays what is there and leads
// a new epoch. Serves the fetches of observers.
// Not here: elections and what may be committed (raft), decisions (controller), when to sync
// (node/node). A quorum of several voters is refused.
//
// Threads: one caller at a time, but for sync(), write_snapshot() and remove(), which the disk
// thread calls and which touch files only.
// Failure: a disk's input never asserts; what is wrong is said with file and offset.
// Invariants:
//   MD-L1 the epoch grows with every start.
//   MD-L2 nothing is answered before sync() covered it (node/node).
//   MD-L3 a snapshot has its name only when it is whole and durable, and the log begins at 0 or
//      behind one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "metadata/image.h"
#include "raft/machine.h"
#include "raft/snapshot.h"
#include "storage/log.h"

namespace millrace::node {

// metadata.log.max.record.bytes.between.snapshots, metadata.log.max.snapshot.interval.ms (0: only
// by bytes), metadata.max.retention.bytes and .ms (-1: no limit).
struct SnapshotPolicy {
  uint64_t max_bytes_between = 20 << 20;
  Duration max_interval = seconds(3600);
  int64_t retention_bytes = 100 << 20;
  int64_t retention_ms = 7 * 24 * 3'600'000LL;
};

struct MetadataLogOptions {
  std::string directory;
  raft::Options raft;
  raft::Machine::Random random;
  raft::VoterSet static_voters;  // controller.quorum.voters; none: voters are kept in the log
  SnapshotPolicy snapshots;
  storage::LogOptions log;
  Offset recovery_point{0};  // what lies below was durable: damage there is refused, not cut
};

// What was appended and not yet synced.
struct Unsaved {
  storage::Unsynced files;
  uint64_t sequence = 0;
};

// A snapshot to be written: the image at the end of what is committed.
struct SnapshotJob {
  raft::LogPosition id;
  raft::SnapshotHeader header;
  std::shared_ptr<const metadata::Image> image;
};

// An answer to another replica. Its records or snapshot bytes are a range of a file.
struct QuorumAnswer {
  raft::Message message;
  storage::ReadSlice range;
};
using AnswerFunction = std::move_only_function<void(QuorumAnswer)>;

class MetadataLog {
 public:
  // Replays snapshot and records into `image`, and leads. Fresh, it gets the files of a quorum of
  // one.
  static Result<std::unique_ptr<MetadataLog>> open(env::Disk& disk, MetadataLogOptions options,
                                                   metadata::Image& image, const raft::Now& now);

  LeaderEpoch epoch() const { return machine_->epoch(); }
  Offset log_end() const { return log_->log_end(); }
  const raft::Machine& machine() const { return *machine_; }

  // Appends records as one batch and applies them to `image`; not yet durable.
  Result<> append(const std::vector<wire::MetadataRecord>& records, metadata::Image& image,
                  const raft::Now& now);
  Unsaved take_unsaved();
  Result<> sync(const Unsaved& unsaved) const;
  void mark_saved(const Unsaved& unsaved, const raft::Now& now);

  // A request of another replica; `done` is called now, or when there is something to say.
  void on_request(raft::Message request, AnswerFunction done, const raft::Now& now);
  void on_tick(const raft::Now& now);
  Instant next_deadline() const { return machine_->next_deadline(); }

  // Whether a snapshot is due of `image`, which stands at `end`. One is written at a time.
  std::optional<SnapshotJob> begin_snapshot(std::shared_ptr<const metadata::Image> image,
                                            Offset end, const raft::Now& now);
  Result<> write_snapshot(const SnapshotJob& job) const;
  // Notes how writing ended. Returns the files that retention has done with, for remove().
  std::vector<std::string> end_snapshot(const SnapshotJob& job, bool written, const raft::Now& now);
  Result<> remove(const std::vector<std::string>& files) const;

  Result<> close() { return log_->close(); }

 private:
  struct SnapshotFile {
    uint64_t size = 0;
    TimestampMs last_contained = kNoTimestamp;
  };

  MetadataLog(env::Disk& disk, MetadataLogOptions options)
      : disk_(&disk), options_(std::move(options)) {}
  Result<> load(metadata::Image& image);
  Result<> make_first_files(TimestampMs now);
  Result<> find_snapshots();
  Result<> load_snapshot(const raft::LogPosition& id, metadata::Image& image);
  Result<> replay_log(Offset from, metadata::Image& image);
  Result<> replay_batch(const record::BatchView& batch, Offset from, metadata::Image& image);
  Result<> lead(const raft::Now& now);

  Result<> perform(raft::Output output, TimestampMs now);
  Result<> write_batches(std::vector<ByteBuffer>& batches, TimestampMs now);
  Result<> write_quorum_state(const raft::ElectionState& state) const;
  void answer(raft::Envelope envelope);
  Result<storage::ReadSlice> range_of(raft::FetchResponse& response);
  Result<storage::ReadSlice> range_of(raft::FetchSnapshotResponse& response) const;
  std::string path_of(const raft::LogPosition& id) const;
  bool should_drop_first_snapshot(TimestampMs now) const;

  env::Disk* disk_;
  MetadataLogOptions options_;
  std::unique_ptr<storage::Log> log_;
  std::unique_ptr<raft::Machine> machine_;
  raft::Recovered recovered_;
  std::map<raft::LogPosition, SnapshotFile> snapshots_;
  std::map<uint64_t, AnswerFunction> waiting_;  // by correlation
  uint64_t next_correlation_ = 1;
  uint64_t last_sequence_ = 0;
  uint64_t bytes_since_snapshot_ = 0;
  Instant last_snapshot_at_;
  TimestampMs last_timestamp_{0};
  bool writing_snapshot_ = false;
};

}  // namespace millrace::node
