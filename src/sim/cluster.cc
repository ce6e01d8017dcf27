#include "sim/cluster.h"

#include "base/assert.h"
#include "node/metadata_snapshot.h"
#include "raft/snapshot.h"
#include "storage/checkpoint.h"

namespace millrace::sim {
namespace {

std::string name_of(NodeId id) { return fmt::format("n{}", id.value()); }

std::vector<std::string> directories_of(const ClusterOptions& options) {
  std::vector<std::string> paths{Broker::kDataDirectory};
  for (int i = 2; i <= options.log_directories; ++i)
    paths.push_back(fmt::format("{}-{}", Broker::kDataDirectory, i));
  return paths;
}

HostOptions host_of(NodeId id, HostOptions options) {
  options.name = name_of(id);
  return options;
}

}  // namespace

Cluster::Node::Node(Network& network, NodeId node, const ClusterOptions& options,
                    const Cluster& cluster)
    : id(node),
      is_broker(cluster.is_broker(node)),
      is_voter(cluster.is_voter(node)),
      name(name_of(node)),
      log_directories(directories_of(options)),
      metadata_directory(
          std::string(options.metadata_apart ? kMetadataDirectory : Broker::kDataDirectory) +
          "/__cluster_metadata-0"),
      medium(network.world()),
      broker(network, medium,
             {.properties = cluster.properties_of(node),
              .host = host_of(node, options.host),
              .cluster_id = kClusterId}) {}

// A log that has moved to another directory is there, or its copy, which lacks its name yet.
std::string Cluster::Node::directory_of(const TopicPartition& partition) {
  if (can_be_asked() && is_broker)
    if (const auto hosted = broker.node().partitions().find(partition))
      return hosted.volume()->directory().path() + "/" + partition.to_string();
  std::string copy;
  for (const std::string& path : log_directories) {
    const auto directory = medium.find(path);
    if (!directory) continue;
    for (const auto& [entry, inode] : directory->entries) {
      if (entry == partition.to_string()) return path + "/" + entry;
      if (storage::parse_future_directory(entry) == partition) copy = path + "/" + entry;
    }
  }
  return copy;
}

Cluster::Cluster(Network& network, const ClusterOptions& options) : options_(options) {
  const int count = options.brokers + (options.controllers_apart ? options.voters : 0);
  for (int i = 1; i <= count; ++i)
    nodes_.push_back(std::make_unique<Node>(network, NodeId(i), options_, *this));
  if (options_.first_voters == 0) return;
  for (const auto& node : nodes_)
    if (node->is_voter) format(*node);
}

raft::VoterSet Cluster::candidates() const {
  raft::VoterSet all;
  for (const auto& node : nodes_)
    if (node->is_voter)
      all.voters[node->id] = {
          .directory_id = Uuid::of_words({1, static_cast<uint64_t>(node->id.value())}),
          .endpoints = {{"CONTROLLER", node->name, Broker::kPort + 1}}};
  return all;
}

// As `millrace format --initial-controllers` does.
void Cluster::format(Node& node) const {
  raft::VoterSet first = candidates();
  while (std::cmp_greater(first.voters.size(), options_.first_voters))
    first.voters.erase(std::prev(first.voters.end()));
  const storage::MetaProperties identity{
      .cluster_id = kClusterId,
      .node_id = node.id,
      .directory_id = candidates().voters.at(node.id).directory_id};
  Disk disk(node.medium);
  const std::string& log = node.metadata_directory;
  const std::string root = log.substr(0, log.rfind('/'));
  auto formatted = disk.make_directories(log);
  if (formatted)
    formatted = env::write_file_atomically(disk, root + "/meta.properties",
                                           as_bytes(storage::print_meta_properties(identity)));
  if (formatted)
    formatted = node::write_snapshot_file(disk, log + "/" + raft::snapshot_name({}),
                                          node::first_snapshot(std::move(first), TimestampMs(0)));
  if (formatted) formatted = disk.sync_filesystem(root);
  ASSERT(formatted, "{} cannot be formatted: {}", node.name, formatted.error().message);
}

bool Cluster::is_voter(NodeId id) const {
  if (options_.controllers_apart) return id.value() > options_.brokers;
  return id.value() <= options_.voters;
}

config::Values Cluster::properties_of(NodeId id) const {
  config::Values values = options_.properties;
  const std::string name = name_of(id);
  const std::string client = fmt::format("PLAINTEXT://{}:{}", name, Broker::kPort);
  const std::string controller = fmt::format("CONTROLLER://{}:{}", name, Broker::kPort + 1);
  std::string voters, addresses;
  const int first = options_.controllers_apart ? options_.brokers + 1 : 1;
  for (int i = first; i < first + options_.voters; ++i) {
    const std::string address = fmt::format("{}:{}", name_of(NodeId(i)), Broker::kPort + 1);
    voters += fmt::format("{}{}@{}", voters.empty() ? "" : ",", i, address);
    addresses += (addresses.empty() ? "" : ",") + address;
  }
  const bool both = is_broker(id) && is_voter(id);
  values["process.roles"] = both ? "broker,controller" : is_broker(id) ? "broker" : "controller";
  values["node.id"] = std::to_string(id.value());
  values["listeners"] = both ? client + "," + controller : is_broker(id) ? client : controller;
  if (is_broker(id))
    values["advertised.listeners"] = client;
  else
    values.erase("advertised.listeners");
  const bool is_dynamic = options_.first_voters > 0;
  values.erase("controller.quorum.bootstrap.servers");
  values.erase("controller.quorum.voters");
  values[is_dynamic ? "controller.quorum.bootstrap.servers" : "controller.quorum.voters"] =
      is_dynamic ? addresses : voters;
  values["log.dirs"] = fmt::format("{}", fmt::join(directories_of(options_), ","));
  if (options_.metadata_apart) values["metadata.log.dir"] = kMetadataDirectory;
  return values;
}

Cluster::Node* Cluster::find(NodeId id) {
  for (auto& node : nodes_)
    if (node->id == id) return node.get();
  return nullptr;
}

std::vector<env::Address> Cluster::bootstrap() const {
  std::vector<env::Address> addresses;
  for (const auto& node : nodes_)
    if (node->is_broker) addresses.push_back({node->name, Broker::kPort});
  return addresses;
}

int Cluster::lives() const {
  int lives = 0;
  for (const auto& node : nodes_) lives += node->broker.lives();
  return lives;
}

Cluster::Node* Cluster::active_controller() const {
  for (const auto& node : nodes_)
    if (node->can_be_asked() && node->broker.node().is_active_controller()) return node.get();
  return nullptr;
}

std::shared_ptr<const metadata::Image> Cluster::newest_image() const {
  std::shared_ptr<const metadata::Image> newest;
  for (const auto& node : nodes_) {
    if (!node->can_be_asked()) continue;
    auto image = node->broker.node().image();
    if (image && (!newest || image->last_offset() > newest->last_offset())) newest = image;
  }
  return newest;
}

}  // namespace millrace::sim
