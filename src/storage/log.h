// One partition's log: an ordered run of segments in a directory `<topic>-<partition>`, byte for
// byte Kafka's.
// Not here: replication and the high watermark (node/partition), when to sync
// (node/partition_host), which partitions there are (storage/log_directory).
// Threads: one caller at a time (the partition's lock); files handed out by read() and
// take_unsynced() may be read and synced by other threads meanwhile.
// Durability: append() hands bytes to the page cache; they are on the medium once what
// take_unsynced() gave was synced.
// Failure: an append that fails leaves the log as it was (kNoSpace: later appends may work again).
// kCorrupt on a read names segment and position.
// Invariants:
//   L1 offsets ascend without overlap; segments[i] ends where segments[i+1] begins or before it
//      (compaction).
//   L2 log_start <= recovery_point <= log_end (recovery_point may lie below log_start after
//      DeleteRecords).
//   L3 recovery cuts only what lies at or behind the recovery point and is no valid batch.
//   L4 what is known to be damaged is in no slice that is read, and no offset moves for it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/lazy.h"
#include "env/disk.h"
#include "storage/checkpoint.h"
#include "storage/compaction.h"
#include "storage/damage.h"
#include "storage/log_options.h"
#include "storage/producer_state.h"
#include "storage/segment.h"
#include "storage/segment_swap.h"
#include "storage/transaction_index.h"

namespace millrace::storage {

// What is known of a log before it is opened, from the checkpoints of its log directory.
struct LogRecovery {
  Offset recovery_point{0};
  Offset log_start{0};
  bool clean = false;     // the last process stopped cleanly: nothing needs to be scanned
  bool may_exist = true;  // false: there is no such directory, nobody needs to look
  // Damage below the recovery point is kept aside and all else served; else it is an error.
  bool keeps_damage = false;
  std::optional<Offset> cleaned_to;  // by compaction; none: it has not begun
};

// A run of whole batches in a file, beginning with the one that holds the offset asked for.
struct ReadSlice {
  std::shared_ptr<env::File> file;
  uint64_t position = 0;
  size_t length = 0;  // 0: nothing there yet
};

struct ReadRequest {
  Offset from;
  Offset below;  // batches at or beyond this offset are not given
  size_t max_bytes = 0;
  bool at_least_one = true;  // one whole batch even if it is larger than max_bytes
};

struct TimestampedOffset {
  Offset offset;
  TimestampMs timestamp;
};

// Files whose bytes up to log_end wait for a sync, and whether the directory does too.
struct Unsynced {
  std::vector<std::shared_ptr<env::File>> files;
  bool directory = false;
  Offset log_end;
  uint64_t appended_bytes = 0;  // as Log::appended_bytes()
  uint64_t cuts = 0;            // how often the log was cut by then
};

class Log {
 public:
  // Opens what is there. The directory need not exist: it is made at the first append.
  static Result<std::unique_ptr<Log>> open(env::Disk& disk, const std::string& directory,
                                           const SharedLogOptions& options,
                                           const LogRecovery& recovery);

  // Appends batches, which get their offsets and the epoch here, in place. Returns the first one's
  // base offset.
  Result<Offset> append(std::span<const MutableByteView> batches, LeaderEpoch epoch,
                        TimestampMs now);
  // Appends batches as another replica has them: with their offsets, which ascend from the log's
  // end or behind it, and their epochs.
  Result<> append_as_is(std::span<const record::BatchView> batches, TimestampMs now);
  Result<ReadSlice> read(const ReadRequest& request);

  Offset log_start() const { return log_start_; }
  Offset log_end() const { return log_end_; }
  Offset recovery_point() const { return recovery_point_; }
  uint64_t size_in_bytes() const;
  uint64_t appended_bytes() const { return appended_bytes_; }  // since it was opened
  const std::string& directory() const { return directory_; }
  const ProducerState& producers() const { return *producers_; }
  void expire_producers(TimestampMs before) {
    if (ProducerState* known = producers_.if_made()) known->expire(before);
  }
  // What lies below the high watermark is replicated.
  void replicated(Offset high_watermark) {
    if (ProducerState* known = producers_.if_made()) known->replicated(high_watermark);
  }
  void set_options(const SharedLogOptions& options) { options_ = options; }
  void set_topic_id(const Uuid& topic_id) { topic_id_ = topic_id; }

  // The first record with a timestamp of at least `target`; nothing: there is none.
  Result<std::optional<TimestampedOffset>> offset_for_timestamp(TimestampMs target);
  Result<std::optional<TimestampedOffset>> max_timestamp();

  LeaderEpoch latest_epoch() const;
  // The end of the largest epoch that is at most `epoch`.
  EpochStart end_of_epoch(LeaderEpoch epoch) const;
  // The epoch in which the record at `offset` was written.
  LeaderEpoch epoch_of(Offset offset) const;
  const std::vector<EpochStart>& epochs() const { return epochs_; }

  // The aborted transactions that a reader of the range meets.
  std::vector<AbortedTransaction> aborted_transactions(TransactionIndex::Range range) const {
    return aborted_.overlapping(range);
  }

  Unsynced take_unsynced();
  void mark_synced(Offset up_to) { recovery_point_ = std::max(recovery_point_, up_to); }
  // False: the log was cut since that was taken. What is there now may be other records at the same
  // offsets, and only the next sync says how far they are durable.
  bool is_current(const Unsynced& unsynced) const { return unsynced.cuts == cuts_; }
  uint64_t cuts() const { return cuts_; }  // how often it was
  const std::string& path() const { return directory_; }
  // Its directory has another name now.
  void moved_to(const std::string& directory);

  // DeleteRecords: everything below `offset` is gone for readers. At most log_end.
  void advance_log_start(Offset offset) { log_start_ = std::max(log_start_, offset); }
  // Applies retention to segments that end at or below `limit`; returns files to remove later.
  Result<std::vector<std::string>> delete_old_segments(Offset limit, TimestampMs now);
  // Cuts everything from `offset` on. The recovery point on disk must not lie behind it (R25): what
  // is appended then would count as synced.
  Result<> truncate_to(Offset offset);
  void lower_recovery_point(Offset offset);
  // Throws everything away; the next record gets `offset`. For a log that goes on behind a
  // snapshot, or behind what its leader has deleted.
  Result<> start_over_at(Offset offset);
  // The file that has, or would have, the record.
  std::string file_of(Offset offset) const;

  // Writes what a clean stop leaves: indexes, producer snapshot. Nothing when the last clean stop
  // has left it and nothing has changed since.
  Result<> close();
  // Damage (storage/damage). A read of an offset that is damaged is kCorrupt, and one of those
  // before it ends in front of it. replay() is kCorrupt.
  bool is_damaged() const;
  std::vector<DamagedRange> damage() const;
  // That which the offset lies in; null: none that is known.
  const DamagedRange* damage_of(Offset offset) const;
  // Looks at the batch that holds the offset: how far it is damaged, if it is.
  Result<std::optional<DamagedRange>> examine(Offset offset);
  // Of the segment that holds the offset: where the next one begins, or the log ends.
  Offset segment_end(Offset offset) const;
  // Gives the batch that holds the offset, if it is whole, the leader epoch that it should have: no
  // checksum covers it, and the log knows it. Whether it had another one.
  Result<bool> right_epoch(Offset offset);
  // Keeps it aside; where that fails (and says so) it is not served all the same.
  void quarantine(const DamagedRange& range);
  // Good batches in place of the front of what is damaged: every record of it below `below`.
  struct Mended {
    ByteView batches;
    Offset below;
  };
  // First they are written, which take_unsynced() tells; kInvalid: they do not fit. Served they are
  // when shrink_damage() is told that they are synced.
  Result<> overwrite_damage(const DamagedRange& range, const Mended& mended);
  Result<> shrink_damage(const DamagedRange& range, const Mended& mended);

  // Compaction (storage/compaction). What it would find, when records at or behind `stable` must
  // not be touched; nothing: there is nothing to look at, or what is there is damaged.
  Result<std::optional<Cleanable>> cleanable(Offset stable, TimestampMs now);
  Result<CompactionPlan> plan_compaction(const Cleanable& cleanable, TimestampMs now);
  // Where compaction goes on; none: from the log's start.
  std::optional<Offset> cleaned_to() const { return cleaned_to_; }
  void note_cleaned(Offset up_to) { cleaned_to_ = up_to; }
  // The exchange of segments (storage/segment_swap), in three steps; what each did is to be made
  // durable by a sync of the directory before the next, and after the last. begin_swap(): false,
  // and the group is left as it was, if they are not the log's any more. adopt_swap(): readers get
  // the new one; gives the files that are to be removed after the last step. Nothing, and false
  // from finish_swap(): the log had to complete it by itself meanwhile.
  Result<bool> begin_swap(CleanedGroup&& group);
  Result<std::optional<std::vector<std::string>>> adopt_swap();
  Result<bool> finish_swap();

  // Calls `visit` for every batch of the segments until it says false; used to replay metadata and
  // coordinators. kCorrupt names what has no right checksum.
  Result<> replay(const Segment::Visit& visit);

 private:
  Log(env::Disk& disk, std::string directory, const SharedLogOptions& options)
      : disk_(&disk), directory_(std::move(directory)), options_(options) {}

  Result<> load(const LogRecovery& recovery);
  Result<> load_epochs();
  // What is below must be there; where the end is not found, it is at `end` at least.
  struct Trust {
    Offset below;
    Offset end;
  };
  Result<> recover_from(size_t first, Offset trusted_below);
  Result<bool> recover_segment(Segment& segment, const Trust& trust);
  struct Place {
    uint64_t position = 0;
    Offset next;  // the offset that is expected there
  };
  struct Suspect {
    Place last;  // the batch before, when there is one
    Place bad;
  };
  struct Walked {
    Suspect suspect;
    Offset end;
  };
  Result<Walked> walk_segment(Segment& segment, uint64_t listed, Offset trusted_below);
  Result<bool> ends_well(Segment& segment, const Walked& walked, const Trust& trust);
  // Whether the batch there is whole and has the offsets that it can have.
  static Result<bool> stands_right(env::File& file, const Place& place);
  Result<DamagedRange> extent_of_damage(Segment& segment, const Suspect& suspect,
                                        Offset claimed_end);
  Result<std::optional<BatchFound>> find_good_batch(Segment& segment, uint64_t damaged,
                                                    const BatchSearch& search);
  void quarantine(Segment& segment, const DamagedRange& range);
  Result<> keep_aside(Segment& segment, const DamagedRange& range);
  Result<> load_damage(const std::vector<std::string>& names);
  Result<> forget_damage(Segment& segment, uint64_t from_position);
  Result<> put_away(const std::string& path);
  std::string damage_path(const Segment& segment, const DamagedRange& range) const;
  Result<std::vector<std::string>> mark_deleted(Segment& segment);
  Result<> replay_headers(Segment& segment, const Segment::Visit& visit);
  Segment* segment_with(const DamagedRange& range);
  Result<bool> resume();
  Result<> scan_active(Offset recovery_point);
  Result<> complete_producers(Segment& last);
  Result<> restore_producers(size_t first);
  Result<bool> restore_producers_at(Offset offset);
  void note_batch(const record::BatchHeader& header, ByteView batch, TimestampMs now);

  Result<> write(std::span<const ByteView> pieces, TimestampMs now);
  Result<> make_directory();
  Result<> roll(Offset base_offset);
  struct Coming {
    const record::BatchHeader& first;
    Offset last_offset;
    size_t bytes = 0;
  };
  Result<> roll_if_needed(const Coming& coming, TimestampMs now);
  struct Appending {
    LeaderEpoch epoch;
    TimestampMs now;
  };
  Result<Offset> append_behind_end(std::span<const MutableByteView> batches,
                                   const record::BatchHeader& first, Appending how);
  Result<> assign_epoch(LeaderEpoch epoch, Offset start);
  Result<> write_epochs();
  Result<> write_producer_snapshot();
  Result<> remove_snapshots_behind(Offset offset);
  Result<> write_transaction_index(const Segment& segment);
  void load_transaction_indexes(size_t segment_count);
  void end_transaction(const record::BatchHeader& header, ByteView batch);
  Result<bool> should_delete(size_t index, TimestampMs now, uint64_t total) const;
  struct Swap {
    CleanedGroup group;
    std::shared_ptr<Segment> adopted;  // none: the old segments are still the log's
  };
  // The place of the first one; nothing: not all of them are the log's, sealed and whole.
  std::optional<size_t> place_of_swap(const CleanedGroup& group) const;
  // Before segments change otherwise: what was begun is completed.
  Result<> settle_swap();
  void remove_gone(const std::vector<std::string>& paths);
  Result<bool> is_overdue(Offset first_dirty, TimestampMs now);

  Segment* active() { return segments_.empty() ? nullptr : segments_.back().get(); }
  size_t segment_of(Offset offset) const;
  Result<uint64_t> position_of(Segment& segment, Offset offset, std::optional<size_t>* batch_size);

  env::Disk* disk_;
  std::string directory_;
  SharedLogOptions options_;
  Uuid topic_id_;
  std::vector<std::shared_ptr<Segment>> segments_;  // ascending; shared to be recognised
  std::vector<EpochStart> epochs_;
  Lazy<ProducerState> producers_;
  TransactionIndex aborted_;
  Offset log_start_;
  Offset log_end_;
  Offset recovery_point_;
  TimestampMs active_since_ = kNoTimestamp;  // when the active segment got its first batch
  std::vector<std::shared_ptr<env::File>> unsynced_;
  bool directory_unsynced_ = false;
  bool changed_ = false;  // since the last clean stop
  bool keeps_damage_ = false;
  uint64_t appended_bytes_ = 0;
  uint64_t cuts_ = 0;
  std::optional<Offset> cleaned_to_;
  std::unique_ptr<Swap> swap_;  // few logs have one at a time
};

}  // namespace millrace::storage
