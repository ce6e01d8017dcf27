#include "node/transaction_marker.h"

#include "record/control.h"
#include "wire/codec.h"
#include "wire/control_records.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;

constexpr int16_t kEpochPerTransaction = 2;

ByteBuffer batch_of(const TransactionMarker& marker, TimestampMs now) {
  wire::EndTxnMarker value;
  value.coordinator_epoch = marker.coordinator_epoch;
  const ByteBuffer encoded = wire::encode_value(value, 0);
  return record::build_control_batch(
      {.producer_id = marker.producer_id,
       .producer_epoch = marker.producer_epoch,
       .transactional = true},
      {.type = marker.commit ? record::ControlType::kCommit : record::ControlType::kAbort,
       .timestamp = now,
       .value = encoded});
}

const storage::ProducerEntry* find(const PartitionState& state, ProducerId id) {
  const auto& producers = state.log().producers().producers();
  const auto found = producers.find(id);
  return found == producers.end() ? nullptr : &found->second;
}

bool is_open(const storage::ProducerEntry* producer, ProducerEpoch epoch) {
  return producer && producer->transaction_start && producer->epoch == epoch;
}

enum class Place { kNext, kThere, kFenced };

// With an epoch for each transaction a marker has a newer one than the batches before it.
Place place_of(const storage::ProducerEntry& producer, const TransactionMarker& marker) {
  if (marker.producer_epoch < producer.epoch) return Place::kFenced;
  if (marker.transaction_version < kEpochPerTransaction || marker.producer_epoch > producer.epoch)
    return Place::kNext;
  return producer.transaction_start ? Place::kFenced : Place::kThere;
}

}  // namespace

ErrorCode append_marker(PartitionState& state, const TransactionMarker& marker, TimestampMs now) {
  if (state.is_offline()) return ErrorCode::kKafkaStorageError;
  if (!state.is_leader()) return ErrorCode::kNotLeaderOrFollower;
  if (!state.leader().has_min_isr()) return ErrorCode::kNotEnoughReplicas;
  if (marker.producer_id.value() < 0 || marker.producer_epoch.value() < 0)
    return ErrorCode::kUnknownServerError;  // as Kafka
  if (const auto* producer = find(state, marker.producer_id)) {
    if (marker.coordinator_epoch < producer->coordinator_epoch)
      return ErrorCode::kTransactionCoordinatorFenced;
    const Place place = place_of(*producer, marker);
    if (place == Place::kFenced) return ErrorCode::kInvalidProducerEpoch;
    if (place == Place::kThere) return ErrorCode::kNone;
  }
  ByteBuffer batch = batch_of(marker, now);
  const MutableByteView view = batch;
  if (!state.append({&view, 1}, now)) return ErrorCode::kKafkaStorageError;
  state.guards().end(marker.producer_id);
  return ErrorCode::kNone;
}

ErrorCode check_transactional_append(const PartitionState& state,
                                     const TransactionalAppend& append) {
  const auto* producer = find(state, append.producer_id);
  if (producer && append.producer_epoch < producer->epoch) return ErrorCode::kInvalidProducerEpoch;
  if (is_open(producer, append.producer_epoch) || !append.needs_guard ||
      state.guards().covers(append.producer_id, append.guard))
    return ErrorCode::kNone;
  return append.guard == VerificationGuards::Guard::kNone ? ErrorCode::kInvalidTxnState
                                                          : ErrorCode::kConcurrentTransactions;
}

Verification begin_verification(PartitionState& state, const TransactionalBatch& batch,
                                TimestampMs now) {
  if (is_open(find(state, batch.producer_id), batch.producer_epoch)) return {};
  return {true, state.guards().begin(batch.producer_id, batch.base_sequence, now)};
}

}  // namespace millrace::node
