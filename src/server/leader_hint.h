// Who leads a partition that was asked for at the wrong broker, and where: told beside the error,
// so that a client need not ask for metadata (KIP-951).
// Threads: those of the call.
#pragma once

#include <algorithm>
#include <vector>

#include "server/call.h"

namespace millrace::server {

// A partition as the request named it.
struct AskedPartition {
  const std::string& topic;
  const Uuid& topic_id;  // zero: the request has names
  int32_t index = 0;
};

template <class LeaderIdAndEpoch, class NodeEndpoint>
void hint_at_leader(const Call& call, const AskedPartition& asked, LeaderIdAndEpoch& leader,
                    std::vector<NodeEndpoint>& endpoints) {
  const auto image = call.node().image();
  const metadata::Topic* topic =
      asked.topic_id.is_zero() ? image->find_topic(asked.topic) : image->find_topic(asked.topic_id);
  if (!topic || asked.index < 0 || std::cmp_greater_equal(asked.index, topic->partitions.size()))
    return;
  const auto& partition = topic->partitions[static_cast<size_t>(asked.index)];
  leader.leader_id = partition.leader.value();
  leader.leader_epoch = partition.leader_epoch.value();
  const metadata::Broker* broker = image->find_broker(partition.leader);
  if (!broker ||
      std::ranges::find(endpoints, leader.leader_id, &NodeEndpoint::node_id) != endpoints.end())
    return;
  auto at =
      std::ranges::find(broker->endpoints, call.peer().listener, &metadata::Endpoint::listener);
  if (at == broker->endpoints.end()) return;
  endpoints.push_back(
      {.node_id = leader.leader_id, .host = at->host, .port = at->port, .rack = broker->rack});
}

}  // namespace millrace::server
