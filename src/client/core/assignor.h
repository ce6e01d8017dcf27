// How the partitions of a group's topics are shared out among its members: what the leader of a
// classic group computes, and the bytes in which members say what they want and get.
// Not here: when (client/core/membership.h).
// Inputs: the members' subscriptions as they sent them (anything a stranger may write), and how
// many partitions each topic has.
// Output: for every member its partitions; those of topics that do not exist are nobody's.
// Invariants:
//   AS1 every partition of a topic that somebody subscribes to goes to exactly one of its
//      subscribers; cooperative-sticky leaves out those that must first be revoked.
//   AS2 the result depends on nothing but the input.
// KIP-54 (sticky), KIP-429 (cooperative), KIP-792 (generation in subscriptions).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"

namespace millrace::client::core {

enum class Assignor : uint8_t { kRange, kRoundRobin, kCooperativeSticky };

// "range", "roundrobin", "cooperative-sticky": the names that members agree on.
std::string_view assignor_name(Assignor assignor);
std::optional<Assignor> assignor_of_name(std::string_view name);

struct Subscription {
  std::vector<std::string> topics;
  std::vector<TopicPartition> owned;
  GenerationId generation{-1};  // in which `owned` was given
};

struct GroupMember {
  std::string id;
  std::optional<std::string> instance_id;
  Subscription subscription;
};

using PartitionCounts = std::map<std::string, int32_t>;                 // by topic
using Assignment = std::map<std::string, std::vector<TopicPartition>>;  // by member id

Assignment assign(Assignor assignor, std::vector<GroupMember> members,
                  const PartitionCounts& counts);

// The bytes of a member's protocol in JoinGroup, and of its assignment in SyncGroup, in the newest
// version; the reading ones take any, as Kafka's consumers do.
ByteBuffer encode_subscription(Assignor assignor, const Subscription& subscription);
Result<Subscription> decode_subscription(ByteView bytes);
ByteBuffer encode_assignment(const std::vector<TopicPartition>& partitions);
Result<std::vector<TopicPartition>> decode_assignment(ByteView bytes);

}  // namespace millrace::client::core
