// Whether handlers ask a transaction's coordinator at all.
// Not here: asking (node/transaction_verifier).
#pragma once

#include "server/call.h"

namespace millrace::server {

// Whether a partition takes a transaction's records only when its coordinator was asked.
inline bool verifies_transactions(const Call& call) {
  return call.node().settings()->flag("transaction.partition.verification.enable");
}

}  // namespace millrace::server
