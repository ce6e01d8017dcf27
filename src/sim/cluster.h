// The nodes of a cluster, each on a medium of its own, life after life: brokers that are voters,
// brokers alone, controllers alone.
// Not here: one node's lives (sim/broker), what goes wrong (sim/cluster_faults).
//
// Nodes are named n1, n2, ... by their ids. Combined: the first `voters` brokers are voters too;
// apart: brokers come first, then as many controllers as there are voters. A dynamic quorum is
// formatted with its first voters, each of which knows them.
// Threads: one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "raft/types.h"
#include "sim/broker.h"

namespace millrace::sim {

struct ClusterOptions {
  int brokers = 3;
  int voters = 3;        // nodes that are, or in a dynamic quorum may become, voters
  int first_voters = 0;  // of a dynamic quorum (KIP-853); 0: it is static
  bool controllers_apart = false;
  int log_directories = 1;      // of each broker, every one a disk of its own
  bool metadata_apart = false;  // on a directory of its own, which a wiped disk leaves
  config::Values properties;    // of every node
  HostOptions host;             // but for the name
};

class Cluster {
 public:
  static constexpr const char* kMetadataDirectory = "/metadata";
  static constexpr const char* kClusterId = "c2ltdWxhdGVkLWNsdXN0ZQ";

  struct Node {
    Node(Network& network, NodeId id, const ClusterOptions& options, const Cluster& cluster);
    bool can_be_asked() { return broker.is_running() && !broker.host().is_silent(); }
    // Of its replica of the partition: as the broker says, or where one would find it. Empty: it
    // has none.
    std::string directory_of(const TopicPartition& partition);
    NodeId id;
    bool is_broker, is_voter;  // the latter: or may become one
    std::string name;
    std::vector<std::string> log_directories;
    std::string metadata_directory;  // of the metadata log
    Medium medium;
    Broker broker;
  };

  Cluster(Network& network, const ClusterOptions& options);

  size_t size() const { return nodes_.size(); }
  Node& node(size_t index) { return *nodes_[index]; }
  Node* find(NodeId id);
  const std::vector<std::unique_ptr<Node>>& nodes() const { return nodes_; }
  std::vector<env::Address> bootstrap() const;
  // All that may be voters of a dynamic quorum, each with the directory that it was formatted with.
  raft::VoterSet candidates() const;
  int lives() const;
  // Null: there is none, as far as the nodes know.
  Node* active_controller() const;
  // The newest image that any running node has published; null: none runs.
  std::shared_ptr<const metadata::Image> newest_image() const;

 private:
  bool is_broker(NodeId id) const { return id.value() <= options_.brokers; }
  bool is_voter(NodeId id) const;
  void format(Node& node) const;
  config::Values properties_of(NodeId id) const;

  ClusterOptions options_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace millrace::sim
