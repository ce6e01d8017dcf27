// The kinds of PartitionCoordinators (node/partition_coordinators.h).
#pragma once

#include "group/coordinator.h"
#include "share/share_coordinator.h"
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

struct ShareStateKind {
  using Machine = share::ShareCoordinator;
  using Config = share::CoordinatorConfig;
  using Decision = share::Decision;
  using Response = share::Response;
  static constexpr const char* kTopic = "__share_group_state";
};

}  // namespace millrace::node
