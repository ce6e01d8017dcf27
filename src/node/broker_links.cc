#include "node/broker_links.h"

namespace millrace::node {

std::shared_ptr<client::Link> BrokerLinks::to(NodeId broker) {
  if (!alive_) return nullptr;
  auto& link = links_[broker];
  if (link && !link->over()) return link;
  const metadata::Broker* known = parts_.image()->find_broker(broker);
  const auto address = known ? address_on(*known, parts_.listener) : std::nullopt;
  if (!address) {
    links_.erase(broker);
    return nullptr;
  }
  link = open_peer_link(*parts_.host, parts_.host->shard(0),
                        {.address = *address,
                         .client_id = parts_.client_id,
                         .connect_timeout = kConnectTimeout,
                         .request_timeout = parts_.request_timeout,
                         .owner = alive_});
  return link;
}

void BrokerLinks::close() {
  alive_.reset();
  links_.clear();
}

}  // namespace millrace::node
