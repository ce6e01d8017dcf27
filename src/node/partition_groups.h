// Hosts the group coordinators: one for each partition of __consumer_offsets that this node leads,
// loaded from the partition's log at first use, its steps appended there and its replies held until
// they are durable.
// Not here: what a group does (group/coordinator), the protocol (server).
//
// A coordinator lives under its partition's lock: run() works inside with_partition. Replies wait
// for the high watermark of the end of the log at that moment, so that none is ahead of the records
// it rests on.
// Failure: an append that fails throws the coordinator away; who waits gets NOT_COORDINATOR and the
// next use loads it anew.
// Time: a timer on shard 0 for each coordinator's next deadline; none runs while nothing is due.
// Threads: any shard; topics_deleted() on shard 0.
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
  using StepFunction =
      std::function<group::Decision(group::Coordinator&, const group::RequestContext&)>;
  using ReadFunction = std::function<void(const group::Coordinator&)>;

  // `count` says how many partitions a topic has, also those whose logs could not be opened.
  using CountFunction = std::function<int32_t(std::string_view topic_name)>;
  GroupHost(env::Host& host, PartitionHost& partitions, const group::GroupConfig& config,
            CountFunction count)
      : host_(&host), partitions_(&partitions), config_(config), count_(std::move(count)) {}

  // Runs `step` in the coordinator of `group_id`, with what the host knows (ticket, times, fresh
  // id) beside what the request says of its client; `done` is posted to `shard` when its reply may
  // leave.
  struct Request {
    std::string group_id;
    int16_t api_version = 0;
    std::string client_id;
    std::string client_host;
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
  // Every coordinator that has been loaded or can be; `done` as above, for all of them.
  void read_all(const ReadFunction& look, env::Shard& shard, AckDone done);
  // The metadata has lost these topics: what was committed to them goes.
  void topics_deleted(const std::vector<group::DeletedTopic>& topics);

 private:
  struct Waiter {
    env::Shard* shard;
    GroupDone done;
  };
  struct Slot {
    const std::shared_ptr<Partition> partition;         // whose lock guards the rest
    std::unique_ptr<group::Coordinator> coordinator{};  // null: not loaded
    std::map<machine::Ticket, Waiter> waiters{};
    uint64_t last_ticket = 0;
    Instant timer = Instant::never();  // that runs on shard 0
  };
  using SlotFunction = std::function<group::Decision(Slot&)>;

  HostedPartition partition(PartitionIndex index) const;
  // 0: there is no such topic yet.
  int32_t partition_count();
  HostedPartition partition_of(const std::string& group_id);
  std::shared_ptr<Slot> slot_of(const HostedPartition& hosted);
  // Performs what `work` decides in the partition's coordinator. False: there is none, and nothing
  // was done.
  bool with_coordinator(const HostedPartition& hosted, const SlotFunction& work);
  void on_timer(PartitionIndex index, Instant armed);
  // The rest under the partition's lock.
  Result<> load(Slot& slot, PartitionState& state);
  void perform(Slot& slot, PartitionState& state, group::Decision decision);
  Result<> append(Slot& slot, PartitionState& state,
                  const std::vector<machine::KeyValueRecord>& records);
  void discard(Slot& slot);
  void arm(Slot& slot);

  env::Host* host_;
  PartitionHost* partitions_;
  group::GroupConfig config_;
  CountFunction count_;
  std::mutex mutex_;  // guards what follows
  int32_t partition_count_ = 0;
  std::map<PartitionIndex, std::shared_ptr<Slot>> slots_;
};

}  // namespace millrace::node
