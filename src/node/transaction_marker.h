// What the end of a transaction does in one of its partitions, and what a producer's transaction
// needs to begin there. Under the partition's lock.
// Not here: who decides (txn/), bringing markers to partitions (node/transaction_markers).
// KIP-98, KIP-890, KIP-1228.
#pragma once

#include "node/partition.h"

namespace millrace::node {

struct TransactionMarker {
  ProducerId producer_id;
  ProducerEpoch producer_epoch;
  bool commit = false;
  int32_t coordinator_epoch = -1;  // the leader epoch of the coordinator's partition
  int16_t transaction_version = 0;
};

// Appends it. kUnknownServerError: it is of no producer. kTransactionCoordinatorFenced,
// kInvalidProducerEpoch: a newer coordinator, or a later transaction of the producer, was here. A
// marker of transaction version 2 that stands in the log already is not appended again
// (KAFKA-19999).
wire::ErrorCode append_marker(PartitionState& state, const TransactionMarker& marker,
                              TimestampMs now);

struct TransactionalAppend {
  ProducerId producer_id;
  ProducerEpoch producer_epoch;
  VerificationGuards::Guard guard = VerificationGuards::Guard::kNone;
  bool needs_guard = true;  // transaction.partition.verification.enable
  bool epoch_per_transaction = false;
};
// kInvalidProducerEpoch: the producer was fenced here. kInvalidTxnState: the transaction is not
// open here, and nobody asked its coordinator. kConcurrentTransactions: a transaction ended here
// since its coordinator was asked, so that it has to be asked again.
wire::ErrorCode check_transactional_append(const PartitionState& state,
                                           const TransactionalAppend& append);

// Before a producer's batch, or its offsets: whether the coordinator has to be asked first, and the
// guard under which.
struct Verification {
  bool needed = false;
  VerificationGuards::Guard guard = VerificationGuards::Guard::kNone;
};
struct TransactionalBatch {
  ProducerId producer_id;
  ProducerEpoch producer_epoch;
  ProducerSequence base_sequence;  // kNoSequence: of offsets
};
Verification begin_verification(PartitionState& state, const TransactionalBatch& batch,
                                TimestampMs now);

}  // namespace millrace::node
