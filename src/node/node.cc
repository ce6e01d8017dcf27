#include "node/node.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "base/log.h"
#include "metadata/features.h"

namespace millrace::node {
namespace {

constexpr Duration kCheckpointInterval = seconds(60);
constexpr int64_t kProducerIdBlock = 1000;
constexpr const char* kMetadataDirectory = "/__cluster_metadata-0";

std::string metadata_directory(const config::NodeProperties& properties,
                               const std::vector<std::string>& log_dirs) {
  const std::string own = properties.text("metadata.log.dir");
  return (own.empty() ? log_dirs[0] : own) + kMetadataDirectory;
}

group::GroupConfig group_config(const config::NodeProperties& properties) {
  auto time = [&](const char* name) { return milliseconds(properties.number(name)); };
  return {
      .min_session_timeout = time("group.min.session.timeout.ms"),
      .max_session_timeout = time("group.max.session.timeout.ms"),
      .initial_rebalance_delay = time("group.initial.rebalance.delay.ms"),
      .max_size = static_cast<int32_t>(properties.number("group.max.size")),
      .offset_metadata_max_size =
          static_cast<int32_t>(properties.number("offset.metadata.max.bytes")),
      .offsets_retention = milliseconds(properties.number("offsets.retention.minutes") * 60'000),
      .offsets_retention_check_interval = time("offsets.retention.check.interval.ms"),
      .consumer_session_timeout = time("group.consumer.session.timeout.ms")};
}

}  // namespace

Uuid Node::random_uuid() {
  env::Random& random = host_->shard(0).random();
  Uuid id;
  do id = Uuid::from_random({random.next(), random.next()});
  while (id.starts_with_dash());
  return id;
}

Result<> Node::start(const NodeOptions& options) {
  id_ = NodeId(static_cast<int32_t>(properties_->number("node.id")));
  RETURN_IF_ERROR(open_log_directories(options));
  controller_ =
      std::make_unique<controller::Controller>(*properties_, [this] { return random_uuid(); });
  const auto& volumes = partitions_->volumes();
  std::vector<std::string> paths;
  for (const auto& volume : volumes) paths.push_back(volume->directory().path());
  metadata::Image& image = controller_->image();
  ASSIGN_OR_RETURN(
      metadata_log_,
      MetadataLog::open(host_->disk(), metadata_directory(*properties_, paths), image));
  const TimestampMs now = host_->shard(0).clock().wall();
  voter_ = {.id = id_,
            .directory_id = volumes[0]->directory().id(),
            .endpoint = options.controller_endpoint};
  RETURN_IF_ERROR(metadata_log_->lead(voter_, now));
  if (image.features().empty())
    RETURN_IF_ERROR(metadata_log_->append(controller::Controller::bootstrap_records(), image, now));
  RETURN_IF_ERROR(register_broker(options));
  const storage::Unsynced unsynced = metadata_log_->take_unsynced();
  RETURN_IF_ERROR(metadata_log_->sync(unsynced));
  metadata_log_->mark_synced(unsynced.log_end);
  image.check_invariants();
  for (const auto& volume : volumes) RETURN_IF_ERROR(volume->directory().clear_clean_shutdown());
  published_.store(std::make_shared<metadata::Image>(image));
  take_settings(image);
  for (const auto& [name, topic] : image.topics()) open_partitions(image, *topic);
  groups_ = std::make_unique<GroupHost>(*host_, *partitions_, group_config(*properties_));
  every(milliseconds(properties_->number("log.retention.check.interval.ms")),
        [this] { partitions_->delete_old_segments(host_->shard(0).clock().wall()); });
  every(kCheckpointInterval, [this] { partitions_->write_checkpoints_later(); });
  return {};
}

Result<std::string> Node::agree_on_cluster_id(const std::vector<std::string>& paths,
                                              const NodeOptions& options) {
  for (const std::string& path : paths) {
    auto found = storage::LogDirectory::read_identity(host_->disk(), path);
    if (found) return options.cluster_id.empty() ? found->cluster_id : options.cluster_id;
    if (found.error().code != Errc::kNotFound) return std::unexpected(std::move(found).error());
  }
  return options.cluster_id.empty() ? random_uuid().to_string() : options.cluster_id;
}

Result<> Node::open_log_directories(const NodeOptions& options) {
  std::vector<std::string> paths = properties_->list("log.dirs");
  if (paths.empty()) paths = properties_->list("log.dir");
  if (paths.empty()) return fail(Errc::kInvalid, "log.dirs names no directory");
  ASSIGN_OR_RETURN(cluster_id_, agree_on_cluster_id(paths, options));
  std::vector<std::unique_ptr<Volume>> volumes;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(auto directory, storage::LogDirectory::open(host_->disk(), path,
                                                                 {.cluster_id = cluster_id_,
                                                                  .node_id = id_,
                                                                  .directory_id = random_uuid()}));
    volumes.push_back(std::make_unique<Volume>(*host_, std::move(directory)));
  }
  const bool page_cache = properties_->text("millrace.durability") == "page-cache";
  partitions_ = std::make_unique<PartitionHost>(
      std::move(volumes), page_cache ? Durability::kPageCache : Durability::kFsync);
  return {};
}

Result<> Node::register_broker(const NodeOptions& options) {
  wire::RegisterBrokerRecord registration{
      .broker_id = id_.value(), .incarnation_id = random_uuid(), .rack = std::nullopt};
  for (const auto& e : options.advertised)
    registration.end_points.push_back({.name = e.listener,
                                       .host = e.host,
                                       .port = e.port,
                                       .security_protocol = e.security_protocol});
  for (const auto& feature : metadata::supported_features())
    registration.features.push_back({.name = feature.name,
                                     .min_supported_version = feature.least,
                                     .max_supported_version = feature.most});
  if (properties_->is_set("broker.rack")) registration.rack = properties_->text("broker.rack");
  for (const auto& volume : partitions_->volumes())
    registration.log_dirs.push_back(volume->directory().id());
  broker_epoch_ = BrokerEpoch(metadata_log_->log_end().value());
  return metadata_log_->append(
      controller_->decide_register_broker(std::move(registration), metadata_log_->log_end()),
      controller_->image(), host_->shard(0).clock().wall());
}

void Node::open_partitions(const metadata::Image& image, const metadata::Topic& topic) {
  const auto node_settings = settings_.load();
  const auto settings = topic_settings(
      *node_settings, image.configs({metadata::ConfigResourceType::kTopic, topic.name}));
  for (size_t i = 0; i < topic.partitions.size(); ++i) {
    const metadata::PartitionState& p = topic.partitions[i];
    if (std::ranges::find(p.replicas, id_) == p.replicas.end()) continue;
    const TopicPartition name{topic.name, PartitionIndex(static_cast<int32_t>(i))};
    auto opened = partitions_->open(name, topic.id, settings, {p.leader, p.leader_epoch});
    if (!opened) LOG_ERROR("partition {} is offline: {}", name.to_string(), opened.error().message);
  }
}

std::vector<group::DeletedTopic> Node::close_vanished(const metadata::Image& before,
                                                      const metadata::Image& after) {
  std::vector<group::DeletedTopic> vanished;
  for (const auto& [name, topic] : before.topics()) {
    if (after.find_topic(topic->id) != nullptr) continue;
    vanished.push_back({name, topic->id});
    for (size_t i = 0; i < topic->partitions.size(); ++i)
      partitions_->remove({name, PartitionIndex(static_cast<int32_t>(i))}, random_uuid());
  }
  return vanished;
}

void Node::take_settings(const metadata::Image& image) {
  using enum metadata::ConfigResourceType;
  settings_.store(std::make_shared<config::NodeProperties>(properties_->with_dynamic(
      image.configs({kBroker, ""}), image.configs({kBroker, std::to_string(id_.value())}))));
}

// True: the defaults of all topics may be others now.
bool Node::follow_broker_configs(const metadata::Image& before, const metadata::Image& after) {
  bool changed = false;
  for (const std::string& name : {std::string(), std::to_string(id_.value())}) {
    const metadata::ConfigResource resource{metadata::ConfigResourceType::kBroker, name};
    changed |= before.configs(resource) != after.configs(resource);
  }
  if (changed) take_settings(after);
  return changed;
}

void Node::follow(const metadata::Image& before, const metadata::Image& after) {
  const auto vanished = close_vanished(before, after);
  if (!vanished.empty()) groups_->topics_deleted(vanished);
  const bool defaults_changed = follow_broker_configs(before, after);
  for (const auto& [name, topic] : after.topics()) {
    const metadata::ConfigResource resource{metadata::ConfigResourceType::kTopic, name};
    auto known = before.topics().find(name);
    const bool same = !defaults_changed && known != before.topics().end() &&
                      known->second == topic && before.configs(resource) == after.configs(resource);
    if (!same) open_partitions(after, *topic);
  }
}

QuorumState Node::quorum() const {
  return {.self = voter_,
          .epoch = metadata_log_->epoch(),
          .log_end = metadata_log_->log_end(),
          .high_watermark = metadata_log_->synced_end()};
}

void Node::submit(Command command) {
  host_->shard(0).post(
      [this, command = std::move(command)]() mutable { run_command(std::move(command)); });
}

void Node::run_command(Command command) {
  const controller::Records records = command.decide(*controller_);
  if (records.empty())
    return command.shard->post([done = std::move(command.done)]() mutable { done({}); });
  auto appended =
      metadata_log_->append(records, controller_->image(), host_->shard(0).clock().wall());
  if (!appended) {
    LOG_ERROR("metadata log: {}", appended.error().message);
    return command.shard->post(
        [done = std::move(command.done), appended]() mutable { done(std::move(appended)); });
  }
  Commit commit{.image = std::make_shared<const metadata::Image>(controller_->image()),
                .unsynced = metadata_log_->take_unsynced(),
                .command = std::move(command)};
  partitions_->volumes()[0]->thread().run([this, commit = std::move(commit)]() mutable {
    commit.synced = metadata_log_->sync(commit.unsynced);
    host_->shard(0).post(
        [this, commit = std::move(commit)]() mutable { committed(std::move(commit)); });
  });
}

void Node::committed(Commit commit) {
  if (commit.synced) {
    metadata_log_->mark_synced(commit.unsynced.log_end);
    follow(*published_.load(), *commit.image);
    published_.store(commit.image);
  } else {
    LOG_ERROR("metadata log: {}", commit.synced.error().message);
  }
  commit.command.shard->post(
      [done = std::move(commit.command.done), synced = std::move(commit.synced)]() mutable {
        done(std::move(synced));
      });
}

void Node::next_producer_id(env::Shard& shard,
                            std::move_only_function<void(Result<ProducerId>)> done) {
  auto id = std::make_shared<ProducerId>(-1);
  submit({.decide = [this, id](controller::Controller& controller) -> controller::Records {
            controller::Records records;
            if (next_producer_id_ == producer_ids_end_) {
              auto block = controller.decide_producer_id_block(id_, broker_epoch_);
              next_producer_id_ = block.response;
              producer_ids_end_ = next_producer_id_ + kProducerIdBlock;
              records = std::move(block.records);
            }
            *id = next_producer_id_;
            ++next_producer_id_;
            return records;
          },
          .done =
              [id, done = std::move(done)](Result<> committed) mutable {
                done(committed ? Result<ProducerId>(*id)
                               : Result<ProducerId>(std::unexpected(std::move(committed).error())));
              },
          .shard = &shard});
}

void Node::every(Duration interval, std::function<void()> work) {
  host_->shard(0).after(interval, [this, interval, work = std::move(work)] {
    work();
    every(interval, work);
  });
}

Result<> Node::close() {
  // Fenced, so that whoever starts on this directory next need not wait for our session to end.
  RETURN_IF_ERROR(metadata_log_->append(
      {wire::BrokerRegistrationChangeRecord{
          .broker_id = id_.value(), .broker_epoch = broker_epoch_.value(), .fenced = 1}},
      controller_->image(), host_->shard(0).clock().wall()));
  RETURN_IF_ERROR(metadata_log_->close());
  return partitions_->close(broker_epoch_);
}

}  // namespace millrace::node
