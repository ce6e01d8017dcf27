// How many connections the broker has, in all and from each address, held against max.connections,
// max.connections.per.ip and its overrides (KIP-402, KIP-612 without rates).
// Not here: accepting and closing (server/server).
// Threads: any, since connections of one address are on all shards; the lock is held for a look-up.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "config/properties.h"

namespace millrace::server {

struct ConnectionQuotaLimits {
  size_t all = SIZE_MAX;
  size_t per_address = SIZE_MAX;
  std::map<std::string, size_t> overrides;  // of some addresses

  // As they are set now.
  static ConnectionQuotaLimits of(const config::NodeProperties& settings);
};

class ConnectionQuota {
 public:
  // Counts one more connection from `address`, or says which limit forbids it.
  std::optional<std::string> take(const std::string& address, const ConnectionQuotaLimits& limits);
  void give_back(const std::string& address);
  size_t count() const;

 private:
  mutable std::mutex mutex_;
  size_t all_ = 0;
  std::unordered_map<std::string, size_t> by_address_;
};

}  // namespace millrace::server
