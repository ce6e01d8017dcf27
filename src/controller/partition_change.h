// What a partition becomes: all changes of its leader, ISR, replicas and eligible leaders go
// through here, whoever wants them, so that the rules of elections and epochs hold of each.
// Not here: who wants what (broker_decisions, replication_decisions, reassignment), several changes
// in one decision (partition_changes).
// Inputs: what the partition is, what is wanted of it, what the cluster allows. Output: the record
// that makes it so; nothing when it is so.
// Invariants (partition_change_test, property_test):
//   PC1 the leader is in the ISR; ISR and ELR share nobody and are within the replicas.
//   PC2 a leader comes from the ISR or the ELR, or is the last known one of a partition that has
//       neither, or the election is unclean; the last two leave it RECOVERING.
//   PC3 a new leader, a replica that leaves and, below 3.6-IV0, an ISR that shrinks raise the
//       leader epoch; every record raises the partition epoch.
//   PC4 with eligible leader replicas (KIP-966) whoever leaves an ISR that falls below its minimum
//       stays eligible, unless it may have lost what it had. Who has lost it for sure is not the
//       last known leader either.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "metadata/image.h"

namespace millrace::controller {

// kOnline: the leader stays while it may. kPreferred: the first replica leads if it may. kUnclean:
// rather one that is behind than none.
enum class Election : uint8_t { kOnline, kPreferred, kUnclean };

// LeaderRecoveryState as records and requests number it: of an unclean election, until its leader
// says that it has recovered (KIP-704).
inline constexpr int8_t kRecovered = 0;
inline constexpr int8_t kRecovering = 1;

struct PartitionRules {
  int16_t metadata_version = 0;
  bool keeps_elr = false;
  size_t min_isr = 1;  // or as many as there are replicas, as their leader counts
  // The broker is alive, and so is the directory in which it has the replica.
  std::function<bool(NodeId broker, const Uuid& directory)> may_lead;
  std::function<Uuid(NodeId broker)> default_directory;  // of a replica that is new to it
};

// Begins as what the partition is.
struct PartitionGoal {
  explicit PartitionGoal(const metadata::PartitionState& now);

  std::vector<NodeId> replicas;
  std::vector<NodeId> isr;
  std::vector<NodeId> adding_replicas;
  std::vector<NodeId> removing_replicas;
  std::map<NodeId, Uuid> directories;
  std::vector<NodeId> may_have_lost;  // who is not to be eligible: it did not stop cleanly
  std::vector<NodeId> has_lost;       // nor to be the last known leader: its log began anew, empty
  int8_t recovery_state = kRecovered;
  Election election = Election::kOnline;
};

// The record lacks topic and partition.
std::optional<wire::PartitionChangeRecord> change_partition(const metadata::PartitionState& now,
                                                            PartitionGoal goal,
                                                            const PartitionRules& rules);

bool is_reassigning(const metadata::PartitionState& partition);

}  // namespace millrace::controller
