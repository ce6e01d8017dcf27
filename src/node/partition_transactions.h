// The transaction coordinators of this node: one for each partition of __transaction_state that it
// leads (node/partition_coordinators), and what they want brought to other partitions.
// Not here: what is decided (txn/coordinator), how markers get there (node/transaction_markers),
// the protocol (server).
// Threads: any shard; follow() on shard 0.
#pragma once

#include "node/coordinator_kinds.h"
#include "node/partition_coordinators.h"
#include "node/transaction_markers.h"

namespace millrace::node {

class TransactionHost final : public PartitionCoordinators<TransactionKind> {
 public:
  using ProducerIdDone = std::move_only_function<void(Result<ProducerId>)>;
  using StepFunction = std::function<txn::Decision(txn::Coordinator&, const txn::RequestContext&)>;
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    std::function<void(env::Shard&, ProducerIdDone)> next_producer_id;
    // Both on shard 0.
    std::function<void(const TransactionMarkers::Coordinator&, txn::Markers)> send_markers;
    std::function<void(const TransactionMarkers::Coordinator&)> drop_markers;
  };
  TransactionHost(Parts parts, Options options)
      : PartitionCoordinators(*parts.host, *parts.partitions, std::move(options)),
        parts_(std::move(parts)) {}

  // The metadata is `after` now, and the partitions follow it.
  void follow(const metadata::Image& before, const metadata::Image& after);
  // The finalised level of transaction.version.
  txn::TransactionVersion version() const { return version_; }

  // Runs `step` in the coordinator of the id, a second time with a producer id if it needs one;
  // `done` is posted to `shard` when its reply may leave.
  struct Request {
    std::string transactional_id;
    StepFunction step;
    env::Shard* shard = nullptr;
    Done done;
  };
  void run(Request request);
  // Every partition has its marker.
  void complete(const TransactionMarkers::Coordinator& coordinator, const txn::Markers& markers);

 private:
  void run_with(Request request, std::optional<ProducerId> fresh);
  txn::Moment moment();
  txn::Decision loaded(txn::Coordinator& coordinator) override;
  txn::Decision tick(txn::Coordinator& coordinator) override;
  void performed(Slot& slot, PartitionState& state, txn::Decision& decision) override;
  void discarded(const Slot& slot) override;
  bool is_decided(const txn::Markers& markers);

  Parts parts_;
  std::atomic<txn::TransactionVersion> version_ = txn::TransactionVersion::kV0;
};

}  // namespace millrace::node
