#include "server/connection_quota.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "config/rules.h"

namespace millrace::server {

ConnectionQuotaLimits ConnectionQuotaLimits::of(const config::NodeProperties& settings) {
  ConnectionQuotaLimits limits{
      .all = static_cast<size_t>(settings.number("max.connections")),
      .per_address = static_cast<size_t>(settings.number("max.connections.per.ip"))};
  if (auto overrides =
          config::parse_connection_overrides(settings.text("max.connections.per.ip.overrides")))
    limits.overrides = std::move(*overrides);
  return limits;
}

std::optional<std::string> ConnectionQuota::take(const std::string& address,
                                                 const ConnectionQuotaLimits& limits) {
  auto override = limits.overrides.find(address);
  const bool overridden = override != limits.overrides.end();
  const size_t most = overridden ? override->second : limits.per_address;
  std::lock_guard lock(mutex_);
  if (all_ >= limits.all) return fmt::format("max.connections={} is reached", limits.all);
  if (most == 0 || (by_address_.contains(address) && by_address_.at(address) >= most))
    return fmt::format("max.connections.per.ip{}={} is reached for {}",
                       overridden ? ".overrides" : "", most, address);
  ++all_;
  ++by_address_[address];
  return std::nullopt;
}

void ConnectionQuota::give_back(const std::string& address) {
  std::lock_guard lock(mutex_);
  auto found = by_address_.find(address);
  ASSERT(found != by_address_.end(), "a connection from {} was not counted", address);
  --all_;
  if (--found->second == 0) by_address_.erase(found);
}

size_t ConnectionQuota::count() const {
  std::lock_guard lock(mutex_);
  return all_;
}

}  // namespace millrace::server
