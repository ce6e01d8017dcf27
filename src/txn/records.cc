#include "txn/records.h"

#include <map>

#include "wire/codec.h"
#include "wire/transaction_records.h"

namespace millrace::txn {
namespace {

using Value = wire::TransactionLogValue;

ByteBuffer key_of(std::string_view transactional_id) {
  return wire::encode_key(wire::TransactionLogKey{std::string(transactional_id)});
}

std::vector<Value::PartitionsSchema> by_topic(const std::set<TopicPartition>& partitions) {
  std::vector<Value::PartitionsSchema> topics;
  for (const TopicPartition& each : partitions) {
    if (topics.empty() || topics.back().topic != each.topic)
      topics.push_back({.topic = each.topic});
    topics.back().partition_ids.push_back(each.partition.value());
  }
  return topics;
}

Result<TransactionState> state_of(int8_t status) {
  using enum TransactionState;
  if (status >= static_cast<int8_t>(kEmpty) && status <= static_cast<int8_t>(kCompleteAbort))
    return static_cast<TransactionState>(status);
  return fail(Errc::kCorrupt, fmt::format("a transaction is in the unknown state {}", status));
}

// What the coordinator never writes: TC1, TC3 and TC4.
bool is_possible(const Transaction& transaction) {
  using enum TransactionState;
  if (transaction.producer.id.value() < 0 || transaction.producer.epoch.value() < 0) return false;
  if (transaction.is_prepared()) return true;
  if (transaction.is_ongoing())
    return transaction.start != kNoTimestamp && transaction.producer.epoch <= kLastEpoch;
  if (!transaction.partitions.empty()) return false;
  if (transaction.state != kEmpty) return transaction.next_id == kNoProducerId;
  return transaction.start == kNoTimestamp && transaction.producer.epoch <= kLastEpoch;
}

Result<Transaction> transaction_of(const Value& value) {
  Transaction transaction;
  ASSIGN_OR_RETURN(transaction.state, state_of(value.transaction_status));
  transaction.producer = {ProducerId(value.producer_id), ProducerEpoch(value.producer_epoch)};
  transaction.previous_id = ProducerId(value.previous_producer_id);
  transaction.next_id = ProducerId(value.next_producer_id);
  transaction.timeout_ms = value.transaction_timeout_ms;
  transaction.client_version = static_cast<TransactionVersion>(value.client_transaction_version);
  transaction.start = TimestampMs(value.transaction_start_timestamp_ms);
  transaction.last_update = TimestampMs(value.transaction_last_update_timestamp_ms);
  if (value.transaction_partitions)
    for (const auto& topic : *value.transaction_partitions)
      for (const int32_t partition : topic.partition_ids)
        transaction.partitions.insert({topic.topic, PartitionIndex(partition)});
  if (!is_possible(transaction))
    return fail(Errc::kCorrupt,
                fmt::format("a transaction that is {} with producer {}/{} cannot be",
                            state_name(transaction.state), transaction.producer.id,
                            transaction.producer.epoch));
  return transaction;
}

}  // namespace

KeyValueRecord transaction_record(std::string_view transactional_id, const Transaction& transaction,
                                  TransactionVersion version) {
  Value value;
  value.producer_id = transaction.producer.id.value();
  value.producer_epoch = transaction.producer.epoch.value();
  value.transaction_timeout_ms = transaction.timeout_ms;
  value.transaction_status = static_cast<int8_t>(transaction.state);
  value.transaction_last_update_timestamp_ms = transaction.last_update.value();
  value.transaction_start_timestamp_ms = transaction.start.value();
  value.transaction_partitions.reset();
  if (transaction.state != TransactionState::kEmpty)
    value.transaction_partitions = by_topic(transaction.partitions);
  if (version == TransactionVersion::kV0)
    return {key_of(transactional_id), wire::encode_value(value, 0)};
  value.previous_producer_id = transaction.previous_id.value();
  value.next_producer_id = transaction.next_id.value();
  value.client_transaction_version = static_cast<int16_t>(transaction.client_version);
  return {key_of(transactional_id), wire::encode_value(value, 1)};
}

KeyValueRecord transaction_tombstone(std::string_view transactional_id) {
  return {key_of(transactional_id), std::nullopt};
}

Result<std::optional<TransactionRecord>> parse_record(const KeyValueRecord& record) {
  wire::Reader reader(record.key);
  const int16_t type = reader.int16("type");
  RETURN_IF_ERROR(reader.status());
  if (type != wire::TransactionLogKey::kApiKey) return std::nullopt;
  ASSIGN_OR_RETURN(auto key, wire::decode_key<wire::TransactionLogKey>(record.key));
  TransactionRecord parsed{.transactional_id = std::move(key.transactional_id), .transaction = {}};
  if (!record.value) return parsed;
  ASSIGN_OR_RETURN(const auto value, wire::decode_value<Value>(*record.value));
  ASSIGN_OR_RETURN(parsed.transaction, transaction_of(value));
  return parsed;
}

}  // namespace millrace::txn
