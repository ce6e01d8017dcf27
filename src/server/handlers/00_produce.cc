// Produce (KIP-98, KIP-467, KIP-516, KIP-951). Each partition's one batch is validated without the
// lock, then checked for its sequence and appended under it. acks=all is refused while too few
// replicas are in sync, and answered when the high watermark covers it, acks=1 when it is appended,
// acks=0 never.
#include <algorithm>

#include "record/produce_validation.h"
#include "server/handlers/handlers.h"
#include "server/leader_hint.h"
#include "server/topic_creation.h"
#include "server/transaction_questions.h"
#include "server/transactional_produce.h"
#include "wire/produce.h"

namespace millrace::server {
namespace {

using Request = wire::ProduceRequest;
using Response = wire::ProduceResponse;
using PartitionResponse = Response::PartitionProduceResponse;
using wire::ErrorCode;

constexpr std::string_view kAdminClient =
    "__admin_client";  // may write to internal topics, as in Kafka

constexpr int16_t kFirstVersionWithIds = 13;
constexpr int16_t kFirstVersionWithHints = 10;

// A produce request whose partitions are answered one by one.
struct Pending {
  Pending(Call c, int16_t a) : call(std::move(c)), acks(a) {}
  Call call;
  int16_t acks;
  VerifiedTransaction verified;
  Response response;
  size_t waiting = 0;
  bool any_error = false;
  env::TimerId timer = env::TimerId::kNone;
  bool answered = false;

  // When all partitions have their answer, or the client's time is over: those that still wait are
  // answered REQUEST_TIMED_OUT, which is what stands in them.
  void finish() {
    if (std::exchange(answered, true)) return;
    call.shard().cancel(timer);
    if (call.version() >= kFirstVersionWithHints) hint_at_leaders();
    if (acks != 0) return call.respond(response);
    call.exempt_from_request_quota();
    // The client of acks=0 learns of an error by the closed connection, and asks for metadata
    // again.
    if (any_error) return call.close("a Produce request with acks=0 failed");
    call.respond_nothing();
  }
  void hint_at_leaders() {
    for (auto& topic : response.responses)
      for (auto& each : topic.partition_responses)
        if (each.error_code == wire::code_of(ErrorCode::kNotLeaderOrFollower))
          hint_at_leader(call, {topic.name, topic.topic_id, each.index}, each.current_leader,
                         response.node_endpoints);
  }
};

struct Target {
  node::HostedPartition hosted;
  ErrorCode error = ErrorCode::kNone;
};

// Why a partition that is not hosted here is not.
ErrorCode absence(Call& call, const Request::TopicProduceData& topic, int32_t index) {
  const auto image = call.node().image();
  const bool by_id = call.version() >= kFirstVersionWithIds;
  const metadata::Topic* known =
      by_id ? image->find_topic(topic.topic_id) : image->find_topic(topic.name);
  if (known == nullptr && by_id) return ErrorCode::kUnknownTopicId;
  return call.node().absence_of(known, PartitionIndex(index));
}

Target find_target(Call& call, const Request::TopicProduceData& topic, int32_t index) {
  const auto& partitions = call.node().partitions();
  const PartitionIndex partition(index);
  auto hosted = call.version() >= kFirstVersionWithIds
                    ? partitions.find(TopicIdPartition{topic.topic_id, partition})
                    : partitions.find(TopicPartition{topic.name, partition});
  if (!hosted) return {.error = absence(call, topic, index)};
  if (is_internal_topic(hosted.partition->name().topic) && call.header().client_id != kAdminClient)
    return {.error = ErrorCode::kInvalidTopicException};
  if (hosted.volume()->is_offline()) return {.error = ErrorCode::kKafkaStorageError};
  return {.hosted = std::move(hosted)};
}

void refuse(PartitionResponse& result, ErrorCode code) {
  result.error_code = wire::code_of(code);
  result.base_offset = -1;
  result.log_start_offset = -1;
}

void refuse(PartitionResponse& result, const record::ProduceError& error) {
  refuse(result, static_cast<ErrorCode>(error.code));
  result.error_message = error.error_message;
  for (const auto& each : error.record_errors)
    result.record_errors.push_back(
        {.batch_index = each.batch_index, .batch_index_error_message = each.message});
}

// Where the log starts is told by errors that were found with the log at hand.
bool tells_log_start(const record::ProduceError& error) {
  using enum record::ProduceErrorCode;
  return !error.before_log && error.code != kMessageTooLarge && error.code != kRecordListTooLarge &&
         error.code != kCorruptMessage;
}

ErrorCode error_of(const Error& error) {
  return error.code == Errc::kNoSpace || error.code == Errc::kIo ? ErrorCode::kKafkaStorageError
                                                                 : ErrorCode::kUnknownServerError;
}

ErrorCode error_of(storage::SequenceError error) {
  using enum storage::SequenceError;
  if (error == kBehindRefused) return ErrorCode::kKafkaStorageError;
  return error == kInvalidProducerEpoch ? ErrorCode::kInvalidProducerEpoch
                                        : ErrorCode::kOutOfOrderSequenceNumber;
}

struct Appended {
  Offset base_offset;
  Offset end;
  std::optional<TimestampMs> duplicate_of;  // when the batch was first written
};

// Why nothing may be written here now.
ErrorCode problem_of(const node::PartitionState& state, int16_t acks) {
  if (state.is_offline()) return ErrorCode::kKafkaStorageError;
  if (!state.is_leader()) return ErrorCode::kNotLeaderOrFollower;
  if (acks == -1 && !state.leader().has_min_isr()) return ErrorCode::kNotEnoughReplicas;
  return ErrorCode::kNone;
}

node::TransactionalAppend append_of(const Pending& pending, const TopicPartition& partition,
                                    const record::BatchHeader& header) {
  if (!header.attributes.transactional()) return {};
  const auto guard = pending.verified.guards.find(partition);
  return {.producer_id = header.producer_id,
          .producer_epoch = header.producer_epoch,
          .guard = guard == pending.verified.guards.end() ? node::VerificationGuards::Guard::kNone
                                                          : guard->second,
          .needs_guard = verifies_transactions(pending.call),
          .epoch_per_transaction = pending.call.version() >= kFirstProduceOfV2};
}

// Under the partition's lock: checks of sequence and transaction, append.
std::expected<Appended, ErrorCode> append(node::PartitionState& state,
                                          record::ValidatedBatch& batch,
                                          const node::TransactionalAppend& transaction,
                                          TimestampMs now) {
  const record::BatchHeader& header = batch.batch.header();
  if (header.has_producer_id()) {
    const auto verdict = state.log().producers().check(header);
    if (const auto* duplicate = std::get_if<storage::ProducedBatch>(&verdict))
      return Appended{duplicate->base_offset(), duplicate->last_offset + 1, duplicate->timestamp};
    if (header.attributes.transactional())
      if (const ErrorCode code = check_transaction(state, header, transaction);
          code != ErrorCode::kNone)
        return std::unexpected(
            transaction_error(code, transaction.epoch_per_transaction ? kFirstProduceOfV2 : 0));
    if (const auto* refused = std::get_if<storage::SequenceError>(&verdict))
      return std::unexpected(error_of(*refused));
    if (!header.attributes.transactional())
      if (const ErrorCode code = check_transaction(state, header, transaction);
          code != ErrorCode::kNone)
        return std::unexpected(code);
  }
  const MutableByteView bytes = batch.bytes;
  auto base = state.append({&bytes, 1}, now);
  if (!base) return std::unexpected(error_of(base.error()));
  if (header.attributes.transactional()) state.guards().end(header.producer_id);
  return Appended{*base, state.log().log_end(), std::nullopt};
}

// The frame is ours until the handler returns: offsets are written into it in place.
MutableByteView writable(ByteView bytes) {
  return {const_cast<uint8_t*>(bytes.data()), bytes.size()};
}

void produce_partition(const std::shared_ptr<Pending>& pending, const Target& target,
                       const Request::PartitionProduceData& data, PartitionResponse& result) {
  Call& call = pending->call;
  const node::HostedPartition& hosted = target.hosted;
  ErrorCode problem = ErrorCode::kNone;
  const auto settings = with_partition(*hosted.partition, [&](node::PartitionState& state) {
    problem = problem_of(state, pending->acks);
    return state.settings();
  });
  if (problem != ErrorCode::kNone) return refuse(result, problem);
  record::ProduceRules rules = settings->produce;
  rules.partition = &hosted.partition->name();
  rules.api_version = call.version();
  rules.now = call.shard().clock().wall();
  auto batch =
      record::validate_produce(writable(data.records.bytes), rules, call.services().scratch);
  auto log_start = [&] {
    return with_partition(*hosted.partition, [](node::PartitionState& state) {
      return state.log().log_start().value();
    });
  };
  if (!batch) {
    refuse(result, batch.error());
    if (tells_log_start(batch.error())) result.log_start_offset = log_start();
    return;
  }
  const TopicPartition& name = hosted.partition->name();
  const auto refused = pending->verified.refused.find(name);
  if (batch->batch.header().attributes.transactional() &&
      refused != pending->verified.refused.end()) {
    const ErrorCode code = transaction_error(refused->second, call.version());
    if (code == ErrorCode::kInvalidTxnState)
      result.error_message = "Partition was not added to the transaction";
    return refuse(result, code);
  }
  const auto transaction = append_of(*pending, name, batch->batch.header());
  auto appended = with_partition(*hosted.partition, [&](node::PartitionState& state) {
    problem = problem_of(state, pending->acks);
    auto outcome = problem == ErrorCode::kNone
                       ? append(state, *batch, transaction, rules.now)
                       : std::expected<Appended, ErrorCode>(std::unexpected(problem));
    result.log_start_offset = state.log().log_start().value();
    return outcome;
  });
  if (!appended) {
    refuse(result, appended.error());
    if (problem == ErrorCode::kNone && appended.error() != ErrorCode::kKafkaStorageError)
      result.log_start_offset = log_start();
    return;
  }
  result.base_offset = appended->base_offset.value();
  result.log_append_time_ms = appended->duplicate_of.value_or(batch->log_append_time).value();
  if (!appended->duplicate_of) call.node().partitions().appended(hosted);
  if (pending->acks != -1) return;
  with_partition(*hosted.partition, [&](node::PartitionState& state) {
    if (appended->end <= state.high_watermark()) return;
    ++pending->waiting;
    result.error_code = wire::code_of(ErrorCode::kRequestTimedOut);
    // `result` stays where it is: the response's arrays are complete before anything is appended.
    state.wait_for(appended->end, call.shard(), [pending, &result](ErrorCode code) {
      result.error_code = 0;
      if (code != ErrorCode::kNone) refuse(result, code);
      if (--pending->waiting == 0) pending->finish();
    });
  });
}

// What Kafka finds before it looks at partitions one by one, and answers for all of them.
std::optional<record::ProduceError> problem_of(const Request& request) {
  for (const auto& topic : request.topic_data)
    for (const auto& data : topic.partition_data)
      if (auto problem = record::request_problem(data.records.bytes)) return problem;
  return std::nullopt;
}

// A transactional batch in a request that names no transaction: refused as a whole.
bool lacks_transactional_id(const Request& request) {
  if (request.transactional_id) return false;
  for (const auto& topic : request.topic_data)
    for (const auto& data : topic.partition_data)
      if (auto header = record::peek_header(data.records.bytes);
          header && *header && (*header)->magic == record::kCurrentMagic &&
          (*header)->attributes.transactional())
        return true;
  return false;
}

void prepare_response(Response& response, const Request& request) {
  for (const auto& topic : request.topic_data) {
    auto& result = response.responses.emplace_back();
    result.name = topic.name;
    result.topic_id = topic.topic_id;
    for (const auto& data : topic.partition_data)
      result.partition_responses.push_back({.index = data.index});
  }
}

template <class Why>
void refuse_all(Pending& pending, const Why& why) {
  for (auto& topic : pending.response.responses)
    for (auto& result : topic.partition_responses) refuse(result, why);
  pending.any_error = true;
  pending.finish();
}

void produce(Call call, const Request& request, VerifiedTransaction verified) {
  auto pending = std::make_shared<Pending>(std::move(call), request.acks);
  pending->verified = std::move(verified);
  prepare_response(pending->response, request);
  const bool bad_acks = request.acks < -1 || request.acks > 1;
  if (lacks_transactional_id(request))
    return refuse_all(*pending, ErrorCode::kTransactionalIdAuthorizationFailed);
  if (const auto problem = problem_of(request)) return refuse_all(*pending, *problem);
  if (request.transactional_id && has_several_producers(request))
    return refuse_all(*pending, ErrorCode::kInvalidProducerIdMapping);
  pending->waiting = 1;  // held until all partitions were looked at
  for (size_t t = 0; t < request.topic_data.size(); ++t)
    for (size_t p = 0; p < request.topic_data[t].partition_data.size(); ++p) {
      const auto& data = request.topic_data[t].partition_data[p];
      auto& result = pending->response.responses[t].partition_responses[p];
      const Target target = find_target(pending->call, request.topic_data[t], data.index);
      if (target.error != ErrorCode::kNone)
        refuse(result, target.error);
      else if (bad_acks)
        refuse(result, ErrorCode::kInvalidRequiredAcks);
      else
        produce_partition(pending, target, data, result);
      pending->any_error |= result.error_code != 0;
    }
  if (--pending->waiting == 0) return pending->finish();
  // Without any time there is no end to it: here an answer waits for the disk, not for followers.
  if (request.timeout_ms > 0)
    pending->timer = pending->call.shard().after(milliseconds(request.timeout_ms),
                                                 [pending] { pending->finish(); });
}

// Charged at once, not with the answer: who is over the quota then has nothing appended behind
// this.
void charge(Call& call) {
  node::ClientQuotas& quotas = call.node().client_quotas();
  if (!quotas.has(quota::Kind::kProduce)) return;
  const Duration wait =
      quotas.charge(quota::Kind::kProduce, call.client(),
                    static_cast<double>(call.parts().frame.size()), call.shard().clock().now());
  if (wait == Duration::zero()) return;
  call.throttle(quota::Kind::kProduce, wait);
  call.reply().stop_line();
}

}  // namespace

void handle_produce(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  charge(call);
  if (!request->transactional_id || has_several_producers(*request))
    return produce(std::move(call), *request, {});
  auto check = check_transactions(call, *request);
  if (check.wanted.partitions.empty())
    return produce(std::move(call), *request, std::move(check.verified));
  verify_transaction(std::move(call), std::move(check),
                     [](Call waiting, VerifiedTransaction verified) {
                       waiting.reply().let_line_go();  // when the batches are appended
                       auto again = waiting.decode<Request>();
                       if (again) produce(std::move(waiting), *again, std::move(verified));
                     });
}

}  // namespace millrace::server
