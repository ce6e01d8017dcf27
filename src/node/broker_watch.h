// Notices brokers whose process is gone long before their sessions end (decisions, D7): the active
// controller keeps a connection to each unfenced broker. When one breaks and nobody listens at the
// address any more, and no heartbeat came since, the broker is fenced.
// Not here: sessions, and what fencing means (controller/brokers). A machine that vanishes without
// a word, or a network that swallows everything, is found by the session.
//
// A broker is judged only after a connection to it was there, this one or that of the quorum to the
// controller of the same process: an address that was never reached says nothing.
// Threads: shard 0.
#pragma once

#include <map>
#include <memory>

#include "node/controller_host.h"
#include "node/peer_link.h"

namespace millrace::node {

class BrokerWatch {
 public:
  BrokerWatch(env::Host& host, const config::NodeProperties& properties,
              ControllerHost& controller);

 private:
  struct Watched {
    BrokerEpoch epoch;
    env::Address address;
    std::shared_ptr<client::Link> link;
    bool was_reached = false;
    Instant lost_at;
  };

  void moved();
  void drop_others(const metadata::Image& image);
  void open(NodeId id);
  void ended(NodeId id, const client::Link* link);
  void report(NodeId id, const Watched& watched);

  env::Host* host_;
  NodeId self_;
  Duration timeout_;
  ControllerHost* controller_;
  std::map<NodeId, Watched> watched_;
  std::shared_ptr<const metadata::Image> seen_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

}  // namespace millrace::node
