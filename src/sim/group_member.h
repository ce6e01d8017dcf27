// A member of a consumer group in a simulation: joins, is assigned, reads, commits, heartbeats;
// starts over when it is told to. A static one goes away now and then and comes back in time.
// Threads: one.
#pragma once

#include <optional>
#include <set>

#include "sim/client.h"
#include "sim/group_oracle.h"
#include "sim/oracle.h"
#include "wire/join_group.h"
#include "wire/sync_group.h"

namespace millrace::sim {

struct MemberOptions {
  std::string group;
  std::string topic;
  int32_t partitions = 1;
  std::optional<std::string> instance_id;  // alone in its group then
  Duration session = seconds(6);
};

class GroupMember {
 public:
  GroupMember(const Site& site, Oracle& records, GroupOracle& group, MemberOptions options);
  void start();
  bool is_stable() const { return stable_; }
  const std::set<int32_t>& assigned() const { return assigned_; }

 private:
  void join();
  void joined(Result<wire::JoinGroupResponse> response, int32_t newest_then);
  void sync(const wire::JoinGroupResponse& joined);
  void synced(Result<wire::SyncGroupResponse> response);
  std::vector<wire::SyncGroupRequest::SyncGroupRequestAssignment> assign(
      const wire::JoinGroupResponse& joined);
  void heartbeat(uint64_t round);
  void find_positions();
  void read(int32_t partition, int64_t position, uint64_t round);
  void commit(int32_t partition, int64_t position, uint64_t round);
  // A commit of the generation before, as if it had been under way for long: it must be refused.
  void commit_late();
  // Another broker coordinates the group, or will: it is asked what this one was.
  bool coordinator_is_elsewhere(int16_t error);
  // What an error means for a member: start over, under a new id or not.
  void react(int16_t error);
  Client::CoordinatorOf coordinator() const { return {options_.group}; }
  void come_back();
  void again(Duration pause, void (GroupMember::*step)());

  Host* host_;
  Oracle* records_;
  GroupOracle* group_;
  MemberOptions options_;
  Client client_;  // joins, heartbeats, commits
  Client reader_;
  Stream dice_;
  std::string member_id_;
  int32_t generation_ = -1;
  int32_t generation_before_ = -1;  // of a static member that went away
  std::optional<Instant> heard_;    // when a heartbeat was sent that the coordinator answered
  bool stable_ = false;
  std::set<int32_t> assigned_;
  uint64_t round_ = 0;  // what belongs to an earlier one is dropped
};

}  // namespace millrace::sim
