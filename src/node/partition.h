// One partition hosted by this broker: its log, its role, its high watermark, and who waits for it.
// The locks of the data path are here: a partition's state is touched inside
// with_partition(partition, fn) alone, where `fn` runs at once on the calling thread under the
// partition's own lock and may not wait (decisions, D4).
// Not here: which partitions exist and when they are synced (node/partition_host), who gets which
// role (node/replication), what a leader counts (replica/leader), protocol (server).
//
// Offsets: log_start <= high_watermark <= log_end. A leader's high watermark is what its in-sync
// replicas have durably: with one replica the end of what is synced (fsync) or appended
// (page-cache), so that a consumer never sees what a crash could take back. A follower's is what
// its leader told it.
// Waiting: a produce waits for the high watermark to reach the end of its batch, a consumer's fetch
// for it to move, a follower's fetch for the log's end to move; our own fetcher waits for what it
// appended to be durable. What they are told is posted to their own shard, never run under the
// lock. Whoever loses the leadership tells all who wait for it.
// Invariants:
//   P1 the offsets are ordered as above.
//   P2 a leader's high watermark never moves back.
//   P3 no waiter stays behind it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/ids.h"
#include "env/shard.h"
#include "node/topic_settings.h"
#include "node/verification_guards.h"
#include "replica/leader.h"
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
  // Nothing to read arrived, but another look would find something else.
  void note_moved() { has_moved_ = true; }
  bool has_moved() const { return has_moved_; }
  void cancel();  // the request was answered otherwise
  bool is_done() const;

 private:
  std::atomic<bool> has_moved_ = false;
  mutable std::mutex mutex_;
  env::Shard* shard_;
  int64_t bytes_wanted_;
  env::Work wake_;  // empty: woken or cancelled
};

class Volume;

// A copy of the log in another log directory, which takes its place when it has all of it
// (KIP-113).
struct FutureLog {
  std::unique_ptr<storage::Log> log;
  Volume* volume = nullptr;
  bool is_announced = false;  // the controller is told that the replica lies there
};

struct Leadership {
  NodeId leader = kNoNode;
  LeaderEpoch epoch = kNoLeaderEpoch;
  friend bool operator==(const Leadership&, const Leadership&) = default;
};

// What went in and out since this process opened the partition.
struct Traffic {
  uint64_t produces = 0;
  uint64_t fetches = 0;
  uint64_t messages_in = 0;
  uint64_t bytes_in = 0;   // of producers
  uint64_t bytes_out = 0;  // to consumers
  uint64_t replication_bytes_in = 0;
  uint64_t replication_bytes_out = 0;
};

// What the lock protects.
class PartitionState {
 public:
  PartitionState(std::unique_ptr<storage::Log> log, std::shared_ptr<const TopicSettings> settings)
      : log_(std::move(log)), settings_(std::move(settings)) {}

  storage::Log& log() { return *log_; }
  const storage::Log& log() const { return *log_; }
  // Told of what only a failing disk explains, under the lock.
  void set_disk_failure(std::function<void(const Error&)> told) { disk_failure_ = std::move(told); }
  Result<storage::ReadSlice> read(const storage::ReadRequest& request);
  // Null: there is none. What is cut off of the log is cut off of it too.
  FutureLog* future() { return future_.get(); }
  const FutureLog* future() const { return future_.get(); }
  void set_future(std::unique_ptr<FutureLog> future) { future_ = std::move(future); }
  // The future log, which has all of the log durably, is the log now; gives the one it was.
  std::unique_ptr<storage::Log> adopt_future();
  const std::shared_ptr<const TopicSettings>& settings() const { return settings_; }
  void set_settings(std::shared_ptr<const TopicSettings> settings);
  const Leadership& leadership() const { return leadership_; }
  bool is_leader() const { return leader_ != nullptr; }
  // Only of a leader.
  const replica::Leader& leader() const { return *leader_; }
  Offset high_watermark() const { return high_watermark_; }
  // Of our own log; what a follower reports and a leader counts.
  Offset durable_end() const { return durable_end_; }
  // Where it was found at the start: what is below was committed, what is durable is.
  void start_at(Offset high_watermark, Offset durable_end);

  // This broker leads the partition, perhaps for long: the state's leader is options.self.
  void lead(const replica::LeaderOptions& options, const metadata::PartitionState& state,
            Instant now);
  // Another one does, or none.
  void follow(const Leadership& leadership);

  VerificationGuards& guards() { return guards_; }
  const VerificationGuards& guards() const { return guards_; }
  // The end of what a read_committed reader may see.
  Offset last_stable_offset() const;
  bool is_offline() const { return offline_; }
  const Traffic& traffic() const { return traffic_; }
  // A fetch gets so much of it; kNoNode: that of a consumer.
  void gives(size_t bytes, NodeId follower);
  // For a request that names its leader's epoch; -1: it names none.
  wire::ErrorCode check_epoch(int32_t named) const;
  // The end of the largest epoch that is at most `epoch`; kNoLeaderEpoch: of one still to come. The
  // leader's own begins where it found the log's end (KIP-320).
  storage::EpochStart end_of_epoch(LeaderEpoch epoch) const;

  // As leader: batches get their offsets and this leader's epoch; followers that wait are told.
  Result<Offset> append(std::span<const MutableByteView> batches, TimestampMs now);
  // As follower, in the epoch of the leader that sent them.
  Result<> append_fetched(std::span<const record::BatchView> batches, TimestampMs now);
  // The leader told its own.
  void learn_high_watermark(Offset of_leader);
  // As follower: the log is not the leader's from there on. The recovery point on disk must not lie
  // behind `target`.
  Result<> cut(Offset target);
  Result<> start_over_at(Offset offset);

  // `done` is posted to `shard` when the high watermark has reached `end`, or with an error.
  void wait_for(Offset end, env::Shard& shard, AckDone done);
  // As follower: when the log is durable up to `end`. One at a time.
  void wait_until_durable(Offset end, env::Shard& shard, AckDone done);
  // For the high watermark to move.
  void add_fetch_waiter(std::shared_ptr<FetchWaiter> waiter);
  // For the log's end to move: a follower's. That the high watermark moved is noted, no more.
  void add_follower_waiter(std::shared_ptr<FetchWaiter> waiter);

  // Everything below `end` is durable, which is where the log had `appended_bytes`. How many bytes
  // became so.
  uint64_t became_durable(Offset end, uint64_t appended_bytes);
  // A follower fetched; see replica::Leader. kNotLeaderOrFollower when this is no leader.
  wire::ErrorCode on_follower_fetch(const replica::FollowerFetch& fetch,
                                    const metadata::Image& image, Instant now);
  void on_tick(const metadata::Image& image, Instant now);
  std::optional<replica::IsrChange> take_isr_change();
  // The controller's answer to the change asked for in this leader epoch at this partition epoch.
  void on_isr_answer(const replica::IsrChange& asked, const replica::IsrAnswer& answer);
  // A disk error or the topic's deletion: every wait ends with `code`, nothing is served any more.
  void go_offline(wire::ErrorCode code);

 private:
  struct AckWaiter {
    Offset end;
    env::Shard* shard;
    AckDone done;

    void tell(wire::ErrorCode code) {
      shard->post([done = std::move(done), code]() mutable { done(code); });
    }
  };
  using FetchWaiters = std::vector<std::shared_ptr<FetchWaiter>>;

  void note_append(const Result<Offset>& appended);
  Result<> noted(Result<> outcome);
  void take_leaders_high_watermark(std::optional<uint64_t> appended_bytes = std::nullopt);
  void advance_high_watermark(Offset offset, std::optional<uint64_t> appended_bytes);
  void end_waits(wire::ErrorCode code);
  void end_durable_wait(wire::ErrorCode code);
  static void add(FetchWaiters& waiters, std::shared_ptr<FetchWaiter> waiter);

  std::unique_ptr<storage::Log> log_;
  std::unique_ptr<FutureLog> future_;
  std::function<void(const Error&)> disk_failure_;
  std::shared_ptr<const TopicSettings> settings_;
  Leadership leadership_;
  std::unique_ptr<replica::Leader> leader_;  // null: another one leads
  Offset high_watermark_;
  Offset durable_end_;
  uint64_t visible_bytes_ = 0;  // of the log's appended bytes, those below the high watermark
  uint64_t durable_bytes_ = 0;
  bool offline_ = false;
  bool refuses_appends_ = false;  // the last one failed
  Traffic traffic_;
  VerificationGuards guards_;
  std::vector<AckWaiter> ack_waiters_;  // ascending in end
  FetchWaiters fetch_waiters_;
  FetchWaiters follower_waiters_;
  std::unique_ptr<AckWaiter> durable_waiter_;
};

class Partition {
 public:
  Partition(TopicPartition name, const Uuid& topic_id, PartitionState state)
      : name_(std::move(name)), topic_id_(topic_id), state_(std::move(state)) {}

  const TopicPartition& name() const { return name_; }
  const Uuid& topic_id() const { return topic_id_; }
  // Where its log lies. Changes under the lock.
  Volume* volume() const { return volume_; }
  void set_volume(Volume* volume) { volume_ = volume; }

 private:
  template <class F>
  friend auto with_partition(Partition& partition, F&& fn);

  const TopicPartition name_;
  const Uuid topic_id_;
  std::atomic<Volume*> volume_ = nullptr;
  std::mutex mutex_;
  PartitionState state_;
};

template <class F>
auto with_partition(Partition& partition, F&& fn) {
  std::lock_guard lock(partition.mutex_);
  return fn(partition.state_);
}

}  // namespace millrace::node
