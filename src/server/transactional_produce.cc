#include "server/transactional_produce.h"

#include "node/transactions.h"
#include "server/transaction_questions.h"

namespace millrace::server {
namespace {

using Request = wire::ProduceRequest;
using wire::ErrorCode;

constexpr int16_t kFirstVersionWithIds = 13;
constexpr int16_t kFirstWithAbortable = 11;

// That of a partition's batch, if it is transactional. Whatever else is wrong is found later.
std::optional<record::BatchHeader> transactional_header(const Request::PartitionProduceData& data) {
  auto header = record::peek_header(data.records.bytes);
  if (!header || !*header || (*header)->magic != record::kCurrentMagic ||
      !(*header)->attributes.transactional())
    return std::nullopt;
  return **header;
}

template <class Visit>
void for_each_transactional(const Request& request, const Visit& visit) {
  for (const auto& topic : request.topic_data)
    for (const auto& data : topic.partition_data)
      if (const auto header = transactional_header(data)) visit(topic, data.index, *header);
}

node::HostedPartition find_hosted(Call& call, const Request::TopicProduceData& topic,
                                  PartitionIndex index) {
  const auto& partitions = call.node().partitions();
  if (call.version() >= kFirstVersionWithIds)
    return partitions.find(TopicIdPartition{topic.topic_id, index});
  return partitions.find(TopicPartition{topic.name, index});
}

struct Asking {
  Call call;
  Verified then;
  Instant give_up;
  Duration pause;
};

// With new guards: the end of the last transaction takes those that there are.
void ask(const std::shared_ptr<Asking>& asking, TransactionCheck check);

void ask_again(const std::shared_ptr<Asking>& asking) {
  auto request = asking->call.decode<Request>();
  if (!request) return;
  TransactionCheck check = check_transactions(asking->call, *request);
  if (!check.wanted.partitions.empty()) return ask(asking, std::move(check));
  asking->then(std::move(asking->call), std::move(check.verified));
}

void ask(const std::shared_ptr<Asking>& asking, TransactionCheck check) {
  env::Shard& shard = asking->call.shard();
  const bool may_wait = !check.wanted.verify_only;
  asking->call.node().transactions().verifier().ask(
      {.partitions = std::move(check.wanted),
       .client_knows_abortable = asking->call.version() >= kFirstWithAbortable},
      shard,
      [asking, &shard, may_wait, verified = std::move(check.verified)](auto refused) mutable {
        const bool is_being_ended =
            !refused.empty() && refused.begin()->second == ErrorCode::kConcurrentTransactions;
        if (is_being_ended && may_wait && shard.clock().now() + asking->pause <= asking->give_up) {
          shard.after(asking->pause, [asking] { ask_again(asking); });
          return;
        }
        verified.refused = std::move(refused);
        asking->then(std::move(asking->call), std::move(verified));
      });
}

}  // namespace

bool has_several_producers(const Request& request) {
  std::optional<record::BatchHeader> first;
  bool several = false;
  for_each_transactional(request, [&](const auto&, int32_t, const record::BatchHeader& header) {
    if (!first) first = header;
    several |=
        header.producer_id != first->producer_id || header.producer_epoch != first->producer_epoch;
  });
  return several;
}

TransactionCheck check_transactions(Call& call, const Request& request) {
  const bool is_v2 = call.version() >= kFirstProduceOfV2;
  TransactionCheck check;
  check.wanted.transactional_id = request.transactional_id.value_or("");
  check.wanted.verify_only = !is_v2;
  check.wanted.client_version = is_v2 ? txn::TransactionVersion::kV2 : txn::TransactionVersion::kV0;
  if (!is_v2 && !verifies_transactions(call)) return check;
  for_each_transactional(request, [&](const Request::TopicProduceData& topic, int32_t index,
                                      const record::BatchHeader& header) {
    const auto hosted = find_hosted(call, topic, PartitionIndex(index));
    if (!hosted) return;
    const auto needed = with_partition(*hosted.partition, [&](node::PartitionState& state) {
      if (!state.is_leader()) return node::Verification{};
      return node::begin_verification(
          state, {header.producer_id, header.producer_epoch, header.base_sequence},
          call.shard().clock().wall());
    });
    if (!needed.needed) return;
    check.wanted.producer = {header.producer_id, header.producer_epoch};
    check.wanted.partitions.insert(hosted.partition->name());
    check.verified.guards[hosted.partition->name()] = needed.guard;
  });
  return check;
}

void verify_transaction(Call call, TransactionCheck check, Verified then) {
  call.keep_frame();
  call.reply().stop_line();
  const auto settings = call.node().settings();
  const auto time = [&](const char* name) { return milliseconds(settings->number(name)); };
  const Instant now = call.shard().clock().now();
  auto asking = std::make_shared<Asking>(std::move(call), std::move(then),
                                         now + time("add.partitions.to.txn.retry.backoff.max.ms"),
                                         time("add.partitions.to.txn.retry.backoff.ms"));
  ask(asking, std::move(check));
}

// A verification that could not be made, or is worth nothing any more, means that the producer
// tries again.
ErrorCode transaction_error(ErrorCode code, int16_t version) {
  switch (code) {
    case ErrorCode::kConcurrentTransactions:
      return version >= kFirstProduceOfV2 ? code : ErrorCode::kNotEnoughReplicas;
    case ErrorCode::kNetworkException:
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kNotCoordinator: return ErrorCode::kNotEnoughReplicas;
    default: return code;
  }
}

ErrorCode check_transaction(const node::PartitionState& state, const record::BatchHeader& header,
                            const node::TransactionalAppend& append) {
  const auto& producers = state.log().producers().producers();
  const auto known = producers.find(header.producer_id);
  if (!header.attributes.transactional())
    return known != producers.end() && known->second.transaction_start ? ErrorCode::kInvalidTxnState
                                                                       : ErrorCode::kNone;
  const ErrorCode code = check_transactional_append(state, append);
  if (code != ErrorCode::kNone) return code;
  if (state.guards().is_ahead(header.producer_id, header.base_sequence))
    return ErrorCode::kOutOfOrderSequenceNumber;
  const bool begins_late = known == producers.end() && header.base_sequence.value() != 0;
  if (append.epoch_per_transaction && begins_late) return ErrorCode::kOutOfOrderSequenceNumber;
  return ErrorCode::kNone;
}

}  // namespace millrace::server
