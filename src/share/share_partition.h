// A share partition at the leader of its partition: which records its members have, which are
// done with, from where it is read next, and what of that has to be kept (KIP-932; KIP-1206 for the
// acquire modes, KIP-1222 for renewing, KIP-1240 for what a group may set).
// Not here: the log, who waits for records (node/share_partitions), sessions
// (share/share_sessions), how state is kept (the share coordinator).
//
// The window is what lies between the start offset, below which everything is done with, and the
// end offset, the last that was given to anybody; where no record is in flight both are the next
// offset to read. Records in it are available, acquired by one member until its lock is over,
// acknowledged, or archived: rejected, missing in the log, or given too often.
// What a member may rely on is written first: acknowledge() and release() change a record at once,
// so that nobody gets it, and end the change when on_written() says how the write went; if it
// failed the record is the member's again, or free if its lock was over meanwhile. Locks that end
// free their records at once, whatever becomes of the write.
// Output: take_write() gives one write at a time; what changes meanwhile goes into the next one.
// Time: an argument. next_deadline() says when on_tick() has something to do.
// Threads: none of its own; one call at a time.
// Invariants, by check_invariants():
//   SP1 the batches in flight are apart, ascending, none behind the end offset; without any the
//       start and end offset are one.
//   SP2 an acquired record has a member and a lock, every other has neither; each lock is known
//       once.
//   SP3 no record below the start offset is available.
//   SP4 delivery_complete_count() is how many in the window are acknowledged or archived.
//   SP5 what is changing belongs to a change that waits for its write.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "share/in_flight_batch.h"
#include "share/record_state.h"
#include "share/state.h"
#include "wire/errors.h"

namespace millrace::share {

// Of the group, as configured when it is asked. The comment is the name of the group's config.
struct ShareConfig {
  Duration record_lock = seconds(30);  // share.record.lock.duration.ms
  int32_t delivery_limit = 5;          // share.delivery.count.limit
  int32_t max_record_locks = 2000;     // share.partition.max.record.locks
  bool may_renew = true;               // share.renew.acknowledge.enable
};

// A record batch that was read from the log.
struct FetchedBatch {
  Offset base;
  Offset last;
  ProducerId producer_id = kNoProducerId;
  bool is_transactional = false;
  // A marker, whether of a commit or of an abort: an aborted transaction meets only its own.
  bool is_control = false;
};

struct AbortedTransaction {
  ProducerId producer_id;
  Offset first;
};

struct AcquiredRange {
  Offset first;
  Offset last;
  int16_t delivery_count = 0;
  friend bool operator==(const AcquiredRange&, const AcquiredRange&) = default;
};

enum class AcquireMode : int8_t { kBatchOptimized = 0, kRecordLimit = 1 };

// What a member wants of what was read from `fetch_offset` on.
struct AcquireRequest {
  Member member;
  AcquireMode mode = AcquireMode::kBatchOptimized;
  int32_t batch_size = 1;
  int64_t max_records = 0;  // may be exceeded by what is left of a batch, unless by kRecordLimit
  Offset fetch_offset;
  std::span<const FetchedBatch> batches;
  // Whose batches are archived instead of given. Of a read_committed reader.
  std::span<const AbortedTransaction> aborted;
};

struct Acquired {
  std::vector<AcquiredRange> ranges;  // ascending
  int64_t count = 0;
};

// 0 gap, 1 accept, 2 release, 3 reject, 4 renew.
inline constexpr int8_t kRenew = 4;

struct AcknowledgementBatch {
  Offset first;
  Offset last;
  std::vector<int8_t> types;  // one for all, or one a record
};

// Offsets from the first that is in flight to the last: 10,000 may be (the most that
// share.partition.max.record.locks may say), and the batch that the last one is in, which has no
// more than a million records: 7 bytes each at least, and 1 MiB is the most by default.
inline constexpr int64_t kMostInFlight = 1 << 20;

// How a change ended, or (kNone with a change) that it waits for its write.
struct Outcome {
  wire::ErrorCode error = wire::ErrorCode::kNone;
  std::string message;
  ChangeId change = ChangeId::kNone;
};

struct EndedChange {
  ChangeId change;
  wire::ErrorCode error;
};

// What a member is told when state could not be read or written because of `error`.
wire::ErrorCode told_of_persister(wire::ErrorCode error);

class SharePartition {
 public:
  SharePartition(SharePartitionKey key, LeaderEpoch leader_epoch)
      : key_(std::move(key)), leader_epoch_(leader_epoch) {}

  const SharePartitionKey& key() const { return key_; }
  LeaderEpoch leader_epoch() const { return leader_epoch_; }
  void configure(const ShareConfig& config) { config_ = config; }

  // With what was kept, once. False: it makes no sense.
  struct Beginning {
    PersistedState kept;
    Offset initial{0};  // where it begins, if that was not initialised
    Offset log_end{0};  // of its partition
  };
  // Anybody may have written what was kept: it is cut to what can be. Nothing lies behind the log's
  // end (what comes to stand there later are other records), and no more than kMostInFlight behind
  // the start. Records that are cut off are given as if they never had been.
  bool begin(const Beginning& beginning);

  Offset start_offset() const { return start_; }
  Offset end_offset() const { return end_; }
  int32_t state_epoch() const { return state_epoch_; }
  int64_t in_flight_records() const { return batches_.empty() ? 0 : end_ - start_ + 1; }
  int64_t delivery_complete_count() const { return complete_count_; }

  Offset next_fetch_offset();
  // False: as many are in flight as may be.
  bool can_acquire();
  Acquired acquire(const AcquireRequest& request, Instant now);
  // All of them, or nothing changes but locks that were renewed before the one that fails.
  // INVALID_RECORD_STATE, INVALID_REQUEST.
  Outcome acknowledge(const std::string& member, std::span<const AcknowledgementBatch> batches,
                      Instant now);
  // What the member has is free again: its session is closed.
  Outcome release(const std::string& member);
  // The log begins there now: what is available below is archived, the window moves.
  void move_log_start(Offset log_start);

  Instant next_deadline() const;  // never(): no lock
  // Locks that are over end. True: others may find records now.
  bool on_tick(Instant now);

  // What is to be written now; nothing while a write is under way or nothing has changed.
  std::optional<PersistedState> take_write();
  bool is_writing() const { return !writing_.empty(); }
  // How the write that was taken went.
  std::vector<EndedChange> on_written(wire::ErrorCode error);
  // Another one has its place: what waits for a write ends with NOT_LEADER_OR_FOLLOWER, and none is
  // taken any more. One that is under way ends with on_written().
  std::vector<EndedChange> stop();

  void check_invariants() const;
  std::string describe() const;

 private:
  using Batches = std::map<Offset, InFlightBatch>;  // by their first offset
  struct Lock {
    Instant until;
    Offset first;
    friend auto operator<=>(const Lock&, const Lock&) = default;
  };
  struct Change {
    ChangeId id = ChangeId::kNone;  // kNone: nobody waits for it, it is done already
    std::vector<StateBatch> batches;
  };
  struct Limit {
    Offset last;
    int64_t records = 0;
  };
  struct Refusal {
    wire::ErrorCode error;
    std::string message;
  };
  using Checked = std::optional<Refusal>;  // nothing: all is well
  // Gaps in what was kept may have records that nobody has had: from `start` up to `end`, which is
  // where the window ended then.
  struct KeptGap {
    Offset start;
    Offset end;
  };
  struct Acknowledging {
    const std::string& member;
    const AcknowledgementBatch& batch;
    Change& change;
    Instant lock_until;

    int8_t type_of(Offset offset) const {
      return batch.types.size() == 1 ? batch.types.front()
                                     : batch.types[static_cast<size_t>(offset - batch.first)];
    }
  };

  // The only way in which a state changes: locks and counts follow.
  template <class F>
  void alter(const Unit& unit, F&& fn) {
    forget(unit);
    fn(*unit.state);
    note(unit);
  }
  void forget(const Unit& unit);
  void note(const Unit& unit);
  void split(InFlightBatch& batch);
  int64_t in_window(Offset first, Offset last) const;

  bool load(const std::vector<StateBatch>& kept, Offset end);
  bool reads_gap() const { return gap_ && gap_->end == end_; }
  void pass_gap(Offset offset);
  Batches::iterator floor(Offset offset);
  Offset find_available();
  bool straddles_start(const InFlightBatch& batch) const {
    return batch.first() < start_ && batch.last() >= start_;
  }
  bool may_move_start();
  struct Done {
    Offset last;
    int64_t in_window = 0;
  };
  std::optional<Done> done_prefix();
  bool move_start();
  void remove_done(const Done& done);

  // acquire.cc
  Limit limit_of(const AcquireRequest& request) const;
  void archive_missing(const AcquireRequest& request);
  bool archive(Batches::iterator from, Offset first, Offset last, DeliveryState wanted);
  void archive_aborted(const AcquireRequest& request, Acquired& acquired);
  struct Acquiring {
    const AcquireRequest& request;
    Limit limit;
    Instant now;
    Acquired result;
    int64_t left() const { return limit.records - result.count; }
  };
  void acquire_known(Acquiring& acquiring, Batches::iterator from, Offset base);
  enum class Next { kGoOn, kEnough };
  Next acquire_batch(Acquiring& acquiring, InFlightBatch& batch);
  bool is_throttled(InFlightBatch& batch, const Acquiring& acquiring);
  int64_t acquire_records(Acquiring& acquiring, InFlightBatch& batch);
  void acquire_new(Acquiring& acquiring, Offset first, Offset last);
  Offset last_of_new(const Acquiring& acquiring, Offset first, Offset last) const;
  std::vector<AcquiredRange> add_new(const Acquiring& acquiring, Offset first, Offset last);
  void add_in_flight(Offset first, Offset last, RecordState state);
  int32_t throttle_limit() const { return std::max(2, (config_.delivery_limit + 1) / 2); }

  // acknowledge.cc
  Checked acknowledge_batch(const Acknowledging& acknowledging);
  Checked acknowledge_in(const Acknowledging& acknowledging, InFlightBatch& batch);
  Checked acknowledge_records(const Acknowledging& acknowledging, InFlightBatch& batch);
  Checked acknowledge_unit(const Acknowledging& acknowledging, const Unit& unit, int8_t type);
  void change(Change& change, const Unit& unit, DeliveryState target);
  Outcome keep(Change change);
  void end_change(const Change& change, bool is_kept);
  void end_lock(const Unit& unit, Change& change);
  ChangeId fresh_change() { return ChangeId{++last_change_}; }

  const SharePartitionKey key_;
  const LeaderEpoch leader_epoch_;
  ShareConfig config_;
  int32_t state_epoch_ = 0;
  Offset start_{0};
  Offset end_{0};
  Batches batches_;
  bool may_have_available_ = false;  // in the window
  std::optional<KeptGap> gap_;
  std::set<Lock> locks_;
  int64_t complete_count_ = 0;
  uint64_t last_change_ = 0;
  bool is_stopped_ = false;
  std::deque<Change> waiting_;   // for the write that is under way to end
  std::vector<Change> writing_;  // what that one writes
};

}  // namespace millrace::share
