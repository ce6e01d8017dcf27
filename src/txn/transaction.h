// One transactional id, as __transaction_state keeps it, and the words of the protocol for it.
// Not here: which change is allowed when (txn/coordinator.h), its bytes (txn/records.h).
//
// A transactional id lives through many transactions: Empty or Complete* between them, Ongoing from
// the first partition that joins, Prepare* from the decision until every partition has its marker.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

#include "base/ids.h"

namespace millrace::txn {

// The numbers are those of the records. kDead and kPrepareEpochFence are Kafka's names for moments
// that never reach a record: an id that expires, a producer that is being fenced.
enum class TransactionState : int8_t {
  kEmpty = 0,
  kOngoing = 1,
  kPrepareCommit = 2,
  kPrepareAbort = 3,
  kCompleteCommit = 4,
  kCompleteAbort = 5,
  kDead = 6,
  kPrepareEpochFence = 7,
};

// Whether a transaction of the one state may be of the other one next.
bool may_follow(TransactionState before, TransactionState after);
// As clients are told, "PrepareCommit".
std::string_view state_name(TransactionState state);
std::optional<TransactionState> parse_state(std::string_view name);

// The feature transaction.version, or how a client works: 0 the first protocol, 1 the same with
// extensible records, 2 with an epoch for each transaction (KIP-890).
enum class TransactionVersion : int16_t { kV0 = 0, kV1 = 1, kV2 = 2 };

// Who a producer is: one process at a time has the newest epoch of an id.
struct Producer {
  ProducerId id{-1};
  ProducerEpoch epoch{-1};
  friend bool operator==(const Producer&, const Producer&) = default;
};

constexpr ProducerEpoch kNoEpoch{-1};
constexpr ProducerEpoch kMaxEpoch{INT16_MAX};  // fences a producer; never given to one
// Of those given to producers: behind it comes a new producer id, or the marker's epoch.
constexpr ProducerEpoch kLastEpoch{INT16_MAX - 1};

struct Transaction {
  Producer producer;
  // The epoch before the last bump that its producer asked for, so that a repeated request is
  // recognised; -1: none. Not in the records, hence forgotten when the coordinator moves.
  ProducerEpoch last_epoch = kNoEpoch;
  ProducerId previous_id = kNoProducerId;  // before the last change
  ProducerId next_id = kNoProducerId;  // from the end of this transaction on, where epochs ran out
  int32_t timeout_ms = 0;
  TransactionState state = TransactionState::kEmpty;
  TransactionVersion client_version = TransactionVersion::kV0;  // of who changed it last
  std::set<TopicPartition> partitions;  // that have, or may have, records of the transaction
  TimestampMs start = kNoTimestamp;
  TimestampMs last_update = kNoTimestamp;

  bool is_ongoing() const { return state == TransactionState::kOngoing; }
  // Decided, and the decision is on its way to the partitions.
  bool is_prepared() const {
    return state == TransactionState::kPrepareCommit || state == TransactionState::kPrepareAbort;
  }
  bool has_last_epoch_used() const { return producer.epoch >= kLastEpoch; }
};

// The decision of a transaction, to be written into each of its partitions (WriteTxnMarkers).
struct Markers {
  std::string transactional_id;
  Producer producer;
  bool commit = false;
  TransactionVersion version = TransactionVersion::kV0;
  std::set<TopicPartition> partitions;
  friend bool operator==(const Markers&, const Markers&) = default;
};

}  // namespace millrace::txn
