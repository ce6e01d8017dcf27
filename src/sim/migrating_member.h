// A member of a group that goes from the classic protocol to the consumer protocol and back
// (KIP-848) in a simulation: as members of one of them it joins, takes partitions and commits;
// now and then it leaves, or dies, and comes back with the other one, as in a rolling upgrade or
// one that is rolled back. A static one takes its own place with the other protocol. Classic
// members are eager or cooperative (KIP-429), all of a group alike.
//
// What must hold of both kinds in one group is GR1 to GR4 (sim/consumer_member): what SyncGroup
// gave a classic member, and each heartbeat that was answered without an error, tells it that it
// has its partitions; a JoinGroup gives up what it does not name.
// Not here: what must hold of the group (sim/migration_workload).
// Threads: one.
#pragma once

#include "sim/consumer_member.h"
#include "wire/consumer_protocol.h"
#include "wire/heartbeat.h"
#include "wire/join_group.h"
#include "wire/sync_group.h"

namespace millrace::sim {

enum class GroupProtocol : uint8_t { kClassic, kConsumer };

struct MigratingMemberOptions {
  std::string group;
  std::string topic;
  int32_t partitions = 1;
  std::optional<std::string> instance_id;
  bool is_cooperative = false;
  GroupProtocol first = GroupProtocol::kClassic;
};

class MigratingMember final : public ConsumerMember {
 public:
  MigratingMember(const Site& site, ConsumerOracle& oracle, MigratingMemberOptions options);
  // It goes over to this protocol, if it does not speak it, and stays.
  void finish(GroupProtocol protocol);
  // Whether it has come to where it shall stay.
  bool is_settled() const;
  GroupProtocol protocol() const { return protocol_; }

 private:
  void send(int32_t epoch, uint64_t round) override;
  void leave() override;
  void choose_protocol();
  // Commits of what it has given up, in the epoch that it had it in, as if they had been under way
  // for long: they must be refused.
  void commit_late();
  struct Past {
    int32_t partition = 0;
    int32_t epoch = 0;
  };
  void commit_late(const Past& past);
  bool is_classic() const { return protocol_ == GroupProtocol::kClassic; }

  // As a classic member.
  ByteBuffer subscription() const;
  void join_group(uint64_t round);
  void joined(const Result<wire::JoinGroupResponse>& answer);
  void sync_group(const wire::JoinGroupResponse& joined);
  void synced(const Result<wire::SyncGroupResponse>& answer, Instant sent);
  std::vector<wire::SyncGroupRequest::SyncGroupRequestAssignment> assign(
      const wire::JoinGroupResponse& joined) const;
  void heartbeat(uint64_t round);
  void leave_group();
  void take(const std::set<int32_t>& partitions);
  void join_again(Duration pause);
  // What an error means; false: there is none.
  bool reacts(std::optional<int16_t> error);

  MigratingMemberOptions own_;
  GroupProtocol protocol_, next_;
  std::optional<GroupProtocol> last_;  // that it shall stay with
  std::string classic_id_;             // that the coordinator gave it
  bool has_to_join_ = false;           // once more, as a classic member
  Instant heard_;                      // when that was sent which last told it that it is one
  int joins_in_vain_ = 0;
  std::set<int32_t> had_;  // when it last was told of an epoch, this one
  int32_t had_in_ = 0;
};

}  // namespace millrace::sim
