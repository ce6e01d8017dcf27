// Hosts coordinators: replicated machines (machine/replicated.h), one for each partition of an
// internal topic that this node leads, loaded from the partition's log when the leadership begins,
// its steps appended there and its replies held until they are committed. What groups,
// transactions and the state of share partitions have in common; a Kind says what differs.
// Not here: what a coordinator decides (group/coordinator, txn/coordinator,
// share/share_coordinator), how a log is replayed (node/coordinator_load), who leads (metadata),
// the protocol (server).
//
// A coordinator lives under its partition's lock: run() works inside with_partition. Replies wait
// for the high watermark of the end of the log at that moment, so that none is ahead of the records
// it rests on; but no longer than Options::commit_timeout (COORDINATOR_NOT_AVAILABLE).
// Moves: a coordinator belongs to one leader epoch. While it is being loaded, on the disk thread of
// the partition's directory, who comes gets COORDINATOR_LOAD_IN_PROGRESS; when another broker
// leads, NOT_COORDINATOR, and so does who waits here at that moment. What is written has the epoch
// that it was decided under, or is not written.
// Failure: an append that fails throws the coordinator away; who waits gets NOT_COORDINATOR and the
// next use loads it anew. A log that cannot be loaded is tried again after kLoadPause.
// Time: a timer on shard 0 for each coordinator's next deadline; none runs while nothing is due.
// Threads: any shard; follow() on shard 0.
// Ownership: host and partitions outlive every call; the disk threads of the partitions end before
// this does.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "machine/replicated.h"
#include "metadata/image.h"
#include "node/coordinator_load.h"
#include "node/partition_host.h"
#include "record/builder.h"

namespace millrace::node {

// Kind: Machine, Config, Decision, Response; kTopic, whose partitions they are.
template <class Kind>
class PartitionCoordinators {
 public:
  using Machine = typename Kind::Machine;
  using Decision = typename Kind::Decision;
  using Response = typename Kind::Response;
  // kNone and a response, or why there is none.
  using Done = std::move_only_function<void(wire::ErrorCode, Response)>;
  using ReadFunction = std::function<void(const Machine&)>;

  struct Options {
    typename Kind::Config machine;
    Duration commit_timeout = seconds(5);
  };
  PartitionCoordinators(env::Host& host, PartitionHost& partitions, Options options)
      : host_(&host), partitions_(&partitions), options_(std::move(options)) {}
  virtual ~PartitionCoordinators() = default;

  // By which keys are dealt out: that of the topic when it was made, or this node started; 0: there
  // is no such topic yet.
  int32_t partition_count() const { return partition_count_; }
  // Where the coordinator of `key` is, if the topic is there.
  std::optional<PartitionIndex> partition_of(const std::string& key) const;

  // Reads at once. An error: no coordinator here, or not yet.
  wire::ErrorCode read(const std::string& key, const ReadFunction& look);
  // `done` is posted to `shard` when all that the key's coordinator has written so far is
  // committed.
  void when_durable(const std::string& key, env::Shard& shard, AckDone done);
  // Every coordinator of this node; `done` as above, for all of them, or with
  // COORDINATOR_LOAD_IN_PROGRESS when one is still being loaded.
  void read_all(const ReadFunction& look, env::Shard& shard, AckDone done);

  // Of every coordinator that is loaded. It looks at all of their state: for tests and simulations.
  void check_invariants();

  static constexpr Duration kLoadPause = seconds(5);

 protected:
  // What a producer's transaction has in the batch of a decision, and the last word on whether it
  // may: under the lock, just before.
  struct TransactionalWrite {
    record::BatchOptions batch;
    std::function<wire::ErrorCode(PartitionState&)> check;
  };
  using Step = std::function<Decision(Machine&, machine::Ticket)>;
  struct Work {
    std::string key;
    // False: it goes on while too few replicas are in sync for anything to be committed; others are
    // answered COORDINATOR_NOT_AVAILABLE then.
    bool may_write = true;
    std::optional<TransactionalWrite> transaction;
    Step step;  // its reply, now or later, goes to `done`, posted to `shard`
    env::Shard* shard = nullptr;
    Done done;
  };
  struct Waiter {
    env::Shard* shard;
    Done done;
  };
  // An answer that waits for the high watermark: given up at its deadline.
  struct Held {
    env::Shard* shard;
    AckDone done;  // on that shard; empty: done
    void finish(wire::ErrorCode code) {
      if (done) std::exchange(done, nullptr)(code);
    }
  };
  struct HeldUntil {
    Instant deadline;
    std::weak_ptr<Held> held;
  };
  struct Slot {
    explicit Slot(HostedPartition of) : hosted(std::move(of)) {}
    const HostedPartition hosted;                    // whose lock guards the rest
    LeaderEpoch epoch = kNoLeaderEpoch;              // that the coordinator is of, or the load
    std::unique_ptr<Machine> coordinator;            // null: not loaded
    std::shared_ptr<CoordinatorLoad<Machine>> load;  // that is under way
    Instant load_again;                              // not before: the last one failed
    std::vector<std::function<Decision(Machine&)>> later;  // when it is loaded
    std::map<machine::Ticket, Waiter> waiters;
    std::deque<HeldUntil> held;  // ascending in deadline
    uint64_t last_ticket = 0;
    Instant timer = Instant::never();  // that runs on shard 0
    PartitionIndex index() const { return hosted.partition->name().partition; }
  };
  using SlotPtr = std::shared_ptr<Slot>;

  void run(Work work);
  // The metadata's topic is another one, or its partitions have other leaders.
  void follow_topic(const metadata::Image& before, const metadata::Image& after);
  // A step of a partition's coordinator that nobody waits for; when it is being loaded and `later`
  // says so, behind that.
  void run_unasked(PartitionIndex index, bool later, const std::function<Decision(Machine&)>& step);
  HostedPartition partition(PartitionIndex index) const;
  SlotPtr slot_of(const HostedPartition& hosted);
  env::Host& host() { return *host_; }
  PartitionHost& partitions() { return *partitions_; }

  // Of the kind, under the partition's lock.
  virtual Decision loaded(Machine& machine) = 0;
  virtual Decision tick(Machine& machine) = 0;
  // A decision was appended and applied, in the slot's epoch.
  virtual void performed(Slot& /*slot*/, PartitionState& /*state*/, Decision& /*decision*/) {}
  // This is no longer the coordinator that it was.
  virtual void discarded(const Slot& /*slot*/) {}

  wire::ErrorCode ready(const SlotPtr& slot, PartitionState& state);
  // `done` is posted to `shard` when the log's end is committed; see Options::commit_timeout.
  void hold(Slot& slot, PartitionState& state, env::Shard& shard, AckDone done);
  void arm(Slot& slot);
  // `then` on shard 0 when the log's end of now is committed, if this is the same leadership still.
  void when_committed(const Slot& slot, PartitionState& state, std::function<void()> then);

 private:
  struct Committing {
    PartitionIndex index;
    LeaderEpoch epoch;
    Offset end;
    std::function<void()> then;
  };
  void wait_until_committed(PartitionState& state, std::shared_ptr<Committing> committing);
  HostedPartition hosted_of(const std::string& key) const;
  void forget(PartitionIndex index);
  void follow_partitions();
  wire::ErrorCode look_at(const HostedPartition& hosted, const ReadFunction& look);
  void load_piece(const SlotPtr& slot, const std::shared_ptr<CoordinatorLoad<Machine>>& load);
  void on_timer(PartitionIndex index, Instant armed);
  Instant now() const { return host_->shard(0).clock().now(); }

  // The rest under the partition's lock.
  wire::ErrorCode try_work(Slot& slot, PartitionState& state, Work& work);
  void begin_load(const SlotPtr& slot, PartitionState& state);
  void end_load(Slot& slot, PartitionState& state);
  void perform(Slot& slot, PartitionState& state, Decision decision,
               const record::BatchOptions& batch = {});
  Result<> append(Slot& slot, PartitionState& state,
                  const std::vector<machine::KeyValueRecord>& records,
                  const record::BatchOptions& batch);
  void give_up_held(Slot& slot, Instant now);
  void discard(Slot& slot);

  env::Host* host_;
  PartitionHost* partitions_;
  Options options_;
  std::atomic<int32_t> partition_count_ = 0;
  mutable std::mutex mutex_;  // guards what follows
  std::map<PartitionIndex, SlotPtr> slots_;
};

}  // namespace millrace::node
