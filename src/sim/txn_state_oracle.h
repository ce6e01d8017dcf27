// Looks at the coordinators of transactions and at the partitions that they are about, from
// outside, and checks what must hold of both together at any time.
//
//   TX6 a transaction that is open in a partition's log is open at its coordinator, or being ended
//       there, and has that partition
//   TX8 so one that is complete has its marker in each of its partitions; and no partition knows a
//       later epoch of a producer than the coordinator does: markers come behind the decision
// Only leaders of the newest epoch that anybody knows of are asked.
// Not here: which change may follow which (TC5, txn/coordinator), what producers were told
// (sim/txn_oracle).
// Threads: one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "metadata/image.h"
#include "node/node.h"
#include "sim/led_partition.h"
#include "sim/world.h"
#include "txn/transaction.h"

namespace millrace::sim {

class TxnStateOracle {
 public:
  // `topics`: where the transactions of these ids may be.
  TxnStateOracle(World& world, std::vector<std::string> ids, std::vector<std::string> topics)
      : world_(&world), ids_(std::move(ids)), topics_(std::move(topics)) {}

  void look(const metadata::Image& image, const FindNode& find);

 private:
  std::optional<txn::Transaction> transaction_of(const std::string& id,
                                                 const metadata::Image& image,
                                                 const FindNode& find) const;
  void check(const std::string& id, const txn::Transaction& transaction, const TopicPartition& name,
             const node::PartitionState& state) const;

  World* world_;
  std::vector<std::string> ids_, topics_;
};

}  // namespace millrace::sim
