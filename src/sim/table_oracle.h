// What compaction promises of a topic in which each key has one writer (storage/compaction): CP1
// the newest value of each key stays until a newer one, or a tombstone whose time is over; CP2
// records and batches that stay are what they were, where they were; CP3 what lies in the active
// segment stays; CP4 a full read gives each key its newest value; CP6 compaction does not move a
// log's start. CP5, crashes: that all of this holds in every life.
// Not here: who writes (sim/table_workload).
// Threads: one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/partition_host.h"
#include "sim/world.h"

namespace millrace::sim {

// The number-th write of a key.
struct TableWrite {
  std::string key;
  int64_t number = 0;
  bool is_tombstone = false;
  std::string value() const { return key + "#" + std::to_string(number); }
};

class TableOracle {
 public:
  struct Promise {
    Duration delete_retention{};
    // A follower has in its active segment what its leader had left when it was fetched.
    bool is_replicated = false;
  };
  TableOracle(World& world, std::string topic, const Promise& promise)
      : world_(&world), topic_(std::move(topic)), promise_(promise) {}

  // A batch stands in the log from this offset on.
  struct Batch {
    int64_t producer = -1;
    int32_t sequence = 0;
    std::vector<TableWrite> writes;
  };
  void acknowledged(int32_t partition, int64_t base_offset, const Batch& batch);

  // What a broker has of the topic's partitions.
  void look(node::PartitionHost& partitions);
  // The same when nothing is written any more: `hosted` has all that was acknowledged.
  void check_all(node::PartitionHost& partitions);
  // Records that compaction took away were seen missing.
  int64_t compacted() const { return compacted_; }
  size_t acknowledged_count() const;

 private:
  struct Acknowledged {
    TableWrite write;
    Instant when;
  };
  struct AcknowledgedBatch {
    int64_t last = 0;
    int64_t producer = -1;
    int32_t sequence = 0;
  };
  struct Found {
    int64_t offset = 0;
    TableWrite write;
  };
  // A log's records below its high watermark.
  struct Contents {
    int64_t start = 0, active = 0, high_watermark = 0;
    std::map<int64_t, TableWrite> records;
    std::map<std::string, Found> newest;  // by key
  };
  struct Partition {
    std::map<int64_t, Acknowledged> writes;            // by offset
    std::map<int64_t, AcknowledgedBatch> batches;      // by base offset
    std::map<std::string, std::vector<int64_t>> keys;  // their offsets, ascending
  };
  // Nothing: it cannot be read, which is told unless its directory is broken.
  std::optional<Contents> read(int32_t partition, storage::Log& log, Offset high_watermark);
  void check_batch(int32_t partition, const record::BatchHeader& header);
  void check(int32_t partition, const Contents& contents, bool is_all);
  bool may_be_gone(const Partition& known, int64_t offset, const Contents& contents) const;
  bool is_over(const Acknowledged& tombstone) const;

  World* world_;
  std::string topic_;
  Promise promise_;
  std::map<int32_t, Partition> partitions_;
  int64_t compacted_ = 0;
};

}  // namespace millrace::sim
