// Compaction's decisions, without files: which part of a log it may touch, what stays of a batch,
// which segments become one. As Apache Kafka 4.3's Cleaner and LogCleanerManager (KIP-58, KIP-98,
// KIP-354, KIP-534).
// Not here: reading and writing (storage/log_cleaner), exchanging segments (storage/log_compaction,
// storage/segment_swap), when and which log (node/compactor).
// Threads: values; one caller at a time.
// Invariants:
//   CP1 of every key the newest committed value below the clean bound stays until a newer one, or a
//       tombstone past its delete horizon.
//   CP2 records that stay keep offset and order; batches keep base and last offset and their
//       producer's fields.
//   CP3 nothing at or behind the last stable offset, or in the active segment, is touched; a marker
//       stays until its transaction's records are gone and its delete horizon is past.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "record/control.h"
#include "record/record.h"
#include "storage/log_options.h"
#include "storage/offset_map.h"
#include "storage/transaction_index.h"

namespace millrace::storage {

class Segment;

// What compaction would find in a log.
struct Cleanable {
  Offset first_dirty;        // behind what was cleaned before
  Offset first_uncleanable;  // where the first segment begins that it must not touch
  uint64_t clean_bytes = 0;
  uint64_t cleanable_bytes = 0;
  bool is_overdue = false;  // a record is not compacted for longer than max.compaction.lag.ms

  double ratio() const;
  bool is_due(double min_ratio) const;
};

// A segment that is cleaned: sealed, so that its bytes stay as they are while it is in the log.
struct CompactionSource {
  std::shared_ptr<const Segment> segment;  // to be recognised, not to be read
  std::string path;                        // without suffix
  Offset base;
  Offset end;  // where the next one begins
  uint64_t size = 0;
};

// A producer that may write again: of what it wrote last the batch stays, if only its header, since
// that tells a retry from a gap.
struct ActiveProducer {
  std::optional<Offset> last_data;  // the last offset of its last batch; none: behind a marker
  ProducerEpoch epoch;
};
using ActiveProducers = std::map<ProducerId, ActiveProducer>;

// All that is to know of a log to clean it without its lock.
struct CompactionPlan {
  std::string directory;
  LogOptions options;
  std::vector<CompactionSource> sources;  // all below first_uncleanable, ascending
  Offset first_dirty;
  Offset first_uncleanable;
  uint64_t dirty_position = 0;  // in the source that holds first_dirty: the map begins there
  std::vector<AbortedTransaction> aborted;  // that reach into the sources
  ActiveProducers producers;
  TimestampMs now;
};

// The transactions that a walk over a log meets: which are aborted, and whether a marker has
// nothing left to mark.
class CleanedTransactions {
 public:
  // Those whose markers lie in front of the walk must not be among them.
  explicit CleanedTransactions(std::vector<AbortedTransaction> aborted);

  // Of a batch of records: whether they were aborted.
  bool on_batch(const record::BatchHeader& header);
  // Of a control batch; no type: it has no record any more. True: none of its transaction's
  // batches were met, so that it can go.
  bool on_control_batch(const record::BatchHeader& header, std::optional<record::ControlType> type);
  // Of the aborted ones whose batches and marker were met since this was called last.
  std::vector<AbortedTransaction> take_met();

 private:
  struct Ongoing {
    AbortedTransaction transaction;
    bool was_met = false;
  };
  void begin_up_to(Offset offset);

  std::vector<AbortedTransaction> aborted_;  // descending in first_offset
  std::map<ProducerId, Ongoing> ongoing_aborted_;
  std::set<ProducerId> ongoing_committed_;
  std::vector<AbortedTransaction> met_;
};

// The type of a control batch; nothing: it is empty.
Result<std::optional<record::ControlType>> control_type(const record::BatchView& batch,
                                                        record::ReadScratch& scratch);

// What stays of batches, one after the other, in the order of the log.
class BatchFilter {
 public:
  struct Rules {
    const OffsetMap* map = nullptr;
    Offset map_end;  // the map knows all keys of the round below
    Offset round_end;
    TimestampMs now;
    int64_t delete_retention_ms = 0;
    const ActiveProducers* producers = nullptr;
  };
  struct Counts {
    uint64_t records_read = 0;
    uint64_t records_kept = 0;
    uint64_t records_without_key = 0;
  };
  static constexpr size_t kMaxUnpacked = 1 << 30;

  BatchFilter(const Rules& rules, CleanedTransactions transactions)
      : rules_(rules), transactions_(std::move(transactions)) {}

  // Appends to `out` what stays of the batch: as it is, rebuilt, empty, or nothing. kCorrupt: its
  // records cannot be read; kUnsupported: it is of an old format.
  Result<> filter(const record::BatchView& batch, ByteBuffer& out);
  const Counts& counts() const { return counts_; }
  std::vector<AbortedTransaction> take_met_aborted() { return transactions_.take_met(); }

 private:
  enum class Empty { kDeleted, kKept };
  struct Retention {
    bool drops_records = false;
    bool is_spent_marker = false;
    Empty empty = Empty::kDeleted;
  };
  Result<Retention> retention_of(const record::BatchView& batch);
  bool is_last_of_producer(const record::BatchHeader& header) const;
  bool stays(const record::BatchHeader& header, const record::RecordView& record);
  Result<bool> collect(const record::BatchView& batch);
  void rebuild(const record::BatchHeader& header, std::optional<TimestampMs> horizon,
               ByteBuffer& out);

  Rules rules_;
  CleanedTransactions transactions_;
  Counts counts_;
  record::ReadScratch scratch_;
  std::vector<record::RecordView> retained_;  // of one batch
  std::vector<record::HeaderView> headers_;   // of one record
};

// Sizes of the files of a segment, as they are when it is cleaned.
struct SegmentSizes {
  uint64_t log = 0;
  uint64_t index = 0;
  uint64_t time_index = 0;
};
// How many of the segments, from each first one on, become one segment.
struct GroupLimits {
  uint64_t segment_bytes = 0;
  uint64_t index_bytes = 0;
  Offset end;  // of the last one
};
std::vector<size_t> group_segments(std::span<const CompactionSource> segments,
                                   std::span<const SegmentSizes> sizes, const GroupLimits& limits);

}  // namespace millrace::storage
