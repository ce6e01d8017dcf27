// The records of __transaction_state: to bytes, and from them. Internal to txn/.
// Versions: value 0 under transaction.version 0, else 1 (docs/format/transactions.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "machine/replicated.h"
#include "txn/transaction.h"

namespace millrace::txn {

using machine::KeyValueRecord;

KeyValueRecord transaction_record(std::string_view transactional_id, const Transaction& transaction,
                                  TransactionVersion version);
KeyValueRecord transaction_tombstone(std::string_view transactional_id);

struct TransactionRecord {
  std::string transactional_id;
  std::optional<Transaction> transaction;  // none: a tombstone
};
// Nothing: a record of a type that nobody knows yet. kCorrupt: a state that is never written.
Result<std::optional<TransactionRecord>> parse_record(const KeyValueRecord& record);

}  // namespace millrace::txn
