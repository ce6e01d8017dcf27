// EndTxn: the decision of a transaction, by both protocols, and its completion. With the first
// protocol the same request again is recognised by the state alone, so that one that was delayed
// may decide a later transaction; with V2 each transaction has an epoch of its own (KIP-890).
#include "txn/step.h"

namespace millrace::txn {
namespace {

using wire::code_of;
using wire::ErrorCode;
using enum TransactionState;

wire::EndTxnResponse refused(ErrorCode error) {
  wire::EndTxnResponse response;
  response.error_code = code_of(error);
  return response;
}

// How the producer goes on.
wire::EndTxnResponse ended(const Producer& producer) {
  wire::EndTxnResponse response;
  response.producer_id = producer.id.value();
  response.producer_epoch = producer.epoch.value();
  return response;
}

// kEnd: it is decided now. kDone: it was, in the same way.
enum class Verdict { kEnd, kDone, kRefused };

struct Judgement {
  Verdict verdict = Verdict::kRefused;
  ErrorCode error = ErrorCode::kNone;
};

Judgement refuse(ErrorCode error) { return {Verdict::kRefused, error}; }

Judgement judge_v1(const Transaction& transaction, const EndTransaction& request) {
  if (transaction.producer.id != request.producer.id)
    return refuse(ErrorCode::kInvalidProducerIdMapping);
  if (transaction.producer.epoch != request.producer.epoch)
    return refuse(ErrorCode::kProducerFenced);
  if (transaction.is_prepared()) return refuse(ErrorCode::kConcurrentTransactions);
  if (transaction.is_ongoing()) return {Verdict::kEnd};
  if (transaction.state == (request.commit ? kCompleteCommit : kCompleteAbort))
    return {Verdict::kDone};
  return refuse(ErrorCode::kInvalidTxnState);
}

// A producer that has not heard the answer comes again with the epoch before the one it was given;
// or the last one of a producer id.
bool repeats(const Transaction& transaction, const EndTransaction& request) {
  const Producer& asks = request.producer;
  const bool after_bump = asks.id == transaction.producer.id && asks.epoch < kLastEpoch &&
                          asks.epoch + 1 == transaction.producer.epoch;
  const bool after_rotation = asks.id == transaction.previous_id && asks.epoch == kLastEpoch &&
                              transaction.producer.epoch.value() == 0;
  return after_bump || after_rotation;
}

Judgement judge_v2(const Transaction& transaction, const EndTransaction& request) {
  if (transaction.is_prepared()) return refuse(ErrorCode::kConcurrentTransactions);
  const bool is_complete =
      transaction.state == kCompleteCommit || transaction.state == kCompleteAbort;
  if (is_complete && repeats(transaction, request)) {
    const bool same = request.commit == (transaction.state == kCompleteCommit);
    return same ? Judgement{Verdict::kDone} : refuse(ErrorCode::kInvalidTxnState);
  }
  if (transaction.producer.id != request.producer.id)
    return refuse(ErrorCode::kInvalidProducerIdMapping);
  if (transaction.producer.epoch != request.producer.epoch)
    return refuse(ErrorCode::kProducerFenced);
  // A transaction without any partition: the coordinator may not have heard of one whose producer
  // wants it aborted.
  if (!transaction.is_ongoing() && request.commit) return refuse(ErrorCode::kInvalidTxnState);
  return {Verdict::kEnd};
}

}  // namespace

Decision Coordinator::decide_end_transaction(const EndTransaction& request,
                                             const RequestContext& context) {
  Step step{.moment = context.moment, .decision = {}};
  const auto answer = [&](const wire::EndTxnResponse& response) {
    return std::move(step).reply(context.ticket, response);
  };
  if (request.transactional_id.empty()) return answer(refused(ErrorCode::kInvalidRequest));
  const Transaction* known = find(request.transactional_id);
  if (known == nullptr) return answer(refused(ErrorCode::kInvalidProducerIdMapping));
  const bool bumps = request.client_version == TransactionVersion::kV2;
  const Judgement judgement = bumps ? judge_v2(*known, request) : judge_v1(*known, request);
  if (judgement.verdict == Verdict::kRefused) return answer(refused(judgement.error));
  if (judgement.verdict == Verdict::kDone)
    return answer(bumps ? ended(known->producer) : wire::EndTxnResponse{});
  Transaction next = *known;
  if (!next.is_ongoing()) next.start = context.moment.wall;
  next.state = request.commit ? kPrepareCommit : kPrepareAbort;
  next.client_version = request.client_version;
  if (!bumps) {
    put(step, request.transactional_id, std::move(next));
    return answer({});
  }
  if (known->has_last_epoch_used()) {
    if (!context.fresh_producer_id) return std::move(step).reply(context.ticket, NeedsProducerId{});
    next.next_id = *context.fresh_producer_id;
  }
  next.last_epoch = known->producer.epoch;
  if (known->producer.epoch < kMaxEpoch) ++next.producer.epoch;
  const Producer after =
      next.next_id == kNoProducerId ? next.producer : Producer{next.next_id, ProducerEpoch(0)};
  put(step, request.transactional_id, std::move(next));
  return answer(ended(after));
}

Decision Coordinator::complete(const Markers& markers, const Moment& moment) {
  Step step{.moment = moment, .decision = {}};
  const Transaction* known = find(markers.transactional_id);
  if (known == nullptr || !known->is_prepared() || known->producer != markers.producer) return {};
  Transaction next = *known;
  next.state = known->state == kPrepareCommit ? kCompleteCommit : kCompleteAbort;
  next.partitions.clear();
  if (next.client_version == TransactionVersion::kV2 && next.next_id != kNoProducerId)
    next.producer = {next.next_id, ProducerEpoch(0)};
  next.next_id = kNoProducerId;
  put(step, markers.transactional_id, std::move(next));
  return std::move(step.decision);
}

}  // namespace millrace::txn
