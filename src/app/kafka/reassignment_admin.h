// What kafka-reassign-partitions asks a cluster: which partitions move between brokers (KIP-455),
// which replicas between log directories (KIP-113), and that they do.
// Not here: throttles (reassignment_throttles.h), what the script prints.
// Threads, errors: those of app/kafka/admin.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/kafka/admin.h"
#include "app/moves.h"

namespace millrace::app::kafka {

struct Reassignment {
  std::vector<int32_t> replicas;  // those that are added among them
  std::vector<int32_t> adding;
  std::vector<int32_t> removing;
};
using Reassignments = std::map<TopicPartition, Reassignment>;

// What is under way: of these partitions, or of all.
Attempt<Reassignments> list_reassignments(
    Admin& admin, const std::optional<std::set<TopicPartition>>& partitions);

// What becomes of each partition by itself: those that are refused.
using Refused = std::map<TopicPartition, Ending>;
Refused reassign(Admin& admin, const Moves& moves, bool may_change_replication_factor = true);

// A replica: the order is that in which the script tells of them.
struct BrokerReplica {
  int32_t broker = -1;
  TopicPartition partition;
  friend auto operator<=>(const BrokerReplica&, const BrokerReplica&) = default;
  std::string to_string() const;
};

struct ReplicaDirectories {
  std::optional<std::string> current;
  std::optional<std::string> future;  // where it moves
};
using DirectoriesOf = std::map<BrokerReplica, ReplicaDirectories>;
Attempt<DirectoriesOf> replica_directories(Admin& admin, const std::set<BrokerReplica>& replicas);

// Those that begin to move; of the others the broker has no replica yet.
// AdminCommandFailedException: a move is refused.
using DirectoryMoves = std::map<BrokerReplica, std::string>;
Attempt<std::set<BrokerReplica>> move_directories(Admin& admin, const DirectoryMoves& moves);

}  // namespace millrace::app::kafka
