// A member of a group of the consumer protocol (KIP-848) in a simulation: heartbeats, takes and
// gives up partitions, and commits an offset for each that it has; leaves now and then, for good
// or, a static one, for a while. And what all members of the group were told. Members of streams
// groups (sim/streams_member) are such, with other heartbeats and other names of what must hold.
//
//   GR1  a partition that one member was told of is no other's before it has given it up, or its
//        session is over
//   GR2  the epoch of a member does not go back
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

// What GR1 to GR4 are called.
struct MemberRules {
  const char* owner = "GR1";
  const char* epoch = "GR2";
  const char* commit = "GR3";
  const char* fetch = "GR4";
  // From this number on they are not partitions, but what a process has once.
  int32_t at_process = INT32_MAX;
  const char* once_at_process = "";
};

class ConsumerOracle {
 public:
  explicit ConsumerOracle(World& world, MemberRules rules = {}) : world_(&world), rules_(rules) {}

  // A member, as it was told last, by the answer to what it sent then.
  struct Standing {
    int32_t epoch = 0;
    Instant sent, told;
    Instant since;  // when it was told so for the first time
  };
  using Owned = std::map<int32_t, uint64_t>;  // partitions; the numbers mean nothing here
  // An answer to what was sent at `sent` says that the member has these partitions, and no others.
  void told(const std::string& member, int32_t epoch, const Owned& partitions, Instant sent);
  // The member is about to say that it has no others than these.
  void keeps(const std::string& member, const Owned& partitions);
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
  const std::map<std::string, Standing>& members() const { return members_; }
  // Whether there may be no group any more; when it may have been so, another life begins.
  bool may_be_gone() const;
  uint64_t life() const { return life_; }

 private:
  struct Claim {
    std::string member;
    Instant sent;  // the request whose answer made it
    Instant told;
  };
  // Who was told of the partition before `sent`, and has it still, if that is another member.
  const Claim* other_owner(const std::string& member, int32_t partition, Instant sent) const;

  World* world_;
  MemberRules rules_;
  std::map<std::string, Standing> members_;  // who is in the group, as far as they know
  Instant last_seen_;                        // when what was answered was sent
  uint64_t life_ = 0;
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
  virtual ~ConsumerMember() = default;
  ConsumerMember(const ConsumerMember&) = delete;
  ConsumerMember& operator=(const ConsumerMember&) = delete;
  void start() { join(); }
  const std::string& id() const { return member_id_; }
  const ConsumerOracle::Owned& owned() const { return owned_; }

 protected:
  // The time from getting a partition to giving it up, or starting over.
  struct Tenure {
    int32_t partition = 0;
    uint64_t round = 0, number = 0;
  };
  virtual void send(int32_t epoch, uint64_t round);
  virtual void leave();
  // Whose offsets are committed for one that it has.
  virtual TopicPartition place_of(int32_t partition) const {
    return {options_.topic, PartitionIndex(partition)};
  }
  // What is before `position` is done.
  virtual void work(Tenure tenure, int64_t position) { commit(tenure, position + 1); }
  // What an answer without an assignment in it, or none, leads to; false: that was all.
  bool is_in_group(std::optional<int16_t> error);
  void begin(int32_t partition);
  bool has(const Tenure& tenure) const;
  void commit(Tenure tenure, int64_t offset);
  void start_over(bool as_another);
  void beat_after(Duration pause);
  std::string fresh_id();
  Client::CoordinatorOf coordinator() const { return {options_.group}; }

  Host* host_;
  ConsumerOracle* oracle_;
  ConsumerMemberOptions options_;
  Client client_;
  Stream dice_;
  std::string member_id_;
  int32_t epoch_ = 0;
  bool tells_all_ = true;        // an answer was lost, or it joins
  ConsumerOracle::Owned owned_;  // partitions, with the number of the tenure
  double leave_chance_ = 0.02;   // at each heartbeat
  uint64_t round_ = 0;           // what belongs to an earlier one is dropped

 private:
  using Beat = wire::ConsumerGroupHeartbeatResponse;
  void join();
  void beat(uint64_t round);
  void answered(const Result<Beat>& answer, Instant sent);
  void take(const Beat::Assignment& assignment);
  void find_position(Tenure tenure);

  Uuid topic_id_;
  uint64_t last_tenure_ = 0;
};

}  // namespace millrace::sim
