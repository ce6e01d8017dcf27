// The transactions of a scripted cluster, by the protocol that the test says: one producer, which
// is right in all that it asks.
#pragma once

#include <vector>

#include "wire/add_partitions_to_txn.h"
#include "wire/end_txn.h"
#include "wire/init_producer_id.h"
#include "wire/txn_offset_commit.h"

namespace millrace::client::testing {

class ScriptedTransactions {
 public:
  int16_t version = 2;          // the level of transaction.version
  std::vector<bool> decisions;  // each once, however often it was asked for
  int64_t offset = -1;          // the last that was committed with one

  wire::InitProducerIdResponse identify(int64_t fresh_id) {
    if (id_ < 0) id_ = fresh_id;
    return {.producer_id = id_, .producer_epoch = ++epoch_};
  }

  static wire::AddPartitionsToTxnResponse add(const wire::AddPartitionsToTxnRequest& request) {
    wire::AddPartitionsToTxnResponse response;
    for (const auto& topic : request.v3_and_below_topics) {
      auto& results = response.results_by_topic_v3_and_below.emplace_back();
      results.name = topic.name;
      for (int32_t index : topic.partitions)
        results.results_by_partition.push_back({.partition_index = index});
    }
    return response;
  }

  wire::TxnOffsetCommitResponse commit(const wire::TxnOffsetCommitRequest& request) {
    wire::TxnOffsetCommitResponse response;
    for (const auto& topic : request.topics) {
      auto& results = response.topics.emplace_back();
      results.name = topic.name;
      for (const auto& each : topic.partitions) {
        offset = each.committed_offset;
        results.partitions.push_back({.partition_index = each.partition_index});
      }
    }
    return response;
  }

  wire::EndTxnResponse end(const wire::EndTxnRequest& request) {
    if (version < 2) {
      decisions.push_back(request.committed);
      return {};
    }
    if (request.producer_epoch == epoch_) {
      decisions.push_back(request.committed);
      ++epoch_;
    }
    return {.producer_id = id_, .producer_epoch = epoch_};
  }

 private:
  int64_t id_ = -1;
  int16_t epoch_ = -1;
};

}  // namespace millrace::client::testing
