// One replica of the metadata log: runs raft::Machine over the files of `__cluster_metadata-0`,
// which are Kafka's: segments, quorum-state, snapshots. What is committed is applied to an image;
// the rest of the log waits for the quorum. A quorum of one leads a new epoch as soon as it is
// opened.
// Not here: elections and what may be committed (raft), connections, timers and the disk thread
// (node/raft_driver), decisions (controller).
//
// Threads: one caller at a time, but for sync(), write_snapshot() and remove(), which the disk
// thread calls and which touch files only.
// Failure: a disk's input never asserts; what is wrong is said with file and offset. After
// failure() nothing is done any more: what is in memory may not be on the medium.
// Invariants:
//   MD-L1 the epoch never falls, and grows with every start of a quorum of one.
//   MD-L2 the image holds what is committed and nothing else.
//   MD-L3 a snapshot has its name only when it is whole and durable, and the log begins at 0 or
//      behind one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
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
  bool may_found = true;         // where there is nothing yet: become a quorum of one
  SnapshotPolicy snapshots;
  storage::LogOptions log;
  Offset recovery_point{0};  // what lies below was durable: damage there is refused, not cut
};

// What was appended and not yet synced.
struct Unsaved {
  storage::Unsynced files;
  uint64_t sequence = 0;
};

// What is committed below `end`, whose newest batch was appended at `last_contained`.
struct CommittedImage {
  std::shared_ptr<const metadata::Image> image;
  Offset end;
  TimestampMs last_contained;
};

// A snapshot to be written.
struct SnapshotJob {
  raft::LogPosition id;
  raft::SnapshotHeader header;
  std::shared_ptr<const metadata::Image> image;
};

// An answer to another replica. Its records or snapshot bytes are a range of a file.
struct QuorumAnswer {
  // Nothing: there is none, as it would rest on what could not be written. Who asked asks again.
  std::optional<raft::Message> message;
  storage::ReadSlice range;
};
// Called once for each request: who waits lives on another shard, and may not be dropped here.
using AnswerFunction = std::move_only_function<void(QuorumAnswer)>;

class MetadataLog {
 public:
  // A request to another replica; its answer comes back by on_answer() or on_send_failed().
  using SendFunction = std::function<void(raft::Envelope)>;

  // Loads the newest snapshot and checks the log behind it.
  static Result<std::unique_ptr<MetadataLog>> open(env::Disk& disk, MetadataLogOptions options,
                                                   SendFunction send, const raft::Now& now);

  const raft::Machine& machine() const { return *machine_; }
  LeaderEpoch epoch() const { return machine_->epoch(); }
  Offset log_end() const { return log_->log_end(); }
  // What is committed, and where that ends.
  const metadata::Image& image() const { return image_; }
  Offset applied_end() const { return applied_end_; }
  TimestampMs applied_timestamp() const { return applied_timestamp_; }
  // Grows with what changes the image; a NoOpRecord does not.
  uint64_t changes() const { return changes_; }
  const std::optional<Error>& failure() const { return failure_; }

  // Appends records as one batch of the leader's; not yet durable. Returns where the batch begins.
  Result<Offset> append(const std::vector<wire::MetadataRecord>& records, int16_t metadata_version,
                        const raft::Now& now);
  bool has_unsaved() const { return changed_sequence_ > taken_sequence_; }
  Unsaved take_unsaved();
  Result<> sync(const Unsaved& unsaved) const;
  void mark_saved(const Unsaved& unsaved, const raft::Now& now);
  // A sync failed.
  void stop(const Error& why);

  // A request of another replica; `done` is called now, or when there is something to say.
  void on_request(raft::Message request, AnswerFunction done, const raft::Now& now);
  void on_answer(raft::Envelope answer, const raft::Now& now);
  void on_send_failed(const raft::Machine::SendFailure& failure, const raft::Now& now);
  void on_tick(const raft::Now& now);
  void resign(const raft::Now& now);
  Result<Offset> change_voters(const raft::VoterSet& next, const raft::Now& now);
  Result<> note_voter(NodeId id, raft::Voter voter);
  Result<Offset> upgrade_kraft_version(const raft::Now& now);
  Instant next_deadline() const { return machine_->next_deadline(); }

  // The snapshot that is due, if one is. One is written at a time.
  std::optional<SnapshotJob> begin_snapshot(const CommittedImage& committed, const raft::Now& now);
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

  // A snapshot that is being fetched.
  struct Incoming {
    raft::LogPosition id;
    std::unique_ptr<env::File> file;
  };

  MetadataLog(env::Disk& disk, MetadataLogOptions options, SendFunction send)
      : disk_(&disk), options_(std::move(options)), send_(std::move(send)) {}
  Result<> load();
  Result<> make_first_files(TimestampMs now);
  Result<> find_snapshots();
  Result<raft::SnapshotContents> load_snapshot(const raft::LogPosition& id);
  Result<> note_log(Offset from);

  void perform(const raft::Now& now);
  Result<> change_files(raft::Output& output, TimestampMs now);
  Result<> append_batches(raft::Output& output, TimestampMs now);
  Result<> write_election();
  Result<> write_batches(std::vector<ByteBuffer>& batches, TimestampMs now);
  Result<> write_quorum_state(const raft::ElectionState& state) const;
  Result<> take_chunk(const raft::SnapshotChunk& chunk, const raft::Now& now);
  Result<> restore(const raft::LogPosition& id, const raft::Now& now);
  Result<> apply_committed();
  Result<> apply(const record::BatchView& batch);
  void answer(raft::Envelope envelope);
  void leave_unanswered(uint64_t correlation);
  void refuse(raft::Output& output, const raft::Now& now);
  Result<storage::ReadSlice> range_of(raft::FetchResponse& response);
  Result<storage::ReadSlice> range_of(raft::FetchSnapshotResponse& response) const;
  std::string path_of(const raft::LogPosition& id) const;
  bool should_drop_first_snapshot(TimestampMs now) const;

  env::Disk* disk_;
  MetadataLogOptions options_;
  SendFunction send_;
  std::unique_ptr<storage::Log> log_;
  std::unique_ptr<raft::Machine> machine_;
  raft::Recovered recovered_;
  metadata::Image image_;
  Offset applied_end_{0};
  uint64_t changes_ = 0;
  std::optional<Error> failure_;
  std::optional<Error> append_error_;                      // of the last perform()
  std::optional<raft::ElectionState> unwritten_election_;  // the disk is full: nothing is said
  std::map<raft::LogPosition, SnapshotFile> snapshots_;
  std::optional<Incoming> incoming_;
  std::map<uint64_t, AnswerFunction> waiting_;  // by correlation
  uint64_t next_correlation_ = 1;
  uint64_t changed_sequence_ = 0;  // the last output that changed the log
  uint64_t taken_sequence_ = 0;    // the last that take_unsaved() covers
  uint64_t bytes_since_snapshot_ = 0;
  Instant last_snapshot_at_;
  TimestampMs applied_timestamp_{0};  // of the newest batch that is applied
  bool writing_snapshot_ = false;
};

}  // namespace millrace::node
