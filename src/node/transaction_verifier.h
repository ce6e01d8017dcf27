// Asks a transaction's coordinator, wherever it is, whether partitions are in the transaction, or
// puts them there (KIP-890): what the leader of a partition does before a producer's first batch of
// a transaction, and the coordinator of a group before its offsets.
// Not here: who may append then (node/transaction_marker), what the coordinator says
// (txn/coordinator).
//
// Errors are those that the producer's request is answered with: fenced producers get
// INVALID_PRODUCER_EPOCH; what is not in the transaction TRANSACTION_ABORTABLE, or
// INVALID_TXN_STATE for clients that do not know that; coordinators that cannot be
// asked their own retriable errors.
// Threads: any shard; answers come on the one that is given.
#pragma once

#include <functional>
#include <map>

#include "node/broker_links.h"
#include "node/partition_transactions.h"
#include "wire/add_partitions_to_txn.h"

namespace millrace::node {

class TransactionVerifier {
 public:
  // Partitions that may not be written, and why.
  using Refused = std::map<TopicPartition, wire::ErrorCode>;
  using Done = std::move_only_function<void(Refused)>;

  struct Parts {
    env::Host* host = nullptr;
    NodeId self = kNoNode;
    TransactionHost* transactions = nullptr;
    BrokerLinks* links = nullptr;
    std::function<std::shared_ptr<const metadata::Image>()> image;
  };
  explicit TransactionVerifier(Parts parts) : parts_(std::move(parts)) {}

  struct Question {
    txn::AddPartitions partitions;
    // Knows TRANSACTION_ABORTABLE.
    bool client_knows_abortable = true;
  };
  void ask(Question question, env::Shard& shard, Done done);

 private:
  struct Asking;
  using AskingPtr = std::shared_ptr<Asking>;

  void ask_here(const AskingPtr& asking);
  void ask_there(const AskingPtr& asking, NodeId coordinator);
  void answered(const AskingPtr& asking, Refused refused);

  Parts parts_;
};

}  // namespace millrace::node
