// Hosts the group coordinators: one for each partition of __consumer_offsets that this node leads,
// loaded from the partition's log at first use, its steps appended there and its replies held until
// they are durable. Not here: what a group does (group/coordinator), the protocol (server).
//
// A coordinator lives under its partition's lock: run() works inside with_partition. Replies wait
// for the high watermark of
//   the end of the log at that moment, so that none is ahead of the records it rests on.
// Failure: an append that fails throws the coordinator away; who waits gets NOT_COORDINATOR and the
// next use loads it anew. Threads: any shard.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "group/coordinator.h"
#include "node/partition_host.h"

namespace millrace::node {

// kNone and a response, or why there is none.
using GroupDone = std::move_only_function<void(wire::ErrorCode, group::Response)>;

class GroupHost {
 public:
  using StepFunction = std::function<group::Step(group::Coordinator&, const group::Caller&)>;
  using ReadFunction = std::function<void(const group::Coordinator&)>;

  GroupHost(env::Host& host, PartitionHost& partitions, const group::GroupConfig& config)
      : host_(&host), partitions_(&partitions), config_(config) {}

  // Begins the ticks; on shard 0.
  void start() { tick_later(); }

  // Runs `step` in the coordinator of `group_id`; `done` is posted to `shard` when its reply may
  // leave. `caller` lacks what the host knows: ticket, times, fresh id.
  struct Request {
    std::string group_id;
    group::Caller caller;
    StepFunction step;
    env::Shard* shard = nullptr;
    GroupDone done;
  };
  void run(Request request);
  // Reads at once. An error: no coordinator here.
  wire::ErrorCode read(const std::string& group_id, const ReadFunction& look);
  // `done` is posted to `shard` when all that the group's coordinator has written so far is
  // durable.
  void when_durable(const std::string& group_id, env::Shard& shard, AckDone done);
  // Every coordinator that has been loaded or can be.
  void read_all(const ReadFunction& look);

 private:
  struct Waiter {
    env::Shard* shard;
    GroupDone done;
  };
  struct Slot {
    std::unique_ptr<group::Coordinator> coordinator;  // null: not loaded
    std::map<machine::Ticket, Waiter> waiters;
    uint64_t last_ticket = 0;
  };

  HostedPartition partition_of(const std::string& group_id);
  Slot& slot_of(const HostedPartition& hosted);
  // The three below under the partition's lock.
  Result<> load(Slot& slot, PartitionState& state);
  void perform(Slot& slot, PartitionState& state, group::Step step);
  void discard(Slot& slot);
  void tick_later();
  void tick();

  env::Host* host_;
  PartitionHost* partitions_;
  group::GroupConfig config_;
  std::mutex mutex_;  // guards what follows; a slot belongs to its partition's lock
  int32_t partition_count_ = 0;
  bool counted_ = false;
  std::map<PartitionIndex, std::unique_ptr<Slot>> slots_;
};

}  // namespace millrace::node
