// What a broker has for transactions, put together: the coordinators of those that are this node's,
// what they want brought to other partitions, and the way from partitions to coordinators.
// Not here: each of them (their own headers).
// Threads: any shard; follow() and close() on shard 0.
#pragma once

#include "config/properties.h"
#include "node/marker_writer.h"
#include "node/partition_transactions.h"
#include "node/transaction_verifier.h"

namespace millrace::node {

class Transactions {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    GroupHost* groups = nullptr;
    const config::NodeProperties* properties = nullptr;
    NodeId self = kNoNode;
    std::function<std::shared_ptr<const metadata::Image>()> image;
    std::function<void(env::Shard&, TransactionHost::ProducerIdDone)> next_producer_id;
  };
  explicit Transactions(const Parts& parts);

  TransactionHost& host() { return host_; }
  MarkerWriter& marker_writer() { return writer_; }
  TransactionVerifier& verifier() { return verifier_; }

  void follow(const metadata::Image& before, const metadata::Image& after) {
    host_.follow(before, after);
  }
  void close() { links_.close(); }

 private:
  BrokerLinks links_;
  MarkerWriter writer_;
  TransactionMarkers markers_;
  TransactionHost host_;
  TransactionVerifier verifier_;
};

}  // namespace millrace::node
