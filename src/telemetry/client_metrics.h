// Client telemetry (KIP-714): which metrics which client shall push how often, whether a push may
// come now, and what was pushed, until its client has been silent for a while.
// Not here: OpenTelemetry's format (telemetry/otlp), the APIs (server/handlers), showing it
// (gateway/metrics).
//
// Inputs: the subscriptions (resources of client-metrics with their configs), requests with the
// time and who sends them. Outputs: the responses. As in Apache Kafka a client is asked again when
// the subscriptions have changed (UNKNOWN_SUBSCRIPTION_ID), a request too early is
// THROTTLING_QUOTA_EXCEEDED, none comes after one that says that it is the last (INVALID_REQUEST).
// Invariants: at most kMaxClients clients and kMaxSeriesBytes of series are kept; of what is more
// the client that is the first to be forgotten goes, and new series are left out.
// Threads: one caller at a time.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/uuid.h"
#include "config/client_match.h"
#include "config/definition.h"
#include "telemetry/otlp.h"
#include "wire/get_telemetry_subscriptions.h"
#include "wire/push_telemetry.h"

namespace millrace::telemetry {

// What subscriptions match by: "client_id", "client_software_name", ...
using ClientAttributes = std::map<std::string, std::string, std::less<>>;

struct Asker {
  ClientAttributes attributes;  // but for client_instance_id, which the request says
  Uuid fresh_id;                // random; what a client without an id is called from now on
};

// As a client told it last, or summed up since its first push.
struct Reading {
  double value = 0;
  bool is_counter = false;
};
struct Series {
  Labels labels;  // client_id and client_instance_id among them
  Reading reading;
};

struct Counts {
  size_t clients = 0;
  int64_t unknown_subscriptions = 0;
  int64_t throttled = 0;
  int64_t refused_pushes = 0;  // that could not be read
  int64_t series_left_out = 0;
};

class ClientMetrics {
 public:
  static constexpr size_t kMaxClients = 16'384;
  static constexpr size_t kMaxSeriesBytes = 64 << 20;

  explicit ClientMetrics(int32_t max_push_bytes) : max_push_bytes_(max_push_bytes) {}

  // By name; configs that were checked (config/rules).
  void subscribe(const std::map<std::string, config::Values>& subscriptions);
  wire::GetTelemetrySubscriptionsResponse get_subscriptions(
      const wire::GetTelemetrySubscriptionsRequest& request, const Asker& asker, Instant now);
  wire::PushTelemetryResponse push(const wire::PushTelemetryRequest& request, const Asker& asker,
                                   Instant now);

  // By the metric's name, as clients say it.
  std::map<std::string, std::vector<Series>> series(Instant now);
  Counts counts() const;

 private:
  struct Subscription {
    std::set<std::string> metrics;
    int32_t interval_ms = 0;
    std::vector<config::ClientMatch> match;
  };
  struct Client {
    ClientAttributes attributes;
    uint64_t version = 0;  // of the subscriptions that the rest follows from
    int32_t subscription_id = 0;
    std::set<std::string> metrics;
    int32_t interval_ms = 0;
    std::optional<Instant> asked, pushed;  // last
    bool is_ending = false;
    int16_t last_error = 0;
    Instant forgotten_at;
    std::map<std::pair<std::string, Labels>, Reading> series;  // by the metric's name, and labels
    size_t series_bytes = 0;
  };
  using Clients = std::map<Uuid, Client>;

  Client& client(const Uuid& id, const Asker& asker, Instant now);
  void subscribe(const Uuid& id, Client& client) const;
  static bool matches(const Subscription& subscription, const ClientAttributes& attributes);
  int16_t problem_with(const wire::PushTelemetryRequest& request, Client& client, Instant now);
  bool take(const wire::PushTelemetryRequest& request, Client& client);
  void keep(Sample sample, Client& client);
  void forget_silent(Instant now);
  void forget(Clients::iterator client);

  int32_t max_push_bytes_;
  std::map<std::string, Subscription> subscriptions_;
  uint64_t version_ = 1;
  Clients clients_;
  std::set<std::pair<Instant, Uuid>> by_end_;  // of clients_
  size_t series_bytes_ = 0;                    // of all clients
  Counts counts_;
};

}  // namespace millrace::telemetry
