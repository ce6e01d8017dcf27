// Tells the controller in which log directory this broker's replicas lie, where the metadata say
// another one (KIP-858): after a disk was replaced its directory has another id, and a replica in a
// directory that nobody knows may not lead.
// Not here: where a log is put (node/partition_host), what the controller makes of it (controller).
// Threads: shard 0. Ownership: the parts outlive this.
#pragma once

#include <functional>
#include <memory>
#include <set>

#include "node/controller_channel.h"
#include "node/partition_host.h"

namespace millrace::node {

class DirectoryAssignments {
 public:
  struct Parts {
    NodeId self = kNoNode;
    env::Shard* shard = nullptr;
    const PartitionHost* partitions = nullptr;
    ControllerChannel* channel = nullptr;
    std::function<std::shared_ptr<const metadata::Image>()> image;
    std::function<BrokerEpoch()> broker_epoch;
  };
  explicit DirectoryAssignments(Parts parts) : parts_(std::move(parts)) {}

  // What the metadata say of the topic, or where its replicas lie, is not what it was. Looked at
  // in a moment, and again until both say the same.
  void changed(const Uuid& topic_id);

 private:
  void look_after(Duration pause);
  void look();
  // Forgets the topics of which nothing differs.
  wire::AssignReplicasToDirsRequest take_wanted();
  bool add_wanted(const metadata::Topic& topic, wire::AssignReplicasToDirsRequest& request) const;

  Parts parts_;
  std::set<Uuid> topics_;
  bool looks_again_ = false;  // a look or an answer is on its way
};

// The directory that the metadata give this node's replica; nothing: it has none there.
std::optional<Uuid> assigned_directory(const metadata::PartitionState& state, NodeId node);

}  // namespace millrace::node
