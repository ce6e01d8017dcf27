#include "server/client_telemetry.h"

#include "env/random_uuid.h"
#include "metadata/image.h"

namespace millrace::server {
namespace {

// A client that told neither has neither.
void add_software(const PeerInfo& peer, telemetry::ClientAttributes& attributes) {
  const size_t blank = peer.client_software.find(' ');
  if (blank == std::string::npos) return;
  attributes["client_software_name"] = peer.client_software.substr(0, blank);
  attributes["client_software_version"] = peer.client_software.substr(blank + 1);
}

telemetry::Asker asker_of(const Call& call) {
  const PeerInfo& peer = call.peer();
  telemetry::Asker asker;
  asker.attributes = {{"client_id", call.header().client_id},
                      {"client_source_address", peer.host},
                      {"client_source_port", peer.address.substr(peer.address.rfind(':') + 1)}};
  add_software(peer, asker.attributes);
  asker.fresh_id = env::random_uuid(call.shard().random());
  return asker;
}

}  // namespace

ClientTelemetry::ClientTelemetry(const node::Node& node)
    : node_(&node),
      metrics_(static_cast<int32_t>(node.properties().number("telemetry.max.bytes"))) {}

void ClientTelemetry::follow_metadata() {
  const auto image = node_->image();
  if (image->last_offset() == followed_) return;
  followed_ = image->last_offset();
  Subscriptions now;
  for (const auto& [resource, configs] : image->all_configs())
    if (resource.type == metadata::ConfigResourceType::kClientMetrics && !configs.empty())
      now[resource.name] = configs;
  if (now == subscriptions_) return;
  subscriptions_ = std::move(now);
  metrics_.subscribe(subscriptions_);
}

wire::GetTelemetrySubscriptionsResponse ClientTelemetry::get_subscriptions(
    const Call& call, const wire::GetTelemetrySubscriptionsRequest& request) {
  std::lock_guard lock(mutex_);
  follow_metadata();
  return metrics_.get_subscriptions(request, asker_of(call), call.shard().clock().now());
}

wire::PushTelemetryResponse ClientTelemetry::push(const Call& call,
                                                  const wire::PushTelemetryRequest& request) {
  std::lock_guard lock(mutex_);
  follow_metadata();
  return metrics_.push(request, asker_of(call), call.shard().clock().now());
}

ClientTelemetry::View ClientTelemetry::view(Instant now) {
  std::lock_guard lock(mutex_);
  return {.series = metrics_.series(now), .counts = metrics_.counts()};
}

}  // namespace millrace::server
