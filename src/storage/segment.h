// One segment of a log: `<base offset>.log` with its offset index and time index. Files are opened
// at first use; the indexes of the active segment live in memory and are written when it is sealed,
// as Kafka trims them then. A sealed one gives up file and indexes until somebody reads it.
// Not here: which segment an offset is in, rolling, retention, recovery (storage/log).
// Threads: those of the log. A file handed out by file() may be read by others meanwhile.
// Invariants (ST): index entries ascend in offset and position; every offset index entry names the
// last offset of the batch at its position; time index entries ascend in timestamp and offset.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "env/disk.h"
#include "record/batch.h"
#include "storage/damage.h"

namespace millrace::storage {

struct IndexEntry {
  Offset last_offset;  // of the batch at `position`
  uint32_t position = 0;
  uint32_t size = 0;  // of that batch; 0: not known, an index file does not say
};

struct BatchPlace {
  uint64_t position = 0;
  size_t size = 0;
};

struct TimeIndexEntry {
  TimestampMs timestamp;  // the largest so far
  Offset offset;          // the last offset of the batch that has it
};

class Segment {
 public:
  // Of a segment whose files may or may not exist yet, and have `suffix` behind their names.
  Segment(env::Disk& disk, const std::string& directory, Offset base_offset,
          std::string_view suffix = "");

  Offset base_offset() const { return base_offset_; }
  uint64_t size() const { return size_; }
  // Of its first batch; kNoTimestamp: there is none.
  Result<TimestampMs> first_batch_timestamp();
  // By the batches themselves. False as well when they cannot all be read.
  Result<bool> is_all_older_than(TimestampMs limit);
  // kNoTimestamp: no record has one. From the time index when the segment was not scanned.
  Result<TimestampMs> largest_timestamp();
  TimestampMs first_timestamp() const { return first_timestamp_; }
  bool index_is_full(uint64_t max_index_bytes) const {
    return (offset_index_.size() + 1) * 8 > max_index_bytes;
  }
  const std::string& path() const { return path_; }  // without suffix
  void moved_to(const std::string& directory);

  Result<std::shared_ptr<env::File>> file();
  // A new, empty segment: creates its file.
  Result<> create();
  void set_size(uint64_t size) {
    size_ = size;
  }  // as listed in the directory, before it is scanned

  // Notes that a batch with this header stands at the end of the file.
  void note_appended(const record::BatchHeader& header, uint64_t index_interval);
  Result<> write(std::span<const ByteView> pieces);

  // The position at which a scan for the batch that holds `offset` begins. Loads the index when
  // needed.
  Result<uint64_t> scan_position(Offset offset);
  // The batch that holds `offset`, when the index names it and the batch in front of it: with
  // batches as large as the index interval, every one that this process appended.
  std::optional<BatchPlace> indexed_batch(Offset offset) const;
  // Where a scan of at least the last `bytes` begins.
  Result<uint64_t> tail_position(uint64_t bytes);
  // Where a scan for the first record with a timestamp of at least `target` begins.
  Result<uint64_t> scan_position(TimestampMs target);

  // What is known to be damaged, ascending. Scans and walks pass over it.
  const std::vector<DamagedRange>& damage() const { return damage_; }
  // In place of what was known of these bytes. Keeps nothing aside.
  void add_damage(const DamagedRange& range);
  void forget_damage(const DamagedRange& range) { std::erase(damage_, range); }
  // The first that ends behind `position`.
  const DamagedRange* damage_behind(uint64_t position) const;

  // Calls `visit(header, batch, position)` for each whole batch from `position` on; false from it
  // stops. kCorrupt names the position of bytes that are no batch, or of half a batch at the end.
  // Returns the position behind the last batch.
  using Visit = std::function<bool(const record::BatchHeader&, ByteView batch, uint64_t position)>;
  Result<uint64_t> scan(uint64_t position, const Visit& visit);
  // As scan(), from the front, for batches that end below `below`, without reading their records:
  // `visit` gets whole control batches and of others the front only. Stops at the first bytes that
  // are no batch, without an error.
  Result<uint64_t> walk_headers(Offset below, const Visit& visit);
  // After a clean stop: takes the indexes for true and walks only what lies behind their last
  // entry. The offset behind the last batch; nothing: they do not fit the file, which has to be
  // scanned.
  Result<std::optional<Offset>> resume(uint64_t index_interval);

  // Rebuilds both indexes in memory from the batches; what lies behind `valid_size` is cut off.
  void forget_indexes();
  Result<> truncate(uint64_t size);
  // Writes the indexes to their files, trimmed to their entries; the caller syncs those.
  using Files = std::vector<std::shared_ptr<env::File>>;
  Result<Files> write_indexes();
  // No more is appended: writes the indexes, then gives up memory and descriptor.
  Result<Files> seal();
  // Renames all files of the segment: they end in `.deleted`; returns the new paths.
  Result<std::vector<std::string>> mark_deleted();
  // Renames all files of the segment, that of the batches first.
  Result<> change_suffix(std::string_view suffix);

 private:
  // As the public ones, up to the position `limit`, before which there is no known damage.
  struct Walk {
    uint64_t position = 0;
    uint64_t limit = 0;
    Offset below;  // of walks
  };
  Result<uint64_t> scan_up_to(const Walk& walk, const Visit& visit);
  Result<uint64_t> walk_up_to(const Walk& walk, const Visit& visit);
  Result<> load_indexes();
  // Of an entry of the offset index; 0, and the index is forgotten, if no such batch is there.
  Result<uint64_t> checked_position(IndexEntry& entry);
  void add_time_entry();
  void note_timestamp(const record::BatchHeader& header);

  env::Disk* disk_;
  Offset base_offset_;
  std::string path_;
  std::string suffix_;  // behind the names of its files
  std::shared_ptr<env::File> file_;
  uint64_t size_ = 0;
  uint64_t bytes_since_index_ = 0;
  bool indexes_loaded_ = false;
  std::vector<IndexEntry> offset_index_;
  std::vector<TimeIndexEntry> time_index_;
  std::vector<DamagedRange> damage_;
  TimestampMs first_timestamp_ = kNoTimestamp;
  TimestampMs largest_timestamp_ = kNoTimestamp;
  Offset largest_timestamp_offset_;
};

// Of the files of a segment; the first holds the batches.
inline constexpr std::string_view kSegmentFiles[] = {".log", ".index", ".timeindex", ".txnindex"};
std::string segment_file_name(Offset base_offset);  // 20 digits
// Of `<20 digits><suffix>`; nothing: it is another name.
std::optional<Offset> offset_in_file_name(std::string_view name, std::string_view suffix);

}  // namespace millrace::storage
