// A node: broker and controller in one process, a quorum of one. Opens the log directories, replays
// the metadata, leads it, registers its broker, opens the partitions; then takes decisions of the
// controller one after the other and publishes what they change.
// Not here: connections and the protocol (server), process and signals (app).
//
// Controller: lives on shard 0 (node/controller_host). submit() from any shard: decide, append,
// sync on the disk thread, publish the image, then answer on the caller's shard. Nothing is
// answered before it is durable.
// Threads: image() from any; start() and close() before and after the shards run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/properties.h"
#include "env/host.h"
#include "node/partition_host.h"
#include "node/published_image.h"

namespace millrace::group {
struct DeletedTopic;
}

namespace millrace::node {

// Each has a header of its own, for those who use it: nearly everything sees this one.
class BrokerLifecycle;
struct BrokerIdentity;
class ControllerHost;
class GroupHost;
struct Command;

struct NodeOptions {
  std::vector<metadata::Endpoint>
      advertised;  // the broker's listeners, with the ports they really have
  metadata::Endpoint controller_endpoint;
  std::string cluster_id;  // empty: as formatted, else a new one
};

class Node {
 public:
  Node(env::Host& host, const config::NodeProperties& properties);
  ~Node();

  Result<> start(const NodeOptions& options);
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
  env::Host& host() { return *host_; }
  // Decisions of the controller, and the quorum that it leads.
  ControllerHost& controller() { return *controller_; }
  int16_t kraft_version() const;
  BrokerEpoch broker_epoch() const;
  // How many records of the metadata log are committed here.
  Offset metadata_end() const;

  void submit(Command command);
  // The next free producer id; asks the controller for a block when the last one is used up.
  void next_producer_id(env::Shard& shard, std::move_only_function<void(Result<ProducerId>)> done);

 private:
  Uuid fresh_uuid();
  Result<> open_log_directories(const NodeOptions& options);
  Result<std::string> agree_on_cluster_id(const NodeOptions& options);
  Result<std::unique_ptr<storage::LogDirectory>> open_directory(const std::string& path);
  Result<> open_controller(const NodeOptions& options);
  Result<> register_controller(const NodeOptions& options);
  BrokerIdentity identity(const NodeOptions& options) const;
  void publish(std::shared_ptr<const metadata::Image> image);
  void follow(const metadata::Image& before, const metadata::Image& after);
  bool follow_broker_configs(const metadata::Image& before, const metadata::Image& after);
  void take_settings(const metadata::Image& image);
  std::vector<group::DeletedTopic> close_vanished(const metadata::Image& before,
                                                  const metadata::Image& after);
  void open_partitions(const metadata::Image& image, const metadata::Topic& topic);
  void expire_producers();
  int32_t partition_count(std::string_view topic_name) const;
  void every(Duration interval, std::function<void()> work);

  env::Host* host_;
  const config::NodeProperties* properties_;
  NodeId id_ = kNoNode;
  std::string cluster_id_;
  std::unique_ptr<storage::LogDirectory> metadata_directory_;  // when it is none of log.dirs
  std::unique_ptr<PartitionHost> partitions_;
  std::unique_ptr<GroupHost> groups_;
  std::unique_ptr<ControllerHost> controller_;
  std::unique_ptr<BrokerLifecycle> lifecycle_;
  Published<metadata::Image> published_;
  Published<config::NodeProperties> settings_;
  bool serving_ = false;  // what is published is acted upon
  ProducerId next_producer_id_{0};
  ProducerId producer_ids_end_{0};
};

}  // namespace millrace::node
