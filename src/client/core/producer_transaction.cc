// What a producer (producer.h) does because its records are of a transaction.
#include <utility>

#include "base/assert.h"
#include "client/core/producer.h"

namespace millrace::client::core {

using wire::ErrorCode;

void Producer::on(Transaction::Event& event, Instant now) {
  ASSERT(transaction_, "a producer without transactions");
  // What is buffered is sent before the end of a transaction, and without linger.
  if (const auto* end = std::get_if<Transaction::End>(&event)) flushing_ = end->commit;
  if (std::holds_alternative<Transaction::Begin>(event)) {
    ASSERT(idle(), "CT4: {}", describe());
    failed_.reset();
  }
  tell(std::move(event), now);
}

void Producer::tell(Transaction::Event event, Instant now) {
  auto action = transaction_->resume(std::move(event), now);
  if (action.send) action_.ask = std::move(action.send);
  if (action.outcome) action_.outcome = std::move(action.outcome);
  transaction_wake_ = action.wake;
}

// A record that is of no open transaction is delivered as failed, which harms no transaction.
bool Producer::refuses(const OutgoingRecord& record) {
  if (!transaction_ || transaction_->takes_records()) return false;
  const auto& failure = transaction_->failure();
  const auto before = failed_;
  deliver(record, {.error = failure ? failure->error : ErrorCode::kInvalidTxnState,
                   .message = failure ? failure->message : "no transaction is open"});
  failed_ = before;
  return true;
}

// What could be sent now, but for its partition not being part of the transaction.
void Producer::include_ready(Instant now) {
  if (!transaction_->sends_records()) return;
  Transaction::Include include;
  for (const auto& [partition, queue] : queues_)
    if (is_ready(queue, now) && !transaction_->includes(partition))
      include.partitions.insert(partition);
  if (!include.partitions.empty()) tell(std::move(include), now);
}

void Producer::identify_by_transaction(Queue& queue) {
  if (queue.identity == transaction_->identity()) return;
  ASSERT(!queue.batches.front().maybe_written, "CT4: an identity changes between transactions");
  queue.identity = transaction_->identity();
  queue.next_sequence = ProducerSequence(0);
}

void Producer::follow_failures(Instant now) {
  tell_failure(now);
  if (!transaction_->gives_up_records()) return;
  give_up_all();
  tell_failure(now);
}

void Producer::follow_records(Instant now) {
  follow_failures(now);
  if (transaction_->awaits_records() && idle()) tell(Transaction::Drained{}, now);
}

void Producer::tell_failure(Instant now) {
  if (failed_) tell(*std::exchange(failed_, std::nullopt), now);
}

// All but what is under way, which ends with its answer: it is given up then.
void Producer::give_up_all() {
  const auto& failure = transaction_->failure();
  const Rejection rejection{
      .error = failure ? failure->error : ErrorCode::kTransactionAbortable,
      .message = failure ? "the transaction has failed: " + failure->message
                         : "the transaction was aborted before the record was sent",
      .by_record = {}};
  for (auto queue = queues_.begin(); queue != queues_.end(); ++queue) {
    auto& batches = queue->second.batches;
    while (!queue->second.under_way && !batches.empty()) reject(queue, rejection);
    for (; batches.size() > 1; batches.erase(batches.begin() + 1))
      for (const auto& record : batches[1].records)
        deliver(
            record,
            {.partition = queue->first, .error = rejection.error, .message = rejection.message});
  }
  for (const auto& [topic, waiting] : std::exchange(unplaced_, {}))
    for (const auto& record : waiting.records)
      deliver(record, {.error = rejection.error, .message = rejection.message});
}

}  // namespace millrace::client::core
