// Connections of this node to other nodes: a client::Link each, with what nodes have in common.
// Not here: which node, and what when it fails (whoever asks), the conversation
// (client/core/connection.h).
// Threads: those of the shard given.
#pragma once

#include <memory>
#include <string>

#include "client/link.h"
#include "config/properties.h"
#include "metadata/image.h"

namespace millrace::node {

struct PeerLinkOptions {
  env::Address address;
  std::string client_id;  // who asks: "raft-client-1", "broker-1-fetcher-0", ...
  Duration connect_timeout{};
  Duration request_timeout{};
  std::weak_ptr<void> owner;  // nothing is called back once it is gone
};

// Opens at once; calls may be submitted before it is ready.
std::shared_ptr<client::Link> open_peer_link(env::Host& host, env::Shard& shard,
                                             PeerLinkOptions options);

// `request`, in the newest of `versions` that the peer has too. Bytes that it points to
// (wire::Records) must live as long as the call.
template <class Request>
client::core::Call peer_call(Request request, wire::VersionRange versions, Duration timeout = {}) {
  return {.api = static_cast<wire::ApiKey>(Request::kApiKey),
          .versions = versions,
          .encode = [request = std::move(request)](
                        int16_t version) { return wire::encode(request, version); },
          .has_answer = true,
          .timeout = timeout};
}

// The name of the listener where brokers talk to each other.
std::string inter_broker_listener(const config::NodeProperties& properties);

// Where a broker is reached on a listener of this name; nothing: it has none.
std::optional<env::Address> address_on(const metadata::Broker& broker, std::string_view listener);

}  // namespace millrace::node
