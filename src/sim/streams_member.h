// A member of a streams group in a simulation (KIP-1071): heartbeats, takes the tasks that it is
// told of, active ones and standbys, reads what its active tasks read and commits how far it is,
// takes its time to stop those that it is to give up; leaves now and then, dies, comes back under
// its id or another one, or never stops anything, until it is fenced.
//
//   SG1  an active task that one member runs, as it was told to, is no other's before the member
//        has said that it has stopped it, or its session is over
//   SG2  the epoch of a member does not go back
//   SG4  nobody else commits for it, nor does who had it in the epoch that it had it in; a fetch of
//        offsets that begins after a commit was answered gives that commit or a later one
//   SG6  a task that a process was told of, active or as a standby, no other member of the process
//        is told of before it was given up; and no member has it as both
// SG3, SG5, SG8: sim/streams_workload; SG7: sim/streams_endpoints. What a member that never stops
// anything does is judged by what it does to others.
// Threads: one.
#pragma once

#include "sim/consumer_member.h"
#include "sim/oracle.h"
#include "sim/streams_endpoints.h"
#include "wire/streams_group_heartbeat.h"

namespace millrace::sim {

struct StreamsMemberOptions {
  std::string group;
  const StreamsTopology* topology = nullptr;
  int process = 0;
  StreamsEndpoints* endpoints = nullptr;  // null: it has none
  std::function<void()> on_tasks;         // it was told of some
};

class StreamsMember final : public ConsumerMember {
 public:
  static constexpr int32_t kAtProcess = 10'000;
  static constexpr MemberRules kRules{"SG1", "SG2", "SG4", "SG4", kAtProcess, "SG6"};
  StreamsMember(const Site& site, Oracle& records, ConsumerOracle& oracle,
                StreamsMemberOptions options);
  // It stays from now on.
  void finish() {
    is_finishing_ = true;
    leave_chance_ = 0;
    endpoint_epoch_ = kKnowsNothing;
  }

 private:
  using Request = wire::StreamsGroupHeartbeatRequest;
  using Beat = wire::StreamsGroupHeartbeatResponse;
  using Tasks = StreamsTopology::Tasks;
  static constexpr int32_t kKnowsNothing = -1;  // of other endpoints
  struct Stopped {
    int32_t task = 0;
    int32_t epoch = 0;  // of the member
  };
  void send(int32_t epoch, uint64_t round) override;
  void leave() override;
  void work(Tenure tenure, int64_t position) override;
  TopicPartition place_of(int32_t task) const override { return own_.topology->read_by(task); }
  // What it has, for itself and for its process.
  ConsumerOracle::Owned claims() const;
  void tell_all(Request& request);
  void stop_tasks();
  void answered(const Result<Beat>& answer, Instant sent);
  void take(const Beat& beat);
  void commit_late(const Stopped& task);
  Tasks active() const;

  Oracle* records_;
  StreamsMemberOptions own_;
  Client reader_;
  Tasks given_;  // active ones; the others it is to stop
  Tasks standby_;
  Tasks said_active_, said_standby_;  // in the last heartbeat that was answered
  std::vector<Stopped> stopped_;      // until its next epoch is heard of
  bool stops_nothing_ = false;
  bool is_finishing_ = false;
  uint16_t endpoint_ = 0;  // where it is reached since it joined
  int32_t endpoint_epoch_ = kKnowsNothing;
};

}  // namespace millrace::sim
