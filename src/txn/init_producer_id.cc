// InitProducerId with a transactional id: who the producer is from now on, and nobody else (KIP-98,
// KIP-360). And what fences: a new producer, or time.
#include "txn/step.h"

namespace millrace::txn {
namespace {

using wire::code_of;
using wire::ErrorCode;

wire::InitProducerIdResponse refused(ErrorCode error) {
  wire::InitProducerIdResponse response;
  response.error_code = code_of(error);
  response.producer_id = -1;
  response.producer_epoch = -1;
  return response;
}

wire::InitProducerIdResponse given(const Producer& producer) {
  wire::InitProducerIdResponse response;
  response.producer_id = producer.id.value();
  response.producer_epoch = producer.epoch.value();
  return response;
}

// Who asks for the next epoch of the one that it has.
std::optional<Producer> expected_of(const wire::InitProducerIdRequest& request) {
  if (request.producer_id == -1) return std::nullopt;
  return Producer{ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch)};
}

ProducerEpoch bumped(ProducerEpoch epoch) { return epoch < kMaxEpoch ? epoch + 1 : epoch; }

}  // namespace

// A producer that says who it was is fenced unless it is the newest one; or was, and has not heard
// the answer to this request: then it is answered again.
ErrorCode Coordinator::check_init(const Transaction& transaction,
                                  std::optional<Producer> expected) const {
  if (transaction.is_prepared()) return ErrorCode::kConcurrentTransactions;
  if (!expected) return ErrorCode::kNone;
  const bool same_id = expected->id == transaction.producer.id;
  const bool had_last_epoch =
      expected->id == transaction.previous_id && expected->epoch >= kLastEpoch;
  if (!same_id && !had_last_epoch) return ErrorCode::kProducerFenced;
  const bool is_current = same_id && expected->epoch == transaction.producer.epoch;
  const bool is_retry = expected->epoch == transaction.last_epoch;
  return is_current || is_retry ? ErrorCode::kNone : ErrorCode::kProducerFenced;
}

Decision Coordinator::decide_init_producer_id(const wire::InitProducerIdRequest& request,
                                              const RequestContext& context) {
  Step step{.moment = context.moment, .decision = {}};
  const auto answer = [&](const wire::InitProducerIdResponse& response) {
    return std::move(step).reply(context.ticket, response);
  };
  const std::string id = request.transactional_id.value_or("");
  if (id.empty()) return answer(refused(ErrorCode::kInvalidRequest));
  if (request.transaction_timeout_ms <= 0 ||
      request.transaction_timeout_ms > config_.max_timeout_ms)
    return answer(refused(ErrorCode::kInvalidTransactionTimeout));
  const Transaction* known = find(id);
  const auto expected = expected_of(request);
  if (known) {
    if (const ErrorCode error = check_init(*known, expected); error != ErrorCode::kNone)
      return answer(refused(error));
    if (known->is_ongoing()) {
      fence(step, id, *known);
      return answer(refused(ErrorCode::kConcurrentTransactions));
    }
  }
  Transaction next = known ? *known : Transaction{};
  next.state = TransactionState::kEmpty;
  next.timeout_ms = request.transaction_timeout_ms;
  next.start = kNoTimestamp;
  const bool is_retry = known && expected && expected->epoch == known->last_epoch &&
                        *expected != known->producer && known->producer.epoch <= kLastEpoch;
  if (!is_retry) {
    next.last_epoch = known && expected ? expected->epoch : kNoEpoch;
    if (known == nullptr || known->has_last_epoch_used()) {
      if (!context.fresh_producer_id)
        return std::move(step).reply(context.ticket, NeedsProducerId{});
      next.producer = {*context.fresh_producer_id, ProducerEpoch(0)};
    } else {
      next.producer.epoch = bumped(known->producer.epoch);
    }
  }
  const Producer producer = next.producer;
  put(step, id, std::move(next));
  return answer(given(producer));
}

// The transaction is aborted under the next epoch. With V2 that is as if its producer had asked for
// the abort: unless another one is there first it may go on, and is told the epoch when it asks.
void Coordinator::fence(Step& step, const std::string& id, Transaction transaction) {
  const bool is_v2 = step.moment.version == TransactionVersion::kV2;
  transaction.client_version = is_v2 ? TransactionVersion::kV2 : TransactionVersion::kV0;
  transaction.last_epoch = is_v2 ? transaction.producer.epoch : kNoEpoch;
  transaction.producer.epoch = bumped(transaction.producer.epoch);
  transaction.state = TransactionState::kPrepareAbort;
  put(step, id, std::move(transaction));
}

}  // namespace millrace::txn
