#include "node/transaction_verifier.h"

#include "base/hash.h"
#include "base/log.h"

namespace millrace::node {
namespace {

using wire::ErrorCode;
using Request = wire::AddPartitionsToTxnRequest;
using Response = wire::AddPartitionsToTxnResponse;

constexpr wire::VersionRange kVersions{4, 5};

// The leader of the id's partition of __transaction_state.
NodeId coordinator_of(const metadata::Image& image, const std::string& transactional_id) {
  const metadata::Topic* topic = image.find_topic(std::string_view(TransactionKind::kTopic));
  if (topic == nullptr || topic->partitions.empty()) return kNoNode;
  const auto count = static_cast<int32_t>(topic->partitions.size());
  return topic->partitions[static_cast<size_t>(coordinator_partition(transactional_id, count))]
      .leader;
}

Request request_for(const txn::AddPartitions& asked) {
  Request request;
  auto& transaction = request.transactions.emplace_back();
  transaction.transactional_id = asked.transactional_id;
  transaction.producer_id = asked.producer.id.value();
  transaction.producer_epoch = asked.producer.epoch.value();
  transaction.verify_only = asked.verify_only;
  for (const TopicPartition& each : asked.partitions) {
    if (transaction.topics.empty() || transaction.topics.back().name != each.topic)
      transaction.topics.push_back({.name = each.topic});
    transaction.topics.back().partitions.push_back(each.partition.value());
  }
  return request;
}

}  // namespace

struct TransactionVerifier::Asking {
  Question question;
  env::Shard* shard;
  Done done;

  Refused all(ErrorCode code) const {
    Refused refused;
    for (const TopicPartition& each : question.partitions.partitions) refused[each] = code;
    return refused;
  }
  ErrorCode for_producer(ErrorCode code) const {
    if (code == ErrorCode::kProducerFenced) return ErrorCode::kInvalidProducerEpoch;
    if (code == ErrorCode::kTransactionAbortable && !question.client_knows_abortable)
      return ErrorCode::kInvalidTxnState;
    return code;
  }
};

void TransactionVerifier::ask(Question question, env::Shard& shard, Done done) {
  auto asking = std::make_shared<Asking>(
      Asking{.question = std::move(question), .shard = &shard, .done = std::move(done)});
  const NodeId coordinator =
      coordinator_of(*parts_.image(), asking->question.partitions.transactional_id);
  if (coordinator == kNoNode)
    return answered(asking, asking->all(ErrorCode::kCoordinatorNotAvailable));
  if (coordinator == parts_.self) return ask_here(asking);
  parts_.host->shard(0).post([this, asking, coordinator] { ask_there(asking, coordinator); });
}

void TransactionVerifier::ask_here(const AskingPtr& asking) {
  const txn::AddPartitions& asked = asking->question.partitions;
  parts_.transactions->run(
      {.transactional_id = asked.transactional_id,
       .step =
           [asked](txn::Coordinator& coordinator, const txn::RequestContext& context) {
             return coordinator.decide_add_partitions(asked, context);
           },
       .shard = asking->shard,
       .done =
           [this, asking](ErrorCode code, txn::Response response) {
             if (code != ErrorCode::kNone) return answered(asking, asking->all(code));
             const auto& added = std::get<txn::PartitionsAdded>(response);
             if (added.error != ErrorCode::kNone) return answered(asking, asking->all(added.error));
             Refused refused;
             for (const TopicPartition& each : added.missing)
               refused[each] = ErrorCode::kTransactionAbortable;
             answered(asking, std::move(refused));
           }});
}

// On shard 0.
void TransactionVerifier::ask_there(const AskingPtr& asking, NodeId coordinator) {
  parts_.links->ask<Request, Response>(
      coordinator, request_for(asking->question.partitions), kVersions,
      [this, asking](Result<Response> response) {
        Refused refused;
        if (!response) {
          LOG_WARN("AddPartitionsToTxn for {}: {}", asking->question.partitions.transactional_id,
                   response.error().message);
          refused = asking->all(ErrorCode::kNetworkException);
        } else if (response->error_code != 0) {
          refused = asking->all(static_cast<ErrorCode>(response->error_code));
        } else {
          // What is not answered is not in the transaction.
          refused = asking->all(ErrorCode::kInvalidTxnState);
          for (const auto& transaction : response->results_by_transaction)
            for (const auto& topic : transaction.topic_results)
              for (const auto& each : topic.results_by_partition) {
                const TopicPartition name{topic.name, PartitionIndex(each.partition_index)};
                if (each.partition_error_code == 0)
                  refused.erase(name);
                else
                  refused[name] = static_cast<ErrorCode>(each.partition_error_code);
              }
        }
        asking->shard->post([this, asking, refused = std::move(refused)]() mutable {
          answered(asking, std::move(refused));
        });
      });
}

void TransactionVerifier::answered(const AskingPtr& asking, Refused refused) {
  for (auto& [partition, code] : refused) code = asking->for_producer(code);
  asking->done(std::move(refused));
}

}  // namespace millrace::node
