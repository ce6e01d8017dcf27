#include "client/core/transaction.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "client/core/call.h"

namespace millrace::client::core {
namespace {

using wire::ErrorCode;

constexpr int16_t kFirstImplicitProduce = 12;
constexpr int16_t kFirstImplicitOffsetCommit = 5;
constexpr int16_t kFirstEndWithEpoch = 5;
constexpr int16_t kImplicitLevel = 2;                      // of transaction.version
constexpr Duration kConcurrentBackoff = milliseconds(20);  // markers are soon written

int16_t first_implicit_version(wire::ApiKey api) {
  switch (api) {
    case wire::ApiKey::kProduce: return kFirstImplicitProduce;
    case wire::ApiKey::kTxnOffsetCommit: return kFirstImplicitOffsetCommit;
    case wire::ApiKey::kEndTxn: return kFirstEndWithEpoch;
    default: return 0;
  }
}

// Of several errors the one that decides: what cannot pass before what can.
class WorstError {
 public:
  void add(int16_t code) {
    const auto error = static_cast<ErrorCode>(code);
    if (weight_of(error) > weight_of(worst_)) worst_ = error;
  }
  ErrorCode get() const { return worst_; }

 private:
  static int weight_of(ErrorCode error) {
    if (error == ErrorCode::kNone) return 0;
    if (wire::is_retriable(error)) return 1;
    return error == ErrorCode::kOperationNotAttempted ? 2 : 3;  // because of another's error
  }
  ErrorCode worst_ = ErrorCode::kNone;
};

std::string_view name_of(const Transaction::Question& question) {
  static constexpr std::string_view kNames[] = {
      "FindCoordinator", "ApiVersions",     "InitProducerId", "AddPartitionsToTxn",
      "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn"};
  return kNames[question.index()];
}

// A record's error that says that the producer may not go on at all.
bool ends_producer(ErrorCode error) {
  return error == ErrorCode::kClusterAuthorizationFailed || error == ErrorCode::kProducerFenced ||
         error == ErrorCode::kTransactionalIdAuthorizationFailed ||
         error == ErrorCode::kInvalidProducerIdMapping || error == ErrorCode::kUnsupportedVersion;
}

}  // namespace

wire::VersionRange versions_for(TransactionProtocol protocol, wire::ApiKey api) {
  wire::VersionRange versions = spoken_versions(api);
  const int16_t first = first_implicit_version(api);
  if (first == 0) return versions;
  if (protocol == TransactionProtocol::kImplicit)
    versions.min = std::max(versions.min, first);
  else
    versions.max = std::min(versions.max, static_cast<int16_t>(first - 1));
  return versions;
}

Transaction::Action Transaction::resume(Event event, Instant now) {
  action_ = {};
  std::visit([&](auto& what) { on(what, now); }, event);
  ask(now);
  return std::exchange(action_, {});
}

void Transaction::on(Init&, Instant) {
  if (state_ != State::kNew)
    return refuse(ErrorCode::kInvalidTxnState, "transactions are initialized already");
  state_ = State::kInitializing;
}

void Transaction::on(Begin&, Instant) {
  ASSERT(is_ready(), "a transaction begins when none is open");
  state_ = State::kOpen;
  partitions_.clear();
  groups_.clear();
  begun_ = maybe_begun_ = commit_ = drained_ = decided_ = doubtful_ = false;
}

void Transaction::on(SendOffsets& event, Instant) {
  if (state_ != State::kOpen) return refuse(ErrorCode::kInvalidTxnState, "no transaction is open");
  if (event.offsets.offsets.empty()) return tell_success();
  if (event.offsets.group != group_) group_coordinator_.reset();
  group_ = event.offsets.group;
  offsets_ = std::move(event.offsets);
}

void Transaction::on(End& event, Instant) {
  const bool may_end = state_ == State::kOpen || (state_ == State::kFailed && !event.commit);
  if (!may_end) return refuse(ErrorCode::kInvalidTxnState, "no transaction is open");
  state_ = State::kEnding;
  commit_ = event.commit;
  drained_ = false;
  asked_since_.reset();
  if (!commit_) to_include_.clear();
}

void Transaction::on(Include& event, Instant) {
  if (!sends_records()) return;
  if (protocol_ == TransactionProtocol::kImplicit) {
    begun_ = true;
    partitions_.merge(event.partitions);
  } else {
    to_include_.merge(event.partitions);
  }
}

void Transaction::on(RecordFailed& event, Instant) {
  doubtful_ = doubtful_ || event.maybe_written;
  if (!sends_records()) return;
  fail({.error = event.error,
        .message = event.message.empty() ? std::string(wire::error_name(event.error))
                                         : std::move(event.message),
        .fatal = ends_producer(event.error)});
}

void Transaction::on(Answered& event, Instant now) {
  ASSERT(under_way_, "nothing was asked");
  if (state_ == State::kFatal) {
    under_way_.reset();
  } else if (!event.answer) {
    lost(event.answer.error(), now);
  } else {
    std::visit([&](auto& answer) { take(answer, now); }, *event.answer);
  }
  under_way_.reset();
}

void Transaction::take(FoundCoordinator& found, Instant now) {
  const auto& asked = std::get<FindCoordinator>(*under_way_);
  if (!passes(static_cast<ErrorCode>(found.error), now)) return;
  if (!asked.of_group)
    coordinator_ = found.node;
  else if (asked.key == group_)
    group_coordinator_ = found.node;
}

void Transaction::take(wire::ApiVersionsResponse& response, Instant) {
  int16_t level = 0;
  for (const auto& feature : response.finalized_features)
    if (feature.name == "transaction.version") level = feature.max_version_level;
  protocol_ =
      level >= kImplicitLevel ? TransactionProtocol::kImplicit : TransactionProtocol::kExplicit;
  knows_protocol_ = true;
}

void Transaction::take(wire::InitProducerIdResponse& response, Instant now) {
  if (!passes(static_cast<ErrorCode>(response.error_code), now)) return;
  identity_ = {ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)};
  doubtful_ = false;
  finish_ending();
}

void Transaction::take(wire::AddPartitionsToTxnResponse& response, Instant now) {
  WorstError worst;
  bool added = false;
  for (const auto& topic : response.results_by_topic_v3_and_below)
    for (const auto& each : topic.results_by_partition) {
      worst.add(each.partition_error_code);
      if (each.partition_error_code != 0) continue;
      begun_ = true;
      const TopicPartition partition{topic.name, PartitionIndex(each.partition_index)};
      if (to_include_.erase(partition) == 0) continue;
      added = true;
      partitions_.insert(partition);
    }
  if (passes(worst.get(), now) && !added) again(ErrorCode::kUnknownServerError, now);
}

void Transaction::take(wire::AddOffsetsToTxnResponse& response, Instant now) {
  if (!passes(static_cast<ErrorCode>(response.error_code), now)) return;
  begun_ = true;
  groups_.insert(std::get<wire::AddOffsetsToTxnRequest>(*under_way_).group_id);
}

void Transaction::take(wire::TxnOffsetCommitResponse& response, Instant now) {
  WorstError worst;
  size_t answered = 0;
  for (const auto& topic : response.topics)
    for (const auto& each : topic.partitions) {
      worst.add(each.error_code);
      ++answered;
    }
  if (!passes(worst.get(), now) || !offsets_) return;
  if (answered < offsets_->offsets.size()) return again(ErrorCode::kUnknownServerError, now);
  offsets_.reset();
  tell_success();
}

void Transaction::take(wire::EndTxnResponse& response, Instant now) {
  const auto error = static_cast<ErrorCode>(response.error_code);
  // The coordinator has not heard of a transaction that is to be aborted: all that there was of it
  // is a question without an answer.
  const bool never_begun = error == ErrorCode::kInvalidTxnState && !commit_ && !begun_;
  if (!never_begun && !passes(error, now)) return;
  decided_ = true;
  if (protocol_ == TransactionProtocol::kImplicit) {
    const ProducerIdentity next{ProducerId(response.producer_id),
                                ProducerEpoch(response.producer_epoch)};
    doubtful_ = next.id == kNoProducerId || next == identity_;  // as good as no epoch
    if (!doubtful_) identity_ = next;
  }
  if (!doubtful_) finish_ending();
}

void Transaction::finish_ending() {
  state_ = State::kReady;
  failure_.reset();
  tell_success();
}

Transaction::Verdict Transaction::judge(ErrorCode error) {
  switch (error) {
    case ErrorCode::kNone: return Verdict::kDone;
    case ErrorCode::kNotCoordinator:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kRequestTimedOut: return Verdict::kElsewhere;
    case ErrorCode::kTopicAuthorizationFailed:
    case ErrorCode::kGroupAuthorizationFailed:
    case ErrorCode::kOperationNotAttempted:
    case ErrorCode::kUnknownProducerId:
    case ErrorCode::kFencedInstanceId:
    case ErrorCode::kUnknownMemberId:
    case ErrorCode::kIllegalGeneration:
    case ErrorCode::kStaleMemberEpoch:
    case ErrorCode::kRebalanceInProgress:
    case ErrorCode::kTransactionAbortable: return Verdict::kAbortable;
    default: return wire::is_retriable(error) ? Verdict::kAgain : Verdict::kFatal;
  }
}

bool Transaction::passes(ErrorCode error, Instant now) {
  Verdict verdict = judge(error);
  // The coordinator has aborted it already; a producer that aborts as well hears its next epoch.
  if (error == ErrorCode::kInvalidTxnState && commit_ &&
      protocol_ == TransactionProtocol::kImplicit &&
      std::holds_alternative<wire::EndTxnRequest>(*under_way_))
    verdict = Verdict::kAbortable;
  if (verdict == Verdict::kDone) {
    // A coordinator that was found has answered nothing yet.
    if (!std::holds_alternative<FindCoordinator>(*under_way_)) asked_since_.reset();
    return true;
  }
  if (verdict == Verdict::kElsewhere) forget_coordinator();
  if (verdict == Verdict::kElsewhere || verdict == Verdict::kAgain) {
    again(error, now);
    return false;
  }
  // Without an identity, or where an abort is refused, nothing is left that could be done.
  const bool aborts = !commit_ && std::holds_alternative<wire::EndTxnRequest>(*under_way_);
  const bool identifies = state_ == State::kInitializing ||
                          std::holds_alternative<wire::InitProducerIdRequest>(*under_way_);
  fail({.error = error,
        .message = told(error),
        .fatal = verdict == Verdict::kFatal || aborts || identifies});
  return false;
}

// No answer: nobody knows whether it was heard.
void Transaction::lost(const Error& why, Instant now) {
  const bool adds = std::holds_alternative<wire::AddPartitionsToTxnRequest>(*under_way_) ||
                    std::holds_alternative<wire::AddOffsetsToTxnRequest>(*under_way_);
  maybe_begun_ = maybe_begun_ || adds;
  if (why.code == Errc::kUnsupported)
    return fail({.error = ErrorCode::kUnsupportedVersion, .message = why.message, .fatal = true});
  forget_coordinator();
  again(ErrorCode::kNetworkException, now);
}

void Transaction::forget_coordinator() {
  if (std::holds_alternative<wire::TxnOffsetCommitRequest>(*under_way_))
    group_coordinator_.reset();
  else
    coordinator_.reset();
}

void Transaction::again(ErrorCode error, Instant now) {
  not_before_ = now + (error == ErrorCode::kConcurrentTransactions
                           ? std::min(kConcurrentBackoff, options_.retry_backoff)
                           : options_.retry_backoff);
  if (!asked_since_ || now < *asked_since_ + options_.patience) return;
  const bool is_of_end = state_ == State::kEnding && drained_;
  fail({.error = error == ErrorCode::kNetworkException ? ErrorCode::kRequestTimedOut : error,
        .message = is_of_end && !decided_
                       ? fmt::format("nobody knows whether the transaction was {}: {}",
                                     commit_ ? "committed" : "aborted", told(error))
                       : told(error),
        .fatal = state_ == State::kInitializing || is_of_end});
}

std::string Transaction::told(ErrorCode error) const {
  switch (error) {
    case ErrorCode::kProducerFenced:
    case ErrorCode::kInvalidProducerEpoch:
      return fmt::format(
          "another producer has taken the transactional id '{}', or the transaction lasted longer "
          "than {} s ({})",
          options_.id, std::chrono::duration<double>(options_.timeout).count(),
          wire::error_name(error));
    case ErrorCode::kInvalidTxnState:
      return fmt::format(
          "the coordinator knows of no such transaction: it lasted longer than {} s, or somebody "
          "ended it ({} to {})",
          std::chrono::duration<double>(options_.timeout).count(), wire::error_name(error),
          name_of(*under_way_));
    case ErrorCode::kInvalidTransactionTimeout:
      return fmt::format("a transaction may not last {} s: transaction.max.timeout.ms is less",
                         std::chrono::duration<double>(options_.timeout).count());
    case ErrorCode::kTransactionalIdAuthorizationFailed:
      return fmt::format("no right to the transactional id '{}'", options_.id);
    case ErrorCode::kNetworkException:
      return fmt::format("{} was not answered for {} s", name_of(*under_way_),
                         std::chrono::duration<double>(options_.patience).count());
    default: return fmt::format("{}: {}", name_of(*under_way_), wire::error_name(error));
  }
}

// What the caller wants makes no sense now; everything stays as it is.
void Transaction::refuse(ErrorCode error, std::string message) {
  if (failure_)
    action_.outcome = Outcome{failure_};
  else
    action_.outcome = Outcome{TransactionFailure{.error = error, .message = std::move(message)}};
}

void Transaction::fail(TransactionFailure failure) {
  const bool aborts = state_ == State::kEnding && !commit_;
  if (!failure.fatal && (aborts || state_ == State::kFailed || state_ == State::kReady)) return;
  const bool is_waited_for =
      state_ == State::kInitializing || state_ == State::kEnding || offsets_.has_value();
  state_ = failure.fatal ? State::kFatal : State::kFailed;
  failure_ = std::move(failure);
  offsets_.reset();
  to_include_.clear();
  asked_since_.reset();
  if (is_waited_for) action_.outcome = Outcome{failure_};
}

void Transaction::ask(Instant now) {
  if (under_way_) return;
  // A transaction that nobody but this producer knows of.
  if (state_ == State::kEnding && drained_ && !begun_ && !maybe_begun_) {
    ASSERT(!doubtful_, "CT6: a record was sent outside of any transaction");
    return finish_ending();
  }
  auto question = next_question();
  if (!question) return;
  if (now < not_before_) {
    action_.wake = not_before_;
    return;
  }
  ASSERT(state_ != State::kFatal, "CT3: {}", describe());
  ASSERT(state_ != State::kEnding || !commit_ || !failure_, "CT1: {}", describe());
  under_way_ = question;
  if (!asked_since_) asked_since_ = now;
  if (protocol_ == TransactionProtocol::kImplicit &&
      std::holds_alternative<wire::TxnOffsetCommitRequest>(*question))
    begun_ = true;
  const NodeId to = destination_of(*question);
  action_.send = Send{.to = to, .question = std::move(*question)};
}

std::optional<Transaction::Question> Transaction::next_question() const {
  const bool ends = state_ == State::kEnding && drained_;
  const bool adds = sends_records() && (!to_include_.empty() || offsets_);
  if (state_ != State::kInitializing && !ends && !adds) return std::nullopt;
  if (!coordinator_) return FindCoordinator{.of_group = false, .key = options_.id};
  if (!knows_protocol_) return AskFeatures{};
  if (ends && !decided_)
    return wire::EndTxnRequest{.transactional_id = options_.id,
                               .producer_id = identity_.id.value(),
                               .producer_epoch = identity_.epoch.value(),
                               .committed = commit_};
  if (!adds) return identity_question();
  return to_include_.empty() ? offsets_question() : partitions_question();
}

// With the present identity: the next epoch of it (KIP-360).
Transaction::Question Transaction::identity_question() const {
  return wire::InitProducerIdRequest{
      .transactional_id = options_.id,
      .transaction_timeout_ms =
          static_cast<int32_t>(std::chrono::duration_cast<milliseconds>(options_.timeout).count()),
      .producer_id = identity_.id.value(),
      .producer_epoch = identity_.epoch.value()};
}

Transaction::Question Transaction::partitions_question() const {
  wire::AddPartitionsToTxnRequest request{.v3_and_below_transactional_id = options_.id,
                                          .v3_and_below_producer_id = identity_.id.value(),
                                          .v3_and_below_producer_epoch = identity_.epoch.value()};
  auto& topics = request.v3_and_below_topics;
  for (const auto& each : to_include_) {
    if (topics.empty() || topics.back().name != each.topic) topics.push_back({.name = each.topic});
    topics.back().partitions.push_back(each.partition.value());
  }
  return request;
}

Transaction::Question Transaction::offsets_question() const {
  const bool is_added =
      protocol_ == TransactionProtocol::kImplicit || groups_.contains(offsets_->group);
  if (!is_added)
    return wire::AddOffsetsToTxnRequest{.transactional_id = options_.id,
                                        .producer_id = identity_.id.value(),
                                        .producer_epoch = identity_.epoch.value(),
                                        .group_id = offsets_->group};
  if (!group_coordinator_) return FindCoordinator{.of_group = true, .key = offsets_->group};
  wire::TxnOffsetCommitRequest request{.transactional_id = options_.id,
                                       .group_id = offsets_->group,
                                       .producer_id = identity_.id.value(),
                                       .producer_epoch = identity_.epoch.value(),
                                       .generation_id = offsets_->generation,
                                       .member_id = offsets_->member_id,
                                       .group_instance_id = offsets_->instance_id};
  for (const auto& [partition, offset] : offsets_->offsets) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back({.partition_index = partition.partition.value(),
                                                .committed_offset = offset.value(),
                                                .committed_metadata = ""});
  }
  return request;
}

NodeId Transaction::destination_of(const Question& question) const {
  if (std::holds_alternative<FindCoordinator>(question)) return kNoNode;
  if (std::holds_alternative<wire::TxnOffsetCommitRequest>(question)) return *group_coordinator_;
  return *coordinator_;
}

std::string Transaction::describe() const {
  static constexpr const char* kNames[] = {"new",    "initializing", "ready", "open",
                                           "failed", "ending",       "fatal"};
  return fmt::format("transactional id '{}', producer {} epoch {}: {}, {} partitions{}",
                     options_.id, identity_.id, identity_.epoch, kNames[static_cast<int>(state_)],
                     partitions_.size(), under_way_ ? ", asking" : "");
}

}  // namespace millrace::client::core
