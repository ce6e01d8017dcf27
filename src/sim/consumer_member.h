// A member of a group of the consumer protocol (KIP-848) in a simulation: heartbeats, takes and
// gives up partitions, and commits an offset for each that it has; leaves now and then, for good
// or, a static one, for a while. And what all members of the group were told.
//
//   GR1  a partition that one member was told of is no other's before it has given it up, or its
//        session is over
//   GR3  and nobody else commits for it
//   GR4  a fetch of offsets that begins after a commit was answered gives that commit or a later
//        one
//   GR5  is looked at in the end: every partition has an owner (ConsumerOracle::owned)
// Not here: groups of the classic protocol (sim/group_member, sim/group_oracle).
// Threads: one.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "sim/client.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/offset_fetch.h"

namespace millrace::sim {

class ConsumerOracle {
 public:
  explicit ConsumerOracle(World& world) : world_(&world) {}

  // An answer to what was sent at `sent` says that the member has these partitions, and no others.
  void told(const std::string& member, const std::set<int32_t>& partitions, Instant sent);
  // The member is about to say that it has nothing. Without members the group's offsets may expire,
  // when a clock steps.
  void gives_up(const std::string& member);
  struct Commit {
    int64_t offset = -1;
    Instant sent;
  };
  // A commit was taken.
  void committed(const std::string& member, int32_t partition, const Commit& commit);
  int64_t committed(int32_t partition) const;
  struct Fetched {
    int64_t told = -1;       // by the answer
    int64_t committed = -1;  // committed(partition) when the request was sent
  };
  void fetched(int32_t partition, const Fetched& offset);
  size_t owned() const { return claims_.size(); }

 private:
  struct Claim {
    std::string member;
    Instant sent;  // the request whose answer made it
    Instant told;
  };
  // Who was told of the partition before `sent`, and has it still, if that is another member.
  const Claim* other_owner(const std::string& member, int32_t partition, Instant sent) const;

  World* world_;
  std::set<std::string> members_;  // who is in the group, as far as they know
  Instant last_seen_;
  std::map<int32_t, Claim> claims_;
  std::map<int32_t, int64_t> committed_;
};

struct ConsumerMemberOptions {
  std::string group;
  std::string topic;
  std::optional<std::string> instance_id;
};

class ConsumerMember {
 public:
  static constexpr int kSessionMs = 6000;  // group.consumer.session.timeout.ms
  ConsumerMember(const Site& site, ConsumerOracle& oracle, ConsumerMemberOptions options);
  void start() { join(); }
  bool is_member() const { return epoch_ > 0; }

 private:
  using Beat = wire::ConsumerGroupHeartbeatResponse;
  void join();
  void beat(uint64_t round);
  void send(int32_t epoch, uint64_t round);
  void answered(Result<Beat> answer, uint64_t round, Instant sent);
  void take(const Beat::Assignment& assignment);
  void leave();
  void find_position(int32_t partition, uint64_t round);
  void commit(int32_t partition, int64_t offset, uint64_t round);
  void start_over(bool as_another);
  std::string fresh_id();
  Client::CoordinatorOf coordinator() const { return {options_.group}; }

  Host* host_;
  ConsumerOracle* oracle_;
  ConsumerMemberOptions options_;
  Client client_;
  Stream dice_;
  std::string member_id_;
  int32_t epoch_ = 0;
  bool tells_all_ = true;  // an answer was lost, or it joins
  Uuid topic_id_;
  std::set<int32_t> owned_;
  uint64_t round_ = 0;  // what belongs to an earlier one is dropped
};

}  // namespace millrace::sim
