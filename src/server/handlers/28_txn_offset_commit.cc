// TxnOffsetCommit: a group's offsets as part of a producer's transaction. Before the first of a
// transaction its coordinator is asked whether the group's partition of __consumer_offsets is in it
// (versions before 5: AddOffsetsToTxn has put it there), or told to put it there (KIP-890).
#include <algorithm>

#include "node/image_topics.h"
#include "node/partition_groups.h"
#include "node/transactions.h"
#include "server/handlers/handlers.h"
#include "server/transaction_questions.h"

namespace millrace::server {
namespace {

using Request = wire::TxnOffsetCommitRequest;
using Response = wire::TxnOffsetCommitResponse;
using node::ImageTopics;
using wire::ErrorCode;

constexpr int16_t kFirstOfV2 = 5;
constexpr int16_t kFirstWithAbortable = 4;
constexpr int16_t kFirstWithLoadInProgress = 2;

struct Committing {
  Call call;
  Request request;
  ImageTopics topics;

  int16_t version() const { return call.version(); }
  // Older clients do not expect errors of the network, nor of transactions that are being ended,
  // and would fail: what they repeat as it is, is an answer of a coordinator that loads.
  ErrorCode understood(ErrorCode code) const {
    const bool is_retriable =
        code == ErrorCode::kNetworkException ||
        (code == ErrorCode::kConcurrentTransactions && version() < kFirstOfV2);
    return is_retriable ? ErrorCode::kCoordinatorLoadInProgress : code;
  }
  bool is_known(const std::string& topic, int32_t partition) const {
    return topics.has_partition(topic, PartitionIndex(partition));
  }
  bool has_known_partition() const {
    return std::ranges::any_of(request.topics, [&](const auto& topic) {
      return std::ranges::any_of(topic.partitions, [&](const auto& each) {
        return is_known(topic.name, each.partition_index);
      });
    });
  }
  // Of those that there are.
  void respond_all(ErrorCode of_all) {
    const ErrorCode code = understood(of_all);
    Response response;
    for (const auto& topic : request.topics) {
      auto& result = response.topics.emplace_back();
      result.name = topic.name;
      for (const auto& each : topic.partitions) {
        const bool known = is_known(topic.name, each.partition_index);
        result.partitions.push_back(
            {.partition_index = each.partition_index,
             .error_code = wire::code_of(known ? code : ErrorCode::kUnknownTopicOrPartition)});
      }
    }
    respond(std::move(response));
  }
  void respond(Response response) {
    if (version() < kFirstWithLoadInProgress)
      for (auto& topic : response.topics)
        for (auto& each : topic.partitions)
          if (each.error_code == wire::code_of(ErrorCode::kCoordinatorLoadInProgress))
            each.error_code = wire::code_of(ErrorCode::kCoordinatorNotAvailable);
    call.respond(response);
  }
};
using CommittingPtr = std::shared_ptr<Committing>;

void commit(const CommittingPtr& committing, node::VerificationGuards::Guard guard) {
  Call& call = committing->call;
  const Request& request = committing->request;
  call.node().groups().run(
      {.group_id = request.group_id,
       .api_version = call.version(),
       .client_id = call.header().client_id,
       .client_host = "/" + call.peer().host,
       .transaction = {{.producer_id = ProducerId(request.producer_id),
                        .producer_epoch = ProducerEpoch(request.producer_epoch),
                        .guard = guard,
                        .needs_guard = verifies_transactions(call)}},
       .step =
           [committing](group::Coordinator& coordinator, const group::RequestContext& context) {
             return coordinator.decide_txn_offset_commit(committing->request, committing->topics,
                                                         context);
           },
       .shard = &call.shard(),
       .done =
           [committing](ErrorCode code, group::Response response) {
             if (code != ErrorCode::kNone) return committing->respond_all(code);
             committing->respond(std::get<Response>(std::move(response)));
           }});
}

}  // namespace

void handle_txn_offset_commit(Call call) {
  auto request = call.decode<Request>();
  if (!request) return;
  ImageTopics topics(call.node().image(), call.node().settings());
  auto committing =
      std::make_shared<Committing>(std::move(call), std::move(*request), std::move(topics));
  const Request& asked = committing->request;
  if (!committing->has_known_partition()) return committing->respond_all(ErrorCode::kNone);
  if (asked.group_id.empty()) return committing->respond_all(ErrorCode::kInvalidGroupId);
  node::GroupHost& groups = committing->call.node().groups();
  const txn::Producer producer{ProducerId(asked.producer_id), ProducerEpoch(asked.producer_epoch)};
  const auto needed =
      groups.begin_verification(asked.group_id, {producer.id, producer.epoch, record::kNoSequence});
  if (!needed) return committing->respond_all(needed.error());
  const bool is_v2 = committing->version() >= kFirstOfV2;
  if (!needed->needed || !(is_v2 || verifies_transactions(committing->call)))
    return commit(committing, needed->guard);
  committing->call.node().transactions().verifier().ask(
      {.partitions = {.transactional_id = asked.transactional_id,
                      .producer = producer,
                      .partitions = {{node::GroupKind::kTopic,
                                      *groups.partition_of(asked.group_id)}},
                      .verify_only = !is_v2,
                      .client_version =
                          is_v2 ? txn::TransactionVersion::kV2 : txn::TransactionVersion::kV0},
       .client_knows_abortable = committing->version() >= kFirstWithAbortable},
      committing->call.shard(),
      [committing, guard = needed->guard](node::TransactionVerifier::Refused refused) {
        if (refused.empty()) return commit(committing, guard);
        committing->respond_all(refused.begin()->second);
      });
}

}  // namespace millrace::server
