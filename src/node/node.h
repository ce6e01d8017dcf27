// A node: broker, controller, or both in one process, as process.roles says. Opens the log
// directories and the metadata log, takes part in the quorum, registers, opens the partitions that
// the metadata gives it, and follows what is published from then on.
// Not here: connections and the protocol (server), process and signals (app), the quorum
// (node/raft_driver), the controller (node/controller_host), replication (node/partition_host).
//
// Life: open() before the shards run; start() on shard 0, which tells when clients may be served;
// leave() on shard 0; close() when the shards stand.
// Threads: image(), settings(), submit() and what else is const from any shard.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/properties.h"
#include "env/host.h"
#include "node/partition_host.h"
#include "node/published_image.h"

namespace millrace::node {

// Each has a header of its own, for those who use it: nearly everything sees this one.
class BrokerLifecycle;
class BrokerWatch;
class ClientQuotas;
struct BrokerIdentity;
class ControllerChannel;
class ControllerHost;
class DirectoryAssignments;
class GroupHost;
class LatestOffsets;
class Replication;
class SharePartitions;
class ShareStates;
class Transactions;
class VoterChanges;
class VoterMembership;
struct Command;

struct NodeOptions {
  std::vector<metadata::Endpoint>
      advertised;  // the broker's listeners, with the ports they really have
  metadata::Endpoint controller_endpoint;  // none without the controller's role
  std::string cluster_id;                  // empty: as formatted, else a new one
  // Told on shard 0 of what the node cannot go on without: all its log directories have failed, or
  // the one of the metadata.
  std::function<void(const Error&)> failed;
};

class Node {
 public:
  Node(env::Host& host, const config::NodeProperties& properties);
  ~Node();

  Result<> open(const NodeOptions& options);
  // `ready` runs once: what the metadata gives this node is open and the cluster sends clients
  // here; or why that will not be.
  using Ready = std::function<void(Result<>)>;
  void start(Ready ready);
  // Gives up what this node leads, and tells the cluster that it goes.
  void leave(std::function<void()> left);
  // After the last request: checkpoints, indexes, clean-shutdown markers.
  Result<> close();

  NodeId id() const { return id_; }
  const std::string& cluster_id() const { return cluster_id_; }
  // As the file says; and with what was changed while the cluster runs (KIP-226).
  const config::NodeProperties& properties() const { return *properties_; }
  std::shared_ptr<const config::NodeProperties> settings() const { return settings_.load(); }
  std::shared_ptr<const metadata::Image> image() const { return published_.load(); }
  PartitionHost& partitions() { return *partitions_; }
  // Why a partition of `topic` (null: there is none) is not found in partitions(): it does not
  // exist, another node leads it, or its log could not be opened here.
  wire::ErrorCode absence_of(const metadata::Topic* topic, PartitionIndex partition) const;
  GroupHost& groups() { return *groups_; }
  // Asserts the invariants of all that is coordinated here: for tests and simulations.
  void check_coordinators();
  // Of a broker.
  Transactions& transactions() { return *transactions_; }
  ShareStates& share_states() { return *share_states_; }
  SharePartitions& share_partitions() { return *share_partitions_; }
  LatestOffsets& latest_offsets() { return *latest_offsets_; }
  Replication& replication() { return *replication_; }
  ClientQuotas& client_quotas() { return *client_quotas_; }
  env::Host& host() { return *host_; }
  // Decisions of the controller, and the quorum, as far as they are this node's.
  ControllerHost& controller() { return *controller_; }
  bool is_active_controller() const;
  // The active controller, wherever it is. Shard 0.
  ControllerChannel& controller_channel() { return *channel_; }
  // Shard 0.
  VoterChanges& voter_changes() { return *voter_changes_; }
  int16_t kraft_version() const;
  BrokerEpoch broker_epoch() const;
  bool is_broker() const { return is_broker_; }

  // A decision of this node's controller; kNotController when it is not the active one.
  void submit(Command command);
  // The next free producer id; asks the controller for a block when the last one is used up.
  void next_producer_id(env::Shard& shard, std::move_only_function<void(Result<ProducerId>)> done);

 private:
  // Those of the block that the controller gave, and who waits for one. Shard 0.
  struct ProducerIds {
    struct Waiter {
      env::Shard* shard;
      std::move_only_function<void(Result<ProducerId>)> done;
    };
    ProducerId next{0};
    ProducerId end{0};
    std::deque<Waiter> waiters;
    bool asking = false;
  };

  Uuid fresh_uuid();
  Result<> open_log_directories(const NodeOptions& options);
  Result<std::string> agree_on_cluster_id(const NodeOptions& options);
  Result<std::unique_ptr<storage::LogDirectory>> open_directory(const std::string& path);
  void directory_failed(const Volume& volume);
  Result<> open_controller(const NodeOptions& options);
  bool has_role(std::string_view role) const;
  bool may_found() const;
  void tell_ready(Result<> how);
  void moved();
  BrokerIdentity identity(const NodeOptions& options) const;
  void make_voter_changes(const NodeOptions& options);
  void make_lifecycle(const NodeOptions& options);
  void make_replication();
  void make_transactions();
  void make_share_groups();
  void join();
  void register_controller();
  void publish(std::shared_ptr<const metadata::Image> image);
  void follow(const metadata::Image& before, const metadata::Image& after);
  bool follow_broker_configs(const metadata::Image& before, const metadata::Image& after);
  void take_settings(const metadata::Image& image);
  void close_vanished(const metadata::Image& before, const metadata::Image& after);
  void open_partitions(const metadata::Image& image, const metadata::Topic& topic);
  void expire_producers();
  void give_producer_ids();
  void every(Duration interval, std::function<void()> work);

  env::Host* host_;
  const config::NodeProperties* properties_;
  NodeId id_ = kNoNode;
  std::string cluster_id_;
  std::unique_ptr<storage::LogDirectory> metadata_directory_;  // when it is none of log.dirs
  // The partitions' disk threads load coordinators for these.
  std::unique_ptr<GroupHost> groups_;
  std::unique_ptr<Transactions> transactions_;
  std::unique_ptr<ShareStates> share_states_;
  std::unique_ptr<SharePartitions> share_partitions_;  // of a broker
  std::unique_ptr<LatestOffsets> latest_offsets_;      // of a broker
  std::unique_ptr<PartitionHost> partitions_;
  std::unique_ptr<ControllerHost> controller_;
  std::unique_ptr<ControllerChannel> channel_;
  std::unique_ptr<VoterChanges> voter_changes_;
  std::unique_ptr<VoterMembership> voter_membership_;  // of a controller
  std::unique_ptr<BrokerWatch> watch_;
  std::unique_ptr<DirectoryAssignments> directory_assignments_;  // of a broker
  std::unique_ptr<BrokerLifecycle> lifecycle_;                   // of a broker
  std::unique_ptr<Replication> replication_;                     // too
  NodeOptions options_;
  Ready ready_;
  std::unique_ptr<ClientQuotas> client_quotas_;
  Uuid controller_incarnation_;
  bool registering_controller_ = false;
  Published<metadata::Image> published_;
  Published<config::NodeProperties> settings_;
  bool is_broker_ = false;
  bool has_joined_ = false;
  bool serving_ = false;  // what is published is acted upon
  ProducerIds producer_ids_;
};

}  // namespace millrace::node
