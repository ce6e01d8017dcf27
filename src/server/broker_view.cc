#include "server/broker_view.h"

#include <algorithm>

#include "metadata/directory_id.h"

namespace millrace::server {

const metadata::Endpoint* endpoint_on(const metadata::Broker& broker, std::string_view listener) {
  const auto found = std::ranges::find(broker.endpoints, listener, &metadata::Endpoint::listener);
  return found == broker.endpoints.end() ? nullptr : &*found;
}

bool BrokerView::is_reachable(NodeId id) const {
  const metadata::Broker* broker = image_->find_broker(id);
  return broker != nullptr && endpoint_on(*broker, listener_) != nullptr;
}

wire::ErrorCode BrokerView::leader_error(const metadata::PartitionState& partition) const {
  if (image_->find_broker(partition.leader) == nullptr) return wire::ErrorCode::kLeaderNotAvailable;
  return is_reachable(partition.leader) ? wire::ErrorCode::kNone
                                        : wire::ErrorCode::kListenerNotFound;
}

bool BrokerView::is_offline(const metadata::PartitionState& partition, size_t replica) const {
  const metadata::Broker* broker = image_->find_broker(partition.replicas[replica]);
  if (broker == nullptr || broker->fenced || endpoint_on(*broker, listener_) == nullptr)
    return true;
  return replica < partition.directories.size() &&
         !metadata::is_online_directory(partition.directories[replica], broker->log_dirs);
}

std::vector<int32_t> BrokerView::offline_replicas(const metadata::PartitionState& partition) const {
  std::vector<int32_t> offline;
  for (size_t i = 0; i < partition.replicas.size(); ++i)
    if (is_offline(partition, i)) offline.push_back(partition.replicas[i].value());
  return offline;
}

int32_t BrokerView::some_alive_broker(uint64_t random) const {
  std::vector<int32_t> alive;
  for (const auto& [id, broker] : image_->brokers())
    if (!broker.fenced) alive.push_back(id.value());
  return alive.empty() ? kNoNode.value() : alive[random % alive.size()];
}

}  // namespace millrace::server
