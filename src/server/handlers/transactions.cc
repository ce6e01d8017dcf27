// The APIs of a transaction's coordinator: AddPartitionsToTxn from clients (0-3) and from brokers
// (4-5), AddOffsetsToTxn, EndTxn, DescribeTransactions, ListTransactions.
#include <algorithm>

#include "base/hash.h"
#include "node/partition_groups.h"
#include "node/transactions.h"
#include "server/gathered_response.h"
#include "server/handlers/handlers.h"
#include "server/topic_creation.h"
#include "server/transaction_pattern.h"
#include "wire/add_offsets_to_txn.h"
#include "wire/add_partitions_to_txn.h"
#include "wire/end_txn.h"

namespace millrace::server {
namespace {

using node::TransactionHost;
using txn::TransactionVersion;
using wire::ErrorCode;

constexpr int16_t kFirstFromBrokers = 4;  // of AddPartitionsToTxn
constexpr int16_t kFirstEndOfV2 = 5;
constexpr int16_t kFirstWithFenced = 2;  // of all of them; KIP-588

int16_t fenced_code(ErrorCode code, int16_t version) {
  if (code == ErrorCode::kProducerFenced && version < kFirstWithFenced)
    code = ErrorCode::kInvalidProducerEpoch;
  return wire::code_of(code);
}

txn::Producer producer_of(int64_t id, int16_t epoch) {
  return {ProducerId(id), ProducerEpoch(epoch)};
}

// --- AddPartitionsToTxn.

using AddRequest = wire::AddPartitionsToTxnRequest;
using AddResponse = wire::AddPartitionsToTxnResponse;
using AddTopic = AddRequest::AddPartitionsToTxnTopic;
using TopicResults = std::vector<AddResponse::AddPartitionsToTxnTopicResult>;

template <class CodeOf>
TopicResults results_of(const std::vector<AddTopic>& topics, const CodeOf& code_of) {
  TopicResults results;
  for (const AddTopic& topic : topics) {
    auto& result = results.emplace_back();
    result.name = topic.name;
    for (const int32_t index : topic.partitions)
      result.results_by_partition.push_back(
          {.partition_index = index,
           .partition_error_code = code_of(TopicPartition{topic.name, PartitionIndex(index)})});
  }
  return results;
}

struct Adding {
  Call call;
  std::vector<std::vector<AddTopic>> topics;  // of each transaction
  std::vector<TopicResults> results;
  std::vector<std::string> ids;
  size_t left = 0;

  void finish() {
    AddResponse response;
    if (call.version() < kFirstFromBrokers) {
      response.results_by_topic_v3_and_below = std::move(results[0]);
    } else {
      for (size_t i = 0; i < ids.size(); ++i)
        response.results_by_transaction.push_back(
            {.transactional_id = ids[i], .topic_results = std::move(results[i])});
    }
    call.respond(response);
  }
};

// What does not exist keeps all of the transaction's partitions from being added.
std::optional<TopicResults> unknown_partitions(const metadata::Image& image,
                                               const std::vector<AddTopic>& topics) {
  const auto is_known = [&](const TopicPartition& each) {
    const metadata::Topic* topic = image.find_topic(each.topic);
    return topic && each.partition.value() >= 0 &&
           std::cmp_less(each.partition.value(), topic->partitions.size());
  };
  bool all_known = true;
  auto results = results_of(topics, [&](const TopicPartition& each) {
    const bool known = is_known(each);
    all_known &= known;
    return wire::code_of(known ? ErrorCode::kOperationNotAttempted
                               : ErrorCode::kUnknownTopicOrPartition);
  });
  if (all_known) return std::nullopt;
  return results;
}

void add_partitions(const std::shared_ptr<Adding>& adding, size_t at, txn::AddPartitions request) {
  for (const AddTopic& topic : adding->topics[at])
    for (const int32_t index : topic.partitions)
      request.partitions.insert({topic.name, PartitionIndex(index)});
  if (auto refused = unknown_partitions(*adding->call.node().image(), adding->topics[at])) {
    adding->results[at] = std::move(*refused);
    if (--adding->left == 0) adding->finish();
    return;
  }
  const std::string id = request.transactional_id;
  adding->call.node().transactions().host().run(
      {.transactional_id = id,
       .step =
           [request = std::move(request)](txn::Coordinator& coordinator,
                                          const txn::RequestContext& context) {
             return coordinator.decide_add_partitions(request, context);
           },
       .shard = &adding->call.shard(),
       .done =
           [adding, at](ErrorCode code, txn::Response response) {
             const auto* added = std::get_if<txn::PartitionsAdded>(&response);
             const bool is_answered = code == ErrorCode::kNone && added != nullptr;
             if (is_answered) code = added->error;
             adding->results[at] = results_of(adding->topics[at], [&](const TopicPartition& each) {
               const bool missing = is_answered && added->missing.contains(each);
               return missing ? wire::code_of(ErrorCode::kTransactionAbortable)
                              : fenced_code(code, adding->call.version());
             });
             if (--adding->left == 0) adding->finish();
           }});
}

}  // namespace

void handle_add_partitions_to_txn(Call call) {
  auto request = call.decode<AddRequest>();
  if (!request) return;
  const bool from_broker = call.version() >= kFirstFromBrokers;
  if (!from_broker)
    request->transactions = {{.transactional_id = request->v3_and_below_transactional_id,
                              .producer_id = request->v3_and_below_producer_id,
                              .producer_epoch = request->v3_and_below_producer_epoch,
                              .topics = std::move(request->v3_and_below_topics)}};
  auto adding = std::make_shared<Adding>(std::move(call));
  const size_t count = request->transactions.size();
  for (auto& transaction : request->transactions) {
    adding->ids.push_back(transaction.transactional_id);
    adding->topics.push_back(std::move(transaction.topics));
  }
  adding->results.resize(count);
  adding->left = count;
  if (count == 0) return adding->finish();
  for (size_t i = 0; i < count; ++i) {
    const auto& each = request->transactions[i];
    add_partitions(
        adding, i,
        {.transactional_id = each.transactional_id,
         .producer = producer_of(each.producer_id, each.producer_epoch),
         .partitions = {},
         .verify_only = each.verify_only,
         .client_version = from_broker ? TransactionVersion::kV2 : TransactionVersion::kV0});
  }
}

// --- AddOffsetsToTxn: the partition of __consumer_offsets where the group's offsets will be.

namespace {

void respond_added(Call& call, ErrorCode code) {
  wire::AddOffsetsToTxnResponse response;
  response.error_code = fenced_code(code, call.version());
  call.respond(response);
}

void add_offsets(Call call, const wire::AddOffsetsToTxnRequest& request) {
  const auto partition = call.node().groups().partition_of(request.group_id);
  if (!partition) return respond_added(call, ErrorCode::kCoordinatorNotAvailable);
  txn::AddPartitions adding{.transactional_id = request.transactional_id,
                            .producer = producer_of(request.producer_id, request.producer_epoch),
                            .partitions = {{node::GroupKind::kTopic, *partition}}};
  TransactionHost& host = call.node().transactions().host();
  auto waiting = std::make_shared<Call>(std::move(call));
  host.run({.transactional_id = request.transactional_id,
            .step =
                [adding = std::move(adding)](txn::Coordinator& coordinator,
                                             const txn::RequestContext& context) {
                  return coordinator.decide_add_partitions(adding, context);
                },
            .shard = &waiting->shard(),
            .done =
                [waiting](ErrorCode code, txn::Response response) {
                  if (code == ErrorCode::kNone)
                    code = std::get<txn::PartitionsAdded>(response).error;
                  respond_added(*waiting, code);
                }});
}

}  // namespace

void handle_add_offsets_to_txn(Call call) {
  auto request = call.decode<wire::AddOffsetsToTxnRequest>();
  if (!request) return;
  if (request->transactional_id.empty()) return respond_added(call, ErrorCode::kInvalidRequest);
  if (call.node().groups().partition_count() > 0) return add_offsets(std::move(call), *request);
  create_topics(
      std::move(call), {node::GroupKind::kTopic},
      [request = std::move(*request)](Call& waiting) { add_offsets(std::move(waiting), request); });
}

// --- EndTxn.

void handle_end_txn(Call call) {
  auto request = call.decode<wire::EndTxnRequest>();
  if (!request) return;
  const bool is_v2 = call.version() >= kFirstEndOfV2;
  txn::EndTransaction ending{
      .transactional_id = request->transactional_id,
      .producer = producer_of(request->producer_id, request->producer_epoch),
      .commit = request->committed,
      .client_version = is_v2 ? TransactionVersion::kV2 : TransactionVersion::kV0};
  TransactionHost& host = call.node().transactions().host();
  auto waiting = std::make_shared<Call>(std::move(call));
  host.run({.transactional_id = request->transactional_id,
            .step =
                [ending](txn::Coordinator& coordinator, const txn::RequestContext& context) {
                  return coordinator.decide_end_transaction(ending, context);
                },
            .shard = &waiting->shard(),
            .done =
                [waiting](ErrorCode code, txn::Response response) {
                  wire::EndTxnResponse answer;
                  answer.error_code = wire::code_of(code);
                  if (code == ErrorCode::kNone) answer = std::get<wire::EndTxnResponse>(response);
                  answer.error_code =
                      fenced_code(static_cast<ErrorCode>(answer.error_code), waiting->version());
                  waiting->respond(answer);
                }});
}

// --- Reads.

void handle_describe_transactions(Call call) {
  auto request = call.decode<wire::DescribeTransactionsRequest>();
  if (!request) return;
  using Reading = GatheredResponse<wire::DescribeTransactionsResponse>;
  auto reading = std::make_shared<Reading>(std::move(call));
  const size_t count = request->transactional_ids.size();
  reading->response.transaction_states.resize(count);
  TransactionHost& host = reading->call.node().transactions().host();
  for (size_t i = 0; i < count; ++i) {
    auto& state = reading->response.transaction_states[i];
    const std::string id = request->transactional_ids[i];
    state.transactional_id = id;
    const ErrorCode code = host.read(id, [&](const txn::Coordinator& coordinator) {
      state = coordinator.describe_transaction(id);
    });
    const auto refuse = [id](auto& to, ErrorCode why) {
      to = {.error_code = wire::code_of(why), .transactional_id = id};
    };
    if (code != ErrorCode::kNone) {
      refuse(state, id.empty() ? ErrorCode::kInvalidRequest : code);
      continue;
    }
    reading->one_more();
    host.when_durable(id, reading->call.shard(), [reading, i, refuse](ErrorCode durable) {
      if (durable != ErrorCode::kNone) refuse(reading->response.transaction_states[i], durable);
      reading->one_is_done();
    });
  }
  reading->one_is_done();
}

void handle_list_transactions(Call call) {
  auto request = call.decode<wire::ListTransactionsRequest>();
  if (!request) return;
  auto response = std::make_shared<wire::ListTransactionsResponse>();
  std::erase_if(request->state_filters, [&](const std::string& state) {
    if (txn::parse_state(state)) return false;
    response->unknown_state_filters.push_back(state);
    return true;
  });
  const auto pattern = TransactionPattern::compile(request->transactional_id_pattern.value_or(""));
  if (!pattern) {
    response->error_code = wire::code_of(ErrorCode::kInvalidRegularExpression);
    return call.respond(*response);
  }
  // States that nobody knows match nothing.
  const bool no_state_is_known =
      request->state_filters.empty() && !response->unknown_state_filters.empty();
  auto waiting = std::make_shared<Call>(std::move(call));
  const TimestampMs wall = waiting->shard().clock().wall();
  const auto look = [&](const txn::Coordinator& coordinator) {
    if (no_state_is_known) return;
    for (auto& each : coordinator.list_transactions(*request, wall))
      if (pattern->matches(each.transactional_id))
        response->transaction_states.push_back(std::move(each));
  };
  waiting->node().transactions().host().read_all(look, waiting->shard(),
                                                 [waiting, response](ErrorCode code) {
                                                   if (code == ErrorCode::kNone)
                                                     return waiting->respond(*response);
                                                   wire::ListTransactionsResponse refused;
                                                   refused.error_code = wire::code_of(code);
                                                   waiting->respond(refused);
                                                 });
}

}  // namespace millrace::server
