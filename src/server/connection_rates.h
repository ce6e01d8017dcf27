// How many connections a second are let in (KIP-612): of each address, by the quotas of the
// metadata (connection_creation_rate); of the broker and of each of its listeners, by
// max.connection.creation.rate. As in Kafka, a listener that is over a rate lets nobody in until
// it has come down, and an address that is over its own has its connection held for as long, and
// closed. Nobody waits for more than a window.
// Not here: how many there are at a time (server/connection_quota).
// Cost: without a limit, the look-up of two configs and a pointer's comparison; nothing is
// remembered.
// Threads: any; the lock is held for a few additions.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "config/properties.h"
#include "metadata/client_quotas.h"
#include "quota/windows.h"
#include "server/ip_address.h"

namespace millrace::server {

class ConnectionRates {
 public:
  explicit ConnectionRates(const config::NodeProperties& properties);

  // A connection that has just come in. `quotas` as of the newest metadata.
  struct Arrival {
    std::string_view listener;
    std::string_view address;
    const config::NodeProperties& settings;
    std::shared_ptr<const metadata::ClientQuotas> quotas;
  };
  struct Verdict {
    Duration wait{};  // before it is served, or closed
    bool is_refused = false;
  };
  Verdict take(const Arrival& arrival, Instant now);

 private:
  using Millis = int64_t;
  struct Listener {
    explicit Listener(quota::Windows windows) : rate(windows) {}
    quota::Rate rate;
    Millis open_at = 0;  // until then it lets nobody in
  };

  void follow(const std::shared_ptr<const metadata::ClientQuotas>& quotas);
  Millis charge(quota::Rate& rate, double bound, Millis now) const;
  Millis wait_for_listener(const Arrival& arrival, Listener& listener, Millis at);
  std::optional<double> bound_of(const std::optional<IpAddress>& address) const;
  void forget_idle(Millis now);

  const quota::Windows windows_;
  const std::string inter_broker_listener_;
  const bool has_several_listeners_;
  std::mutex mutex_;
  std::shared_ptr<const metadata::ClientQuotas> followed_;
  std::map<IpAddress, double> bounds_;
  std::optional<double> default_bound_;
  quota::Rate broker_;
  std::map<std::string, Listener, std::less<>> listeners_;
  std::map<IpAddress, quota::Rate> addresses_;
};

}  // namespace millrace::server
