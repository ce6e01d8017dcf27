// Client telemetry of the whole broker: the one ClientMetrics that all shards share, with the
// subscriptions of the metadata.
// Not here: what subscriptions and pushes come to (telemetry/client_metrics).
// Threads: any.
#pragma once

#include <atomic>
#include <mutex>

#include "server/call.h"
#include "telemetry/client_metrics.h"

namespace millrace::server {

class ClientTelemetry {
 public:
  explicit ClientTelemetry(const node::Node& node);

  // From now on somebody may look at what is taken: until then the APIs are not served.
  void open() { is_open_ = true; }
  bool is_open() const { return is_open_; }

  wire::GetTelemetrySubscriptionsResponse get_subscriptions(
      const Call& call, const wire::GetTelemetrySubscriptionsRequest& request);
  wire::PushTelemetryResponse push(const Call& call, const wire::PushTelemetryRequest& request);

  struct View {
    std::map<std::string, std::vector<telemetry::Series>> series;  // by the metric's name
    telemetry::Counts counts;
  };
  View view(Instant now);

 private:
  using Subscriptions = std::map<std::string, config::Values>;
  void follow_metadata();

  const node::Node* node_;
  std::atomic<bool> is_open_ = false;
  std::mutex mutex_;
  // Under the mutex:
  telemetry::ClientMetrics metrics_;
  Offset followed_{-1};
  Subscriptions subscriptions_;
};

}  // namespace millrace::server
