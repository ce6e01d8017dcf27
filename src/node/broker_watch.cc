#include "node/broker_watch.h"

#include <fmt/format.h>

#include "base/log.h"

namespace millrace::node {
namespace {

constexpr Duration kOpenAgain = milliseconds(20);

}  // namespace

BrokerWatch::BrokerWatch(env::Host& host, const config::NodeProperties& properties,
                         ControllerHost& controller)
    : host_(&host),
      self_(static_cast<int32_t>(properties.number("node.id"))),
      timeout_(milliseconds(properties.number("broker.session.timeout.ms"))),
      controller_(&controller) {
  controller.when_moved([this] { moved(); });
}

void BrokerWatch::moved() {
  if (!controller_->is_active()) {
    watched_.clear();
    seen_.reset();
    return;
  }
  const auto& image = controller_->driver().image();
  if (image == seen_) return;
  seen_ = image;
  drop_others(*image);
  for (const auto& [id, broker] : image->brokers()) {
    if (id == self_ || broker.fenced || broker.endpoints.empty() || watched_.contains(id)) continue;
    const metadata::Endpoint& at = broker.endpoints[0];
    watched_[id] = {
        .epoch = broker.epoch, .address = {at.host, at.port}, .link = {}, .lost_at = {}};
    open(id);
  }
}

// Who is fenced, unregistered or registered anew is watched no more, or from the beginning.
void BrokerWatch::drop_others(const metadata::Image& image) {
  std::erase_if(watched_, [&](const auto& each) {
    const metadata::Broker* broker = image.find_broker(each.first);
    return broker == nullptr || broker->fenced || broker->epoch != each.second.epoch;
  });
}

void BrokerWatch::open(NodeId id) {
  Watched& watched = watched_.at(id);
  watched.link = open_peer_link(*host_, host_->shard(0),
                                {.address = watched.address,
                                 .client_id = fmt::format("controller-{}-watch", self_),
                                 .connect_timeout = timeout_,
                                 .request_timeout = timeout_,
                                 .owner = alive_});
  watched.link->when_over([this, id, link = watched.link.get()](const Error&) { ended(id, link); });
}

void BrokerWatch::ended(NodeId id, const client::Link* link) {
  auto found = watched_.find(id);
  if (found == watched_.end() || found->second.link.get() != link) return;
  Watched& watched = found->second;
  const Instant now = controller_->driver().now().time;
  if (link->was_connected()) {
    watched.was_reached = true;
    watched.lost_at = now;
  } else if (!watched.was_reached && controller_->driver().is_gone(id)) {
    watched.lost_at = now;
    report(id, watched);
  } else if (watched.was_reached) {
    report(id, watched);
    watched.was_reached = false;
  }
  host_->shard(0).after(kOpenAgain, [this, id, link, weak = std::weak_ptr<void>(alive_)] {
    if (weak.expired()) return;
    if (auto again = watched_.find(id); again != watched_.end() && again->second.link.get() == link)
      open(id);
  });
}

void BrokerWatch::report(NodeId id, const Watched& watched) {
  LOG_INFO("broker {}: nobody listens at {} any more", id, watched.address.to_string());
  controller_->submit({.decide =
                           [id, epoch = watched.epoch,
                            since = watched.lost_at](controller::Controller& controller) {
                             return controller.decide_gone_broker(id, epoch, since);
                           },
                       .done = [](Result<>) {},
                       .shard = &host_->shard(0)});
}

}  // namespace millrace::node
