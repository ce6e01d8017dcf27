// A group whose members go from the classic protocol to the consumer protocol and back while it
// works (KIP-848, group.consumer.migration.policy), and somebody who asks all the time how the
// group is, and compares what is said with what the members were told.
//
//   GR1  no two members of it have a partition, as the group says (GR1 to GR4 as for other members
//        of the consumer protocol, whichever protocol these speak: sim/migrating_member)
//   GR8  its type follows its members and the policy: a group of the classic protocol has classic
//        members only; one of the consumer protocol has not only such, if the policy downgrades,
//        and none beside others, if it is disabled; and no member is taken along to a type to which
//        the policy does not lead
//   GR9  whoever is a member, by what it was told, is there, of whichever type the group became,
//        and neither its epoch nor the group's goes back
//   GR10 in the end the migration is over: the group is stable and has no other members than those
//        that live; each partition is at one, which knows it; the type is what GR8 leads to
// Threads: one.
#pragma once

#include <memory>
#include <vector>

#include "sim/migrating_member.h"
#include "wire/consumer_group_describe.h"
#include "wire/describe_groups.h"

namespace millrace::sim {

enum class MigrationPolicy : uint8_t { kDisabled, kUpgrade, kDowngrade, kBidirectional };

struct MigrationOptions {
  std::string topic;
  int32_t partitions = 1;
  int members = 0;  // 0: there is no group
  bool has_static = false;
  bool is_cooperative = false;
  MigrationPolicy policy = MigrationPolicy::kBidirectional;
};

class MigrationWorkload {
 public:
  static constexpr const char* kGroup = "migrants";
  MigrationWorkload(const Site& site, MigrationOptions options);
  void start();
  // Everybody goes over to the protocol that it shall stay with, another one at each call; what is
  // missing is looked for from now on.
  void finish();
  // Whether the group is as it shall be in the end: what is missing; empty: nothing.
  std::string what_is_missing() const;

 private:
  // When the question was sent.
  struct Asked {
    uint64_t life;
    int32_t epoch;
    Instant at;
  };
  struct Seen {
    GroupProtocol speaks;
    std::optional<int32_t> epoch;  // which a member of a classic group is not told of
    std::set<int32_t> partitions;
  };
  // What either kind of description says.
  struct Described {
    GroupProtocol type;
    std::string state;
    int32_t epoch = 0;  // of a group of the consumer protocol
    std::map<std::string, Seen> members;
  };
  using OfConsumers = wire::ConsumerGroupDescribeResponse::DescribedGroup;
  using OfClassics = wire::DescribeGroupsResponse::DescribedGroup;
  void ask();
  void ask_as_classic(const Asked& asked);
  void take(const Asked& asked, const OfConsumers& group);
  void take(const Asked& asked, const OfClassics& group);
  void described(const Asked& asked, const Described& group);
  void check_type(const Described& group);
  void check_is_not_taken_along(const std::string& id, const Described& group);
  void check_members(const Asked& asked, const Described& group);
  void check_partitions(const Described& group);
  std::string what_is_missing_of_the_members() const;
  bool upgrades() const;
  bool downgrades() const;
  World& world() const { return site_.host->world(); }

  Site site_;
  MigrationOptions options_;
  ConsumerOracle oracle_;
  Stream dice_;
  std::unique_ptr<Client> client_;
  std::vector<std::unique_ptr<MigratingMember>> members_;
  struct Sighting {
    GroupProtocol type;  // of the group
    Instant at;
  };
  std::map<std::string, Sighting> seen_;  // classic members
  uint64_t life_ = 0;
  int32_t epoch_ = 0;  // of the group, in this life of it
  Instant finished_;
  std::optional<Described> last_;  // since then
};

}  // namespace millrace::sim
