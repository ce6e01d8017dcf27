// What of a broker's configuration the transaction coordinator acts on.
// Not here: parsing (config/), the topic __transaction_state and its own configs (node/).
#pragma once

#include <cstdint>

#include "base/time.h"

namespace millrace::txn {

// Defaults are Kafka's. The comment is the name in server.properties.
struct TxnConfig {
  int32_t max_timeout_ms = 900'000;               // transaction.max.timeout.ms
  milliseconds id_expiration = seconds(604'800);  // transactional.id.expiration.ms
  // transaction.remove.expired.transaction.cleanup.interval.ms
  Duration id_expiration_check_interval = seconds(3600);
};

}  // namespace millrace::txn
