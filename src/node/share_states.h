// What a broker has for the state of share partitions, put together: the coordinators of those that
// are this node's, and the way to all of them.
// Not here: each of them (their own headers).
// Threads: any shard; follow() and close() on shard 0.
#pragma once

#include "config/properties.h"
#include "node/partition_share_states.h"
#include "node/share_state_persister.h"

namespace millrace::node {

class ControllerChannel;

class ShareStates {
 public:
  struct Parts {
    env::Host* host = nullptr;
    PartitionHost* partitions = nullptr;
    ControllerChannel* channel = nullptr;
    const config::NodeProperties* properties = nullptr;
    NodeId self = kNoNode;
    std::function<std::shared_ptr<const metadata::Image>()> image;
  };
  explicit ShareStates(const Parts& parts);

  ShareStateHost& host() { return host_; }
  SharePersister& persister() { return persister_; }

  void follow(const metadata::Image& before, const metadata::Image& after) {
    host_.follow(before, after);
  }
  void close() { links_.close(); }

 private:
  void create_topic();

  ControllerChannel* channel_;
  const config::NodeProperties* properties_;
  bool creating_ = false;
  BrokerLinks links_;
  ShareStateHost host_;
  ShareStatePersister persister_;
};

}  // namespace millrace::node
