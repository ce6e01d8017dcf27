#include "node/peer_link.h"

namespace millrace::node {

std::shared_ptr<client::Link> open_peer_link(env::Host& host, env::Shard& shard,
                                             PeerLinkOptions options) {
  auto link = std::make_shared<client::Link>(
      shard, client::LinkOptions{.connection = {.client_id = std::move(options.client_id)},
                                 .address = std::move(options.address),
                                 .connect_timeout = options.connect_timeout,
                                 .request_timeout = options.request_timeout,
                                 .owner = std::move(options.owner)});
  link->open(host);
  return link;
}

std::string inter_broker_listener(const config::NodeProperties& properties) {
  const std::string named = properties.text("inter.broker.listener.name");
  return named.empty() ? properties.text("security.inter.broker.protocol") : named;
}

std::optional<env::Address> address_on(const metadata::Broker& broker, std::string_view listener) {
  for (const metadata::Endpoint& endpoint : broker.endpoints)
    if (endpoint.listener == listener) return env::Address{endpoint.host, endpoint.port};
  return std::nullopt;
}

}  // namespace millrace::node
