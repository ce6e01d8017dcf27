#include "controller/cluster_view.h"

#include <cstdlib>

#include "metadata/directory_id.h"
#include "metadata/features.h"

namespace millrace::controller {

using metadata::ConfigResourceType;

bool ClusterView::is_active(NodeId id) const {
  const metadata::Broker* broker = image_->find_broker(id);
  return broker && !broker->fenced && !broker->in_controlled_shutdown;
}

bool ClusterView::has_online(NodeId id, const Uuid& directory) const {
  const metadata::Broker* broker = image_->find_broker(id);
  return broker && metadata::is_online_directory(directory, broker->log_dirs);
}

Uuid ClusterView::default_directory(NodeId id) const {
  const metadata::Broker* broker = image_->find_broker(id);
  if (broker == nullptr || broker->log_dirs.size() > 1) return metadata::kUnassignedDirectory;
  return broker->log_dirs.empty() ? metadata::kMigratingDirectory : broker->log_dirs.front();
}

const metadata::Broker* ClusterView::find_broker(NodeId id, BrokerEpoch epoch) const {
  const metadata::Broker* broker = image_->find_broker(id);
  return broker && broker->epoch == epoch ? broker : nullptr;
}

bool ClusterView::keeps_elr() const { return image_->features().contains(metadata::kElrVersion); }

std::string ClusterView::topic_config(const std::string& topic, const char* name) const {
  for (const auto& resource :
       {metadata::ConfigResource{ConfigResourceType::kTopic, topic},
        metadata::ConfigResource{ConfigResourceType::kBroker, properties_->text("node.id")},
        metadata::ConfigResource{ConfigResourceType::kBroker, ""}}) {
    const auto& configs = image_->configs(resource);
    if (auto found = configs.find(name); found != configs.end()) return found->second;
  }
  return properties_->text(name);
}

size_t ClusterView::min_isr(const metadata::Topic& topic) const {
  const long wanted =
      std::strtol(topic_config(topic.name, "min.insync.replicas").c_str(), nullptr, 10);
  return wanted > 0 ? static_cast<size_t>(wanted) : 1;
}

bool ClusterView::allows_unclean_election(const metadata::Topic& topic) const {
  return topic_config(topic.name, "unclean.leader.election.enable") == "true";
}

}  // namespace millrace::controller
