// The transaction coordinator: a replicated machine (machine/replicated.h) over one partition of
// __transaction_state, in Kafka's record format (docs/format/transactions.md). It knows the
// transactional ids that hash to that partition (base/hash.h, coordinator_partition): who their
// producer is, which partitions are in their transaction, and how it was decided.
//
// Not here: finding the partition and its leader, loading its log, appending and committing records
// (node/partition_coordinators), bringing decisions to the partitions (node/transaction_markers),
// what a partition does with them (storage/), producer ids (controller/).
//
// Inputs: requests, with the time and a ticket in a RequestContext. Outputs: decisions. What the
// host does, beyond machine/replicated.h:
//   H1 Replies and markers leave when every record appended before them is committed; this holds
//      for reads too. So PREPARE is durable before the first marker.
//   H2 Who is answered NeedsProducerId comes again, with one in the context.
//   H3 apply() runs for a decision's records before the next call.
//   H4 on_tick() is called at or after next_deadline(), which every call may change.
//   H5 Markers are brought to their partitions for as long as this is the coordinator; when all
//      have them, or are gone, complete() is called.
//
// State. Replicated: the transactions as last written. Soft: deadlines, and the epoch before a bump
// (Transaction::last_epoch).
//
// A prepared transaction is Kafka's "pending transition": until it is complete every other request
// for its id is answered CONCURRENT_TRANSACTIONS, which producers retry. A producer's epoch rises
// when it is initialised, when it is fenced (by a new one, or because its time is over), and with
// TransactionVersion::kV2 at the end of each transaction; where epochs run out it gets a new
// producer id. Epochs given to producers end at kLastEpoch.
//
// Numbered invariants: see check_invariants(). Threads: one caller at a time.
// KIP-98, KIP-360, KIP-447, KIP-588, KIP-664, KIP-890, KIP-994, KIP-1152.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "machine/replicated.h"
#include "txn/transaction.h"
#include "txn/txn_config.h"
#include "wire/describe_transactions.h"
#include "wire/end_txn.h"
#include "wire/errors.h"
#include "wire/init_producer_id.h"
#include "wire/list_transactions.h"

namespace millrace::txn {

// One transaction of an AddPartitionsToTxn or AddOffsetsToTxn request.
struct AddPartitions {
  std::string transactional_id;
  Producer producer;
  std::set<TopicPartition> partitions;
  bool verify_only = false;  // asks whether they are in the transaction
  TransactionVersion client_version = TransactionVersion::kV0;
};

struct PartitionsAdded {
  wire::ErrorCode error = wire::ErrorCode::kNone;  // of all of them
  std::set<TopicPartition> missing;                // verify only: those that are not in it
};

struct EndTransaction {
  std::string transactional_id;
  Producer producer;
  bool commit = false;
  TransactionVersion client_version = TransactionVersion::kV0;
};

// Nothing was decided: RequestContext::fresh_producer_id is wanted.
struct NeedsProducerId {};

using Response = std::variant<wire::InitProducerIdResponse, PartitionsAdded, wire::EndTxnResponse,
                              NeedsProducerId>;

struct Decision : machine::Decision<machine::KeyValueRecord, Response> {
  std::vector<Markers> markers;
};

// When it is, and the finalised level of transaction.version.
struct Moment {
  Instant now;
  TimestampMs wall;
  TransactionVersion version = TransactionVersion::kV2;
};

struct RequestContext {
  machine::Ticket ticket{};
  Moment moment;
  std::optional<ProducerId> fresh_producer_id;  // never given to anybody else
};

class Coordinator {
 public:
  explicit Coordinator(const TxnConfig& config) : config_(config) {}

  // --- Replay: from the log at loading, and of a decision's records when they were appended.
  // kCorrupt, kTruncated, kUnsupported: a record of a known type that cannot be read; nothing
  // changed. Never fails on records of a decision.
  Result<> apply(const machine::KeyValueRecord& record);
  // The log is replayed to its end: deadlines start, decided transactions go on. Call once.
  Decision on_loaded(const Moment& moment);

  // --- Requests. Each gives one reply for context.ticket.
  Decision decide_init_producer_id(const wire::InitProducerIdRequest& request,
                                   const RequestContext& context);
  Decision decide_add_partitions(const AddPartitions& request, const RequestContext& context);
  Decision decide_end_transaction(const EndTransaction& request, const RequestContext& context);
  // Every partition has its marker. Nothing, when that transaction is not waited for.
  Decision complete(const Markers& markers, const Moment& moment);

  // --- Reads. The caller sends them under H1.
  wire::DescribeTransactionsResponse::TransactionState describe_transaction(
      const std::string& transactional_id) const;
  // Without the filter by pattern, whose engine is the caller's.
  std::vector<wire::ListTransactionsResponse::TransactionState> list_transactions(
      const wire::ListTransactionsRequest& request, TimestampMs wall) const;
  const Transaction* find(std::string_view transactional_id) const;

  // --- Time: transactions whose timeout is over are aborted and their producers fenced; ids of
  // which nothing was heard for long are forgotten.
  Decision on_tick(const Moment& moment);
  Instant next_deadline() const;  // Instant::never(): nothing to wait for

  // --- Looking inside.
  // Asserts of every transaction:
  //   TC1 an Empty one has no partitions and no start;
  //   TC2 an Ongoing one has a start, and once loaded a deadline; no other has a deadline;
  //   TC3 a Complete one has no partitions and no next producer id;
  //   TC4 the producer's epoch is not negative, and no producer was given kMaxEpoch: only a
  //       transaction that ends, or was fenced, has it.
  // And of every change: TC5 a transaction that is open ends before another one begins, and one
  //       that is decided becomes complete as it was decided (may_follow).
  void check_invariants() const;
  std::string describe() const;  // one line
  // The replicated state as text, the same for any two machines that have the same.
  std::string describe_replicated() const;

 private:
  struct Step;
  using Transactions = std::map<std::string, Transaction, std::less<>>;

  void put(Step& step, const std::string& id, Transaction next);
  void fence(Step& step, const std::string& id, Transaction transaction);
  void expire(Step& step);
  void arm(const std::string& id, Instant at);
  void disarm(const std::string& id);
  wire::ErrorCode check_init(const Transaction& transaction,
                             std::optional<Producer> expected) const;

  TxnConfig config_;
  Transactions transactions_;
  std::map<std::string, ProducerEpoch, std::less<>> last_epochs_;  // of what is being written
  std::map<std::string, Instant, std::less<>> deadlines_;
  std::set<std::pair<Instant, std::string>> by_deadline_;
  Instant next_expiry_ = Instant::never();
  bool loaded_ = false;
};

}  // namespace millrace::txn
