// One partition hosted by this broker: its log, its leadership, its high watermark, and who waits
// for it. The locks of the data path are here: a partition's state is touched inside
// with_partition(partition, fn) alone, where `fn` runs at once on the calling thread under the
// partition's own lock and may not wait (decisions, D4).
// Not here: which partitions exist and when they are synced (node/partition_host), protocol
// (server).
//
// Offsets: log_start <= high_watermark <= log_end. With one replica the high watermark is the end
// of what is durable: synced (fsync) or appended (page-cache), so that a consumer never sees what a
// crash could take back.
// Waiting: a produce waits for the high watermark to reach the end of its batch, a fetch for it to
// move. What they are told is posted to their own shard, never run under the lock.
// Invariants:
//   P1 the offsets are ordered as above.
//   P2 the high watermark never moves back.
//   P3 no waiter stays behind it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/ids.h"
#include "env/shard.h"
#include "node/topic_settings.h"
#include "storage/log.h"
#include "wire/errors.h"

namespace millrace::node {

// How a wait for the high watermark ended: kNone, or why it will not get there.
using AckDone = std::move_only_function<void(wire::ErrorCode)>;

// One fetch that waits for `bytes_wanted` in all of its partitions together. Owned by the request,
// shared with the partitions until it is done; `wake` is posted to `shard` once at most.
class FetchWaiter {
 public:
  FetchWaiter(env::Shard& shard, int64_t bytes_wanted, env::Work wake)
      : shard_(&shard), bytes_wanted_(bytes_wanted), wake_(std::move(wake)) {}

  // From any thread. True: it waits no more.
  bool bytes_arrived(int64_t bytes);
  void cancel();  // the request was answered otherwise
  bool is_done() const;

 private:
  mutable std::mutex mutex_;
  env::Shard* shard_;
  int64_t bytes_wanted_;
  env::Work wake_;  // empty: woken or cancelled
};

struct Leadership {
  NodeId leader = kNoNode;
  LeaderEpoch epoch = kNoLeaderEpoch;
};

// What the lock protects.
class PartitionState {
 public:
  PartitionState(std::unique_ptr<storage::Log> log, std::shared_ptr<const TopicSettings> settings)
      : log_(std::move(log)), settings_(std::move(settings)) {}

  storage::Log& log() { return *log_; }
  const std::shared_ptr<const TopicSettings>& settings() const { return settings_; }
  void set_settings(std::shared_ptr<const TopicSettings> settings) {
    log_->set_options(settings->log);
    settings_ = std::move(settings);
  }
  const Leadership& leadership() const { return leadership_; }
  void lead(const Leadership& leadership) { leadership_ = leadership; }
  Offset high_watermark() const { return high_watermark_; }
  // The end of what a read_committed reader may see.
  Offset last_stable_offset() const;
  bool is_offline() const { return offline_; }
  // For a request that names its leader's epoch; -1: it names none.
  wire::ErrorCode check_epoch(int32_t named) const;
  // The end of the largest epoch that is at most `epoch`; kNoLeaderEpoch: of one still to come. The
  // leader's own begins where it found the log's end (KIP-320).
  storage::EpochStart end_of_epoch(LeaderEpoch epoch) const;

  // `done` is posted to `shard` when the high watermark has reached `end`, or with an error.
  void wait_for(Offset end, env::Shard& shard, AckDone done);
  void add_fetch_waiter(std::shared_ptr<FetchWaiter> waiter);

  // Everything below `offset` is durable, which is where the log had `appended_bytes`. How many
  // bytes that made visible.
  uint64_t advance_high_watermark(Offset offset, uint64_t appended_bytes);
  // A disk error or the topic's deletion: every wait ends with `code`, nothing is served any more.
  void go_offline(wire::ErrorCode code);

 private:
  struct AckWaiter {
    Offset end;
    env::Shard* shard;
    AckDone done;
  };

  std::unique_ptr<storage::Log> log_;
  std::shared_ptr<const TopicSettings> settings_;
  Leadership leadership_;
  Offset high_watermark_;
  uint64_t visible_bytes_ = 0;  // of the log's appended bytes, those below the high watermark
  bool offline_ = false;
  std::vector<AckWaiter> ack_waiters_;  // ascending in end
  std::vector<std::shared_ptr<FetchWaiter>> fetch_waiters_;
};

class Partition {
 public:
  Partition(TopicPartition name, const Uuid& topic_id, PartitionState state)
      : name_(std::move(name)), topic_id_(topic_id), state_(std::move(state)) {}

  const TopicPartition& name() const { return name_; }
  const Uuid& topic_id() const { return topic_id_; }

 private:
  template <class F>
  friend auto with_partition(Partition& partition, F&& fn);

  const TopicPartition name_;
  const Uuid topic_id_;
  std::mutex mutex_;
  PartitionState state_;
};

template <class F>
auto with_partition(Partition& partition, F&& fn) {
  std::lock_guard lock(partition.mutex_);
  return fn(partition.state_);
}

}  // namespace millrace::node
