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
// SG3, SG5: sim/streams_workload. What a member that never stops anything does is judged by what it
// does to others.
// Threads: one.
#pragma once

#include "sim/consumer_member.h"
#include "sim/oracle.h"
#include "wire/streams_group_heartbeat.h"

namespace millrace::sim {

struct StreamsMemberOptions {
  std::string group;
  std::string topic;  // that it reads
  std::string process_id;
  // That its one subtopology keeps its state in.
  wire::StreamsGroupHeartbeatRequest::TopicInfo changelog;
};

class StreamsMember final : public ConsumerMember {
 public:
  static constexpr MemberRules kRules{"SG1", "SG2", "SG4", "SG4"};
  static constexpr const char* kSubtopology = "counting";
  StreamsMember(const Site& site, Oracle& records, ConsumerOracle& oracle,
                StreamsMemberOptions options);
  // It stays from now on.
  void finish() {
    is_finishing_ = true;
    leave_chance_ = 0;
  }

 private:
  using Request = wire::StreamsGroupHeartbeatRequest;
  using Beat = wire::StreamsGroupHeartbeatResponse;
  using Tasks = std::set<int32_t>;
  struct Stopped {
    int32_t task = 0;
    int32_t epoch = 0;  // of the member
  };
  void send(int32_t epoch, uint64_t round) override;
  void leave() override;
  void work(Tenure tenure, int64_t position) override;
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
};

}  // namespace millrace::sim
