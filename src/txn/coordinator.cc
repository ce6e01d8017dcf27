#include "txn/coordinator.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "txn/records.h"
#include "txn/step.h"

namespace millrace::txn {
namespace {

using wire::code_of;
using wire::ErrorCode;

Markers markers_of(const std::string& id, const Transaction& transaction) {
  return {.transactional_id = id,
          .producer = transaction.producer,
          .commit = transaction.state == TransactionState::kPrepareCommit,
          .version = transaction.client_version,
          .partitions = transaction.partitions};
}

// Producers that prepare a transaction to be ended from outside have no timeout (KIP-939).
bool has_timeout(const Transaction& transaction) {
  return transaction.is_ongoing() && transaction.timeout_ms != INT32_MAX;
}

}  // namespace

// --- Replay.

Result<> Coordinator::apply(const KeyValueRecord& record) {
  ASSIGN_OR_RETURN(auto parsed, parse_record(record));
  if (!parsed) {
    LOG_DEBUG("__transaction_state: a record of an unknown type is ignored");
    return {};
  }
  if (!parsed->transaction) {
    transactions_.erase(parsed->transactional_id);
    return {};
  }
  const auto last_epoch = last_epochs_.find(parsed->transactional_id);
  if (last_epoch != last_epochs_.end()) parsed->transaction->last_epoch = last_epoch->second;
  transactions_.insert_or_assign(std::move(parsed->transactional_id),
                                 std::move(*parsed->transaction));
  return {};
}

Decision Coordinator::on_loaded(const Moment& moment) {
  Decision decision;
  for (const auto& [id, transaction] : transactions_) {
    if (transaction.is_prepared()) decision.markers.push_back(markers_of(id, transaction));
    if (!has_timeout(transaction)) continue;
    const int64_t age = std::max<int64_t>(moment.wall - transaction.start, 0);
    const int64_t left = std::max<int64_t>(transaction.timeout_ms - age, 0);
    arm(id, moment.now + milliseconds(left));
  }
  next_expiry_ = moment.now + config_.id_expiration_check_interval;
  loaded_ = true;
  return decision;
}

// --- Changes.

void Coordinator::arm(const std::string& id, Instant at) {
  disarm(id);
  deadlines_.emplace(id, at);
  by_deadline_.emplace(at, id);
}

void Coordinator::disarm(const std::string& id) {
  const auto found = deadlines_.find(id);
  if (found == deadlines_.end()) return;
  by_deadline_.erase({found->second, id});
  deadlines_.erase(found);
}

// The transaction is `next` from now on.
void Coordinator::put(Step& step, const std::string& id, Transaction next) {
  const Transaction* former = find(id);
  ASSERT(may_follow(former ? former->state : TransactionState::kEmpty, next.state),
         "TC5 {} becomes {}", id, state_name(next.state));
  next.previous_id = former ? former->producer.id : next.producer.id;
  next.last_update = step.moment.wall;
  if (next.last_epoch == kNoEpoch)
    last_epochs_.erase(id);
  else
    last_epochs_.insert_or_assign(id, next.last_epoch);
  if (!has_timeout(next))
    disarm(id);
  else if (former == nullptr || !former->is_ongoing())
    arm(id, step.moment.now + milliseconds(next.timeout_ms));
  step.decision.records.push_back(transaction_record(id, next, step.moment.version));
  if (next.is_prepared()) step.decision.markers.push_back(markers_of(id, next));
}

Decision Coordinator::decide_add_partitions(const AddPartitions& request,
                                            const RequestContext& context) {
  Step step{.moment = context.moment, .decision = {}};
  const auto answer = [&](PartitionsAdded added) {
    return std::move(step).reply(context.ticket, std::move(added));
  };
  if (request.transactional_id.empty()) return answer({ErrorCode::kInvalidRequest, {}});
  const Transaction* known = find(request.transactional_id);
  if (known == nullptr) return answer({ErrorCode::kInvalidProducerIdMapping, {}});
  const PartitionsAdded concurrent{ErrorCode::kConcurrentTransactions, {}};
  // Before anything is compared: a producer may have been given an id that counts only from the end
  // of the transaction on.
  if (!request.verify_only && known->is_prepared()) return answer(concurrent);
  if (known->producer.id != request.producer.id)
    return answer({ErrorCode::kInvalidProducerIdMapping, {}});
  if (known->producer.epoch != request.producer.epoch)
    return answer({ErrorCode::kProducerFenced, {}});
  if (known->is_prepared()) return answer(concurrent);
  PartitionsAdded added;
  std::ranges::set_difference(request.partitions, known->partitions,
                              std::inserter(added.missing, added.missing.end()));
  if (request.verify_only) return answer(std::move(added));
  if (known->is_ongoing() && added.missing.empty()) return answer({});
  Transaction next = *known;
  if (!known->is_ongoing()) next.start = context.moment.wall;
  next.state = TransactionState::kOngoing;
  next.client_version = request.client_version;
  next.partitions.merge(added.missing);
  put(step, request.transactional_id, std::move(next));
  return answer({});
}

// --- Time.

Decision Coordinator::on_tick(const Moment& moment) {
  Step step{.moment = moment, .decision = {}};
  while (!by_deadline_.empty() && by_deadline_.begin()->first <= moment.now) {
    const std::string id = by_deadline_.begin()->second;
    const Transaction& late = *find(id);
    LOG_INFO("the transaction of {} was open for more than {} ms: aborted", id, late.timeout_ms);
    fence(step, id, late);
  }
  if (next_expiry_ <= moment.now) expire(step);
  return std::move(step.decision);
}

void Coordinator::expire(Step& step) {
  next_expiry_ = step.moment.now + config_.id_expiration_check_interval;
  for (const auto& [id, transaction] : transactions_) {
    if (transaction.is_ongoing() || transaction.is_prepared()) continue;
    if (step.moment.wall - transaction.last_update < config_.id_expiration.count()) continue;
    last_epochs_.erase(id);
    step.decision.records.push_back(transaction_tombstone(id));
  }
}

Instant Coordinator::next_deadline() const {
  if (by_deadline_.empty()) return next_expiry_;
  return std::min(next_expiry_, by_deadline_.begin()->first);
}

// --- Reads.

const Transaction* Coordinator::find(std::string_view transactional_id) const {
  const auto found = transactions_.find(transactional_id);
  return found == transactions_.end() ? nullptr : &found->second;
}

wire::DescribeTransactionsResponse::TransactionState Coordinator::describe_transaction(
    const std::string& transactional_id) const {
  wire::DescribeTransactionsResponse::TransactionState answer;
  answer.transactional_id = transactional_id;
  const Transaction* known = find(transactional_id);
  if (transactional_id.empty() || known == nullptr) {
    answer.error_code = code_of(transactional_id.empty() ? ErrorCode::kInvalidRequest
                                                         : ErrorCode::kTransactionalIdNotFound);
    return answer;
  }
  answer.transaction_state = state_name(known->state);
  answer.transaction_timeout_ms = known->timeout_ms;
  answer.transaction_start_time_ms = known->start.value();
  answer.producer_id = known->producer.id.value();
  answer.producer_epoch = known->producer.epoch.value();
  for (const TopicPartition& each : known->partitions) {
    if (answer.topics.empty() || answer.topics.back().topic != each.topic)
      answer.topics.push_back({.topic = each.topic});
    answer.topics.back().partitions.push_back(each.partition.value());
  }
  return answer;
}

std::vector<wire::ListTransactionsResponse::TransactionState> Coordinator::list_transactions(
    const wire::ListTransactionsRequest& request, TimestampMs wall) const {
  const auto wanted = [](const auto& filter, const auto& value) {
    return filter.empty() || std::ranges::find(filter, value) != filter.end();
  };
  std::vector<wire::ListTransactionsResponse::TransactionState> listed;
  for (const auto& [id, transaction] : transactions_) {
    const std::string state(state_name(transaction.state));
    if (!wanted(request.state_filters, state)) continue;
    if (!wanted(request.producer_id_filters, transaction.producer.id.value())) continue;
    // Since the last transaction began, also when it is over; for ever if there was none.
    if (request.duration_filter >= 0 && wall - transaction.start <= request.duration_filter)
      continue;
    listed.push_back({.transactional_id = id,
                      .producer_id = transaction.producer.id.value(),
                      .transaction_state = state});
  }
  return listed;
}

// --- Looking inside.

void Coordinator::check_invariants() const {
  using enum TransactionState;
  for (const auto& [id, each] : transactions_) {
    if (each.state == kEmpty)
      ASSERT(each.partitions.empty() && each.start == kNoTimestamp, "TC1 {}", id);
    if (each.is_ongoing()) ASSERT(each.start != kNoTimestamp, "TC2 {} has no start", id);
    ASSERT(!loaded_ || deadlines_.contains(id) == has_timeout(each), "TC2 {}", id);
    if (each.state == kCompleteCommit || each.state == kCompleteAbort)
      ASSERT(each.partitions.empty() && each.next_id == kNoProducerId, "TC3 {}", id);
    ASSERT(each.producer.epoch.value() >= 0, "TC4 {} epoch {}", id, each.producer.epoch);
    if (each.state == kEmpty || each.is_ongoing())
      ASSERT(each.producer.epoch <= kLastEpoch, "TC4 {} epoch {}", id, each.producer.epoch);
  }
  ASSERT(deadlines_.size() == by_deadline_.size(), "TC2 {} {}", deadlines_.size(),
         by_deadline_.size());
}

std::string Coordinator::describe() const {
  return fmt::format("{} transactional ids, {} transactions open", transactions_.size(),
                     deadlines_.size());
}

std::string Coordinator::describe_replicated() const {
  std::string text;
  for (const auto& [id, each] : transactions_) {
    text += fmt::format(
        "{} {} producer {}/{} before {} next {} timeout {} client {} start {} at {}:", id,
        state_name(each.state), each.producer.id, each.producer.epoch, each.previous_id,
        each.next_id, each.timeout_ms, static_cast<int>(each.client_version), each.start,
        each.last_update);
    for (const TopicPartition& partition : each.partitions)
      text += fmt::format(" {}-{}", partition.topic, partition.partition);
    text += '\n';
  }
  return text;
}

}  // namespace millrace::txn
