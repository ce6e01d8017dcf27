// What decisions about partitions read: the image and its index, and what follows from them: who is
// active, what a topic's configs mean to the controller, which features are on.
// Not here: decisions.
// Ownership: image and properties outlive the view. Threads: as the controller's.
#pragma once

#include <optional>
#include <string>

#include "config/properties.h"
#include "metadata/image.h"

namespace millrace::controller {

class ClusterView {
 public:
  ClusterView(metadata::Image& image, const config::NodeProperties& properties)
      : image_(&image), properties_(&properties) {}

  const metadata::Image& image() const { return *image_; }
  const metadata::PartitionIndex& index() const { return image_->index(); }
  const config::NodeProperties& properties() const { return *properties_; }

  // Neither fenced nor on its way out.
  bool is_active(NodeId id) const;
  bool has_online(NodeId id, const Uuid& directory) const;
  // Of a replica that is new to the broker: its only one, or the broker will say.
  Uuid default_directory(NodeId id) const;
  // The broker, if that is the epoch it has.
  const metadata::Broker* find_broker(NodeId id, BrokerEpoch epoch) const;
  bool keeps_elr() const;  // KIP-966
  // min.insync.replicas as configured.
  size_t min_isr(const metadata::Topic& topic) const;
  bool allows_unclean_election(const metadata::Topic& topic) const;
  // The topic's, this node's, the cluster's, the properties': the first that says.
  std::string topic_config(const std::string& topic, const char* name) const;

 private:
  metadata::Image* image_;
  const config::NodeProperties* properties_;
};

}  // namespace millrace::controller
