// The transactional part of a Produce request: before the first batch of a producer's transaction
// in a partition its coordinator is asked whether the partition is in the transaction (clients
// before Produce 12), or told to put it there (KIP-890).
// Not here: asking (node/transaction_verifier), what the log checks beside it
// (node/transaction_marker, storage/producer_state), the rest of Produce (handlers/00_produce).
// Threads: the shard of the call.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "node/transaction_marker.h"
#include "server/call.h"
#include "txn/coordinator.h"
#include "wire/produce.h"

namespace millrace::server {

struct VerifiedTransaction {
  std::map<TopicPartition, node::VerificationGuards::Guard> guards;
  std::map<TopicPartition, wire::ErrorCode> refused;
};

// Whether transactional batches of more than one producer are in the request, which is refused as a
// whole (INVALID_PRODUCER_ID_MAPPING).
bool has_several_producers(const wire::ProduceRequest& request);

// What has to be asked before the request's batches are appended; nothing, when `wanted` has no
// partitions.
struct TransactionCheck {
  txn::AddPartitions wanted;
  VerifiedTransaction verified;
};
TransactionCheck check_transactions(Call& call, const wire::ProduceRequest& request);

// Asks, and again for a while when the producer's last transaction is still being ended
// (add.partitions.to.txn.retry.backoff.ms); `then` gets the call back, whose request has to be
// decoded again. The connection's next requests wait until `then` lets the line go: a producer's
// batches come one behind the other, and are to be appended so.
using Verified = std::move_only_function<void(Call, VerifiedTransaction)>;
void verify_transaction(Call call, TransactionCheck check, Verified then);

// Under the partition's lock, for a batch that is no duplicate: why it may not be appended, beside
// its sequence.
wire::ErrorCode check_transaction(const node::PartitionState& state,
                                  const record::BatchHeader& header,
                                  const node::TransactionalAppend& append);

// Of check_transaction and of coordinators, as clients of this version understand it.
wire::ErrorCode transaction_error(wire::ErrorCode code, int16_t version);

// Produce versions whose clients have an epoch for each transaction.
constexpr int16_t kFirstProduceOfV2 = 12;

}  // namespace millrace::server
