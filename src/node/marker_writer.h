// Writes the end of a transaction into a partition that this node leads (WriteTxnMarkers): into the
// log of any, and for __consumer_offsets into its coordinator too.
// Not here: what is checked (node/transaction_marker).
// Threads: any shard.
#pragma once

#include "node/partition_groups.h"

namespace millrace::node {

class MarkerWriter {
 public:
  MarkerWriter(PartitionHost& partitions, GroupHost& groups)
      : partitions_(&partitions), groups_(&groups) {}

  // `done` is posted to `shard` when the marker is on every replica in sync, or with why it is not.
  // `absence`: the answer when the partition is not here.
  struct Write {
    TopicPartition partition;
    TransactionMarker marker;
    wire::ErrorCode absence = wire::ErrorCode::kUnknownTopicOrPartition;
  };
  void write(const Write& write, env::Shard& shard, AckDone done);

 private:
  PartitionHost* partitions_;
  GroupHost* groups_;
};

}  // namespace millrace::node
