// Bits that rot on the medium: which, what of the data they damage, and the operator's repair.
//
// In a segment a batch rots whose loss no crash explains: it lies below the checkpointed recovery
// point, so that recovery may not take it for a torn tail. Its length, magic, checksum or records
// are hit; the offsets and the epoch at its front, which Kafka's format leaves without a checksum,
// and the header's producer and timestamps, which recovery trusts below the recovery point, are
// not. Aids rot anywhere: indexes, checkpoints, snapshots of producers. Those need no repair.
//
// Promise (ST3), checked with sim/oracle: what is damaged is never served as good, nor silently
// left out; all else is served. Behind the recovery point rot cannot be told from a torn tail:
// recovery cuts from the damaged batch on, also what was acknowledged, and says so in the log.
// Threads: one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "sim/broker.h"
#include "sim/oracle.h"
#include "storage/checkpoint.h"

namespace millrace::sim {

class Rot {
 public:
  Rot(Medium& medium, Oracle& oracle, std::string topic)
      : medium_(&medium), oracle_(&oracle), topic_(std::move(topic)) {}

  std::string directory = Broker::kDataDirectory;  // the log directory that is damaged

  struct Batch {
    std::string path;
    TopicPartition partition;
    uint64_t position = 0;
    uint64_t size = 0;
    int64_t first = 0, end = 0;  // offsets
    int64_t segment_end = 0;
  };
  enum class Kind { kFlip, kLostWrite, kMisdirectedWrite };
  using Allowed = std::function<bool(const Batch&)>;
  // Of a random batch of the topic, or of the groups' offsets; the oracle is told of the former.
  // Nothing: nothing that lies below a recovery point.
  std::optional<Batch> damage_batch(Kind kind = Kind::kFlip, const Allowed& allowed = {});
  bool damage_offsets();
  // Of the metadata log: the broker must not start before it is repaired.
  bool damage_metadata();
  // Of a random file that only helps. False: there is none. Not of the recovery points while
  // damaged batches are there: a point that rots to a lower one lets recovery cut them.
  bool damage_aid();
  // Of a random batch of a partition behind its recovery point, if there is one: nothing from it on
  // is promised.
  void damage_tail(int32_t partition);
  // Every damaged batch is as it was: restored from a copy.
  void repair();
  bool is_there() const { return !flips_.empty(); }
  bool forbids_start() const { return metadata_rotted_; }

 private:
  enum class Side { kBelow, kBehind };
  storage::OffsetCheckpoint recovery_points() const;
  std::vector<Batch> batches_of(const std::string& topic, Side side) const;
  void damage(const Batch& batch);
  // Something else stands where the batch was: nothing, or what was meant for another place.
  void overwrite(const Batch& batch, Kind kind);
  void flip(Medium::Flip flip, bool repaired_later);

  struct Repair {
    Medium::Flip flip;
    uint8_t rotten = 0;
  };
  Medium* medium_;
  Oracle* oracle_;
  std::string topic_;
  std::vector<Repair> flips_;
  bool metadata_rotted_ = false;
};

}  // namespace millrace::sim
