// The kinds of PartitionCoordinators (node/partition_coordinators.h).
#pragma once

#include "group/coordinator.h"
#include "txn/coordinator.h"

namespace millrace::node {

struct GroupKind {
  using Machine = group::Coordinator;
  using Config = group::GroupConfig;
  using Decision = group::Decision;
  using Response = group::Response;
  static constexpr const char* kTopic = "__consumer_offsets";
};

struct TransactionKind {
  using Machine = txn::Coordinator;
  using Config = txn::TxnConfig;
  using Decision = txn::Decision;
  using Response = txn::Response;
  static constexpr const char* kTopic = "__transaction_state";
};

}  // namespace millrace::node
