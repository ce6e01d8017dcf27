// Reads what every log has durably again, from time to time, and compares it with its checksums, so
// that bits that rot on one replica are found while others still have what was there. A rate bounds
// what it costs; it goes around in a while that depends on how much there is.
// Not here: what becomes of what it finds (storage/damage, node/mender).
// Threads: start() on shard 0; check() from any; reads happen on the volumes' disk threads, a small
// piece a turn. Ownership: shared, since work may outlive its use. Host and PartitionHost outlive
// it.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "node/partition_host.h"

namespace millrace::node {

class Scrubber : public std::enable_shared_from_this<Scrubber> {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    uint64_t bytes_per_second = 0;  // of each volume; 0: only what check() is asked
    std::function<void(const HostedPartition&)> found;  // from any thread
  };
  explicit Scrubber(Parts parts) : parts_(std::move(parts)) {}

  void start();
  void close();
  // There is reason to doubt the batch that holds `offset`: it is looked at soon.
  void check(const HostedPartition& hosted, Offset offset);

 private:
  static constexpr uint64_t kPieceBytes = 256 << 10;
  // What a partition counts for beside the bytes that are read of it, so that many small ones do
  // not keep the disk thread busy; and one that has nothing to read.
  static constexpr uint64_t kPartitionCost = 64 << 10;
  static constexpr uint64_t kEmptyCost = 64;
  static constexpr Duration kRoundTime = seconds(10);  // at least, from one round to the next
  static constexpr size_t kMaxChecks = 16;             // at once

  // One round over the partitions of a volume.
  struct Round {
    Volume* volume = nullptr;
    std::vector<HostedPartition> left;
    Offset next{-1};  // of the last one of `left`
    Instant begun{};
  };
  struct Piece {
    Offset next;  // where to go on; the log's durable end: nowhere
    uint64_t bytes = 0;
    bool is_last = true;
  };

  env::Shard& shard() const { return parts_.host->shard(0); }
  void begin_round(Volume& volume);
  void go_on(std::shared_ptr<Round> round, Duration pause);
  uint64_t read_some(Round& round);
  Piece read_piece(const HostedPartition& hosted, Offset from);
  Offset examine(const HostedPartition& hosted, const storage::Scrubbed& looked);

  Parts parts_;
  std::set<TopicPartition> checks_;  // that wait
  bool closed_ = false;
};

}  // namespace millrace::node
