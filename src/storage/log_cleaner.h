// Cleans a log: reads its dirty part to learn the newest record of each key, then writes all
// segments up to there anew, in groups, with what stays of them. A piece at a time, so that whoever
// runs it can do other things in between, and without the log's lock: what it reads does not
// change while the log has it, which is looked at when a group is exchanged.
// Not here: what stays (storage/compaction), the exchange (storage/log_compaction), when and which
// log (node/compactor).
// Threads: one caller at a time.
// Memory: the map, a buffer to read and one to write, each as large as the largest batch if that is
// larger, and the largest batch unpacked.
// Durability: the files of a group are synced, and their directory, before it is handed out.
#pragma once

#include <memory>
#include <vector>

#include "env/disk.h"
#include "storage/compaction.h"
#include "storage/segment.h"
#include "storage/segment_swap.h"

namespace millrace::storage {

struct CleanerLimits {
  uint64_t map_bytes = 128 << 20;
  double load_factor = 0.9;
  size_t io_bytes = 256 << 10;  // of each buffer
  HashKey key;                  // of the map's hash
};

struct CleanerStatistics {
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t map_bytes_read = 0;  // of bytes_read
  uint64_t keys = 0;
  double map_used = 0;  // the part of CleanerLimits::map_bytes that the keys take
  BatchFilter::Counts records;
};

class LogCleaner {
 public:
  enum class State {
    kMapping,
    kCleaning,
    kGroupCleaned,  // take_group() comes before the next step
    kDone,
  };

  // kInvalid: the map would not hold one key.
  static Result<std::unique_ptr<LogCleaner>> open(env::Disk& disk, CompactionPlan plan,
                                                  const CleanerLimits& limits);

  // Reads a buffer, and writes what stays of it. kCorrupt: doubt() has a batch that is not what it
  // was; kUnsupported: one of an old format. Nothing of it may be used after an error.
  Result<State> step();
  CleanedGroup take_group();
  bool is_done() const { return state_ == State::kDone; }
  // The files of a group that will not be exchanged.
  void discard();

  // What is below is cleaned when all groups were exchanged.
  Offset cleaned_to() const { return map_end_; }
  const CleanerStatistics& statistics() const { return statistics_; }
  std::optional<Offset> doubt() const { return doubt_; }

 private:
  // A source that is read from front to back.
  struct Reading {
    const CompactionSource* source = nullptr;
    std::unique_ptr<env::File> file;
    uint64_t position = 0;
    Offset next;  // the first offset that may come
  };
  struct Group {
    std::unique_ptr<Segment> cleaned;
    size_t next = 0;  // of the sources
    size_t end = 0;
    bool writes_transactions = false;
    std::vector<AbortedTransaction> aborted;
  };

  LogCleaner(env::Disk& disk, CompactionPlan plan, const CleanerLimits& limits);

  Result<> begin_reading(const CompactionSource& source, uint64_t position);
  // The whole batches that the buffer holds from the current position on, at least one.
  Result<ByteView> read_piece();
  Result<> look_at(const record::BatchView& batch);
  std::unexpected<Error> doubted(std::string_view what);

  Result<State> map_piece();
  // False: the map is full.
  Result<bool> map_batch(const record::BatchView& batch);
  Result<> begin_cleaning();
  Result<std::vector<SegmentSizes>> sizes_of_sources();
  Result<State> clean_piece();
  Result<> begin_group();
  Result<> write_out();
  Result<> finish_group();

  env::Disk* disk_;
  CompactionPlan plan_;
  CleanerLimits limits_;
  State state_ = State::kMapping;
  CleanerStatistics statistics_;
  std::optional<Offset> doubt_;
  ByteBuffer in_, out_;
  Reading reading_;

  OffsetMap map_;
  Offset map_end_{0};  // the map knows all keys of the dirty part below
  size_t most_keys_ = 0;
  size_t mapped_ = 0;  // of the sources
  std::optional<CleanedTransactions> map_transactions_;
  record::ReadScratch scratch_;

  std::vector<size_t> groups_;  // how many sources each has
  size_t next_group_ = 0;
  std::set<Offset> has_transactions_;  // bases of sources with a transaction index
  std::optional<BatchFilter> filter_;
  Group group_;
};

}  // namespace millrace::storage
