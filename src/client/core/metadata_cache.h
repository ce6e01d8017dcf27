// What a client knows of the cluster: brokers, topics by name and id, leaders of partitions. Filled
// from Metadata responses; a topic that a response does not name stays as it was.
// Not here: asking for it (client/client.h), when to ask again (whoever meets a leader error).
// Threads: a value; one caller at a time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "wire/errors.h"
#include "wire/metadata.h"

namespace millrace::client::core {

struct BrokerAddress {
  std::string host;
  uint16_t port = 0;
  friend bool operator==(const BrokerAddress&, const BrokerAddress&) = default;
};

struct PartitionInfo {
  NodeId leader = kNoNode;
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
  std::vector<int32_t> replicas;
  std::vector<int32_t> isr;
  std::vector<int32_t> offline;
};

struct TopicInfo {
  std::string name;
  Uuid id;
  bool internal = false;
  wire::ErrorCode error = wire::ErrorCode::kNone;
  std::map<PartitionIndex, PartitionInfo> partitions;
};

// The answer of FindCoordinator for one group.
struct FoundCoordinator {
  NodeId node = kNoNode;
  int16_t error = 0;
  std::optional<std::string> message;
};

class MetadataCache {
 public:
  // Takes in a response. A port out of range, or a topic without a name, is left out.
  void update(const wire::MetadataResponse& response);

  // A broker that another response tells of.
  void note_broker(NodeId node, const std::string& host, int32_t port);

  const std::map<NodeId, BrokerAddress>& brokers() const { return brokers_; }
  const std::map<std::string, TopicInfo>& topics() const { return topics_; }
  const TopicInfo* topic(const std::string& name) const;  // null: never heard of, or not there
  const TopicInfo* topic(const Uuid& id) const;
  // Of those that are known and there.
  std::map<Uuid, std::string> names_of(const std::set<Uuid>& ids) const;
  // Nothing: the topic or the partition is not known, or has no leader now.
  std::optional<NodeId> leader(const TopicPartition& partition) const;
  // Whether a client should look again before it uses what it knows.
  static bool is_stale_after(wire::ErrorCode error);

 private:
  std::map<NodeId, BrokerAddress> brokers_;
  std::map<std::string, TopicInfo> topics_;
};

}  // namespace millrace::client::core
