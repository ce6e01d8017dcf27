// Which partitions a broker has a part in, and which want something: none leads them, or another
// than the preferred replica, or they are being reassigned. So that nobody who asks about one
// broker looks at all partitions.
// Not here: the states themselves (metadata/image, which keeps this beside them).
// Threads: as the Image that it belongs to. A cost: put() and drop() are logarithmic in the
// partitions of a broker, for each replica of the partition.
// Invariant: MD4 it says of the partitions put and not dropped what a scan of them would (the
// property test of the controller compares them).
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>

#include "base/ids.h"
#include "base/uuid.h"

namespace millrace::metadata {

struct PartitionState;

struct PartitionKey {
  Uuid topic_id;
  int32_t index = 0;
  friend auto operator<=>(const PartitionKey&, const PartitionKey&) = default;
};
using PartitionKeys = std::set<PartitionKey>;

class PartitionIndex {
 public:
  void put(const PartitionKey& key, const PartitionState& state);
  void drop(const PartitionKey& key, const PartitionState& state);

  // Of which the broker is a replica or eligible, in an ISR or not.
  const PartitionKeys& of_broker(NodeId broker) const;
  size_t leaderships(NodeId broker) const;
  const PartitionKeys& without_leader() const { return without_leader_; }
  // That have a leader or none, but not their first replica.
  const PartitionKeys& without_preferred_leader() const { return without_preferred_leader_; }
  const PartitionKeys& reassigning() const { return reassigning_; }
  friend bool operator==(const PartitionIndex&, const PartitionIndex&) = default;

 private:
  std::map<NodeId, PartitionKeys> by_broker_;
  std::map<NodeId, size_t> leaderships_;
  PartitionKeys without_leader_;
  PartitionKeys without_preferred_leader_;
  PartitionKeys reassigning_;
};

}  // namespace millrace::metadata
