// A node: broker and controller in one process, a quorum of one. Opens the log directories, replays
// the metadata, leads it, registers its broker, opens the partitions; then takes decisions of the
// controller one after the other and publishes what they change. Not here: connections and the
// protocol (server), process and signals (app).
//
// Controller: lives on shard 0. submit() from any shard: decide, append, sync on the disk thread,
// publish the image, then
//   answer on the caller's shard. Nothing is answered before it is durable.
// Threads: image() from any; start() and close() before and after the shards run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/properties.h"
#include "controller/controller.h"
#include "env/host.h"
#include "node/metadata_log.h"
#include "node/partition_groups.h"
#include "node/partition_host.h"
#include "node/published_image.h"

namespace millrace::node {

struct NodeOptions {
  std::vector<metadata::Endpoint>
      advertised;  // the broker's listeners, with the ports they really have
  metadata::Endpoint controller_endpoint;
  std::string cluster_id;  // empty: as formatted, else a new one
};

// What a decision wants: records to commit, and what to do when they are (or could not be).
struct Command {
  std::function<controller::Records(controller::Controller&)> decide;  // on shard 0
  std::move_only_function<void(Result<>)> done;  // on `shard`, durable and published
  env::Shard* shard = nullptr;
};

// The quorum of the metadata log as DescribeQuorum tells it: this node, alone.
struct QuorumState {
  Voter self;
  LeaderEpoch epoch;
  Offset log_end;
  Offset high_watermark;
};

class Node {
 public:
  Node(env::Host& host, const config::NodeProperties& properties)
      : host_(&host), properties_(&properties) {
    published_.store(std::make_shared<metadata::Image>());
    settings_.store(std::make_shared<config::NodeProperties>(properties));
  }

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
  GroupHost& groups() { return *groups_; }
  env::Host& host() { return *host_; }
  LeaderEpoch controller_epoch() const { return metadata_log_->epoch(); }
  BrokerEpoch broker_epoch() const { return broker_epoch_; }
  // How many records of the metadata log are committed here.
  Offset metadata_end() const { return metadata_log_->log_end(); }

  QuorumState quorum() const;  // on shard 0

  void submit(Command command);
  // The next free producer id; asks the controller for a block when the last one is used up.
  void next_producer_id(env::Shard& shard, std::move_only_function<void(Result<ProducerId>)> done);
  Uuid random_uuid();  // on shard 0

 private:
  // A decision on its way to the medium.
  struct Commit {
    std::shared_ptr<const metadata::Image> image;
    storage::Unsynced unsynced;
    Command command;
    Result<> synced;
  };
  Result<> open_log_directories(const NodeOptions& options);
  Result<std::string> agree_on_cluster_id(const std::vector<std::string>& paths,
                                          const NodeOptions& options);
  Result<> register_broker(const NodeOptions& options);
  void run_command(Command command);
  void committed(Commit commit);
  void follow(const metadata::Image& before, const metadata::Image& after);
  bool follow_broker_configs(const metadata::Image& before, const metadata::Image& after);
  void take_settings(const metadata::Image& image);
  std::vector<group::DeletedTopic> close_vanished(const metadata::Image& before,
                                                  const metadata::Image& after);
  void open_partitions(const metadata::Image& image, const metadata::Topic& topic);
  void every(Duration interval, std::function<void()> work);

  env::Host* host_;
  const config::NodeProperties* properties_;
  NodeId id_ = kNoNode;
  Voter voter_;  // this node, in the quorum
  std::string cluster_id_;
  BrokerEpoch broker_epoch_{-1};
  std::unique_ptr<PartitionHost> partitions_;
  std::unique_ptr<GroupHost> groups_;
  std::unique_ptr<controller::Controller> controller_;
  std::unique_ptr<MetadataLog> metadata_log_;
  Published<metadata::Image> published_;
  Published<config::NodeProperties> settings_;
  ProducerId next_producer_id_{0};
  ProducerId producer_ids_end_{0};
};

}  // namespace millrace::node
