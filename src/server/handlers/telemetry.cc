// The APIs of client telemetry (KIP-714): GetTelemetrySubscriptions, PushTelemetry. Served, and
// advertised, where there is a page of metrics that shows what comes of them (gateway/gateway);
// Apache Kafka serves them where a plug-in takes the metrics.
#include "server/client_telemetry.h"
#include "server/handlers/handlers.h"

namespace millrace::server {

void handle_get_telemetry_subscriptions(Call call) {
  auto request = call.decode<wire::GetTelemetrySubscriptionsRequest>();
  if (!request) return;
  call.respond(call.services().telemetry->get_subscriptions(call, *request));
}

void handle_push_telemetry(Call call) {
  auto request = call.decode<wire::PushTelemetryRequest>();
  if (!request) return;
  call.respond(call.services().telemetry->push(call, *request));
}

}  // namespace millrace::server
