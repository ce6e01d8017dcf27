#include "node/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/log.h"
#include "config/directories.h"
#include "metadata/features.h"
#include "node/broker_lifecycle.h"
#include "node/controller_host.h"
#include "node/partition_groups.h"
#include "node/random_uuid.h"
#include "raft/wire_messages.h"

namespace millrace::node {
namespace {

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

Node::Node(env::Host& host, const config::NodeProperties& properties)
    : host_(&host), properties_(&properties) {
  published_.store(std::make_shared<metadata::Image>());
  settings_.store(std::make_shared<config::NodeProperties>(properties));
}

Node::~Node() = default;

BrokerEpoch Node::broker_epoch() const { return lifecycle_->epoch(); }
int16_t Node::kraft_version() const { return controller_->kraft_version(); }
Offset Node::metadata_end() const { return controller_->metadata_end(); }
void Node::submit(Command command) { controller_->submit(std::move(command)); }

wire::ErrorCode Node::absence_of(const metadata::Topic* topic, PartitionIndex partition) const {
  const int32_t index = partition.value();
  if (topic == nullptr || index < 0 || std::cmp_greater_equal(index, topic->partitions.size()))
    return wire::ErrorCode::kUnknownTopicOrPartition;
  return partitions_->is_refused({topic->name, partition}) ? wire::ErrorCode::kKafkaStorageError
                                                           : wire::ErrorCode::kNotLeaderOrFollower;
}

Uuid Node::fresh_uuid() { return random_uuid(host_->shard(0).random()); }

Result<> Node::start(const NodeOptions& options) {
  id_ = NodeId(static_cast<int32_t>(properties_->number("node.id")));
  RETURN_IF_ERROR(open_log_directories(options));
  groups_ = std::make_unique<GroupHost>(
      *host_, *partitions_, group_config(*properties_),
      [this](std::string_view topic_name) { return partition_count(topic_name); });
  RETURN_IF_ERROR(open_controller(options));
  RETURN_IF_ERROR(register_controller(options));
  lifecycle_ = std::make_unique<BrokerLifecycle>(*host_, *controller_, identity(options));
  RETURN_IF_ERROR(lifecycle_->register_now());
  for (const auto& volume : partitions_->volumes())
    RETURN_IF_ERROR(volume->directory().clear_clean_shutdown());
  serving_ = true;
  take_settings(controller_->image());
  RETURN_IF_ERROR(controller_->flush());
  controller_->start();
  lifecycle_->start(milliseconds(properties_->number("broker.heartbeat.interval.ms")));
  every(milliseconds(properties_->number("log.retention.check.interval.ms")),
        [this] { partitions_->delete_old_segments(host_->shard(0).clock().wall()); });
  every(milliseconds(properties_->number("log.flush.offset.checkpoint.interval.ms")),
        [this] { partitions_->write_checkpoints_later(); });
  every(milliseconds(properties_->number("producer.id.expiration.check.interval.ms")),
        [this] { expire_producers(); });
  return {};
}

// The checkpoint of its log directory says how much of the metadata log was durable: all that was
// published. A metadata.log.dir of its own has none.
Result<> Node::open_controller(const NodeOptions& options) {
  Volume& first = *partitions_->volumes()[0];
  const storage::LogDirectory& directory =
      metadata_directory_ ? *metadata_directory_ : first.directory();
  const TopicPartition log{raft::kMetadataTopic, PartitionIndex(0)};
  partitions_->set_other_recovery_points(
      [this, log, &directory](const Volume& asked) -> storage::OffsetCheckpoint {
        if (&asked.directory() != &directory) return {};
        return {{log, image()->last_offset() + 1}};
      });
  controller_ = std::make_unique<ControllerHost>(
      ControllerHost::Parts{.host = host_,
                            .properties = properties_,
                            .disk_thread = &first.thread(),
                            .log_dir = directory.path(),
                            .self = {id_, directory.id()},
                            .cluster_id = cluster_id_,
                            .endpoint = options.controller_endpoint,
                            .recovery_point = directory.checkpointed_recovery_point(log)},
      [this](std::shared_ptr<const metadata::Image> image) { publish(std::move(image)); });
  return controller_->open();
}

Result<> Node::register_controller(const NodeOptions& options) {
  const metadata::Endpoint& at = options.controller_endpoint;
  wire::ControllerRegistrationRequest request{.controller_id = id_.value(),
                                              .incarnation_id = fresh_uuid()};
  request.listeners.push_back({.name = at.listener,
                               .host = at.host,
                               .port = at.port,
                               .security_protocol = at.security_protocol});
  for (const auto& f : metadata::supported_features())
    request.features.push_back(
        {.name = f.name, .min_supported_version = f.least, .max_supported_version = f.most});
  wire::ControllerRegistrationResponse response;
  RETURN_IF_ERROR(controller_->decide_now([&](controller::Controller& c) {
    auto decided = c.decide_controller_registration(request);
    response = std::move(decided.response);
    return std::move(decided.records);
  }));
  if (response.error_code == 0) return {};
  return fail(Errc::kUnsupported, response.error_message.value_or(""));
}

BrokerIdentity Node::identity(const NodeOptions& options) const {
  BrokerIdentity identity{
      .id = id_, .cluster_id = cluster_id_, .listeners = options.advertised, .rack = std::nullopt};
  if (properties_->is_set("broker.rack")) identity.rack = properties_->text("broker.rack");
  bool clean = true;
  for (const auto& volume : partitions_->volumes()) {
    const storage::LogDirectory& directory = volume->directory();
    identity.log_dirs.push_back(directory.id());
    clean = clean && directory.stopped_cleanly();
    identity.previous_epoch = directory.previous_broker_epoch();
  }
  if (!clean) identity.previous_epoch = BrokerEpoch(-1);
  return identity;
}

void Node::publish(std::shared_ptr<const metadata::Image> image) {
  if (serving_) follow(*published_.load(), *image);
  published_.store(std::move(image));
}

Result<std::string> Node::agree_on_cluster_id(const NodeOptions& options) {
  for (const std::string& path : config::all_directories(*properties_)) {
    auto found = storage::LogDirectory::read_identity(host_->disk(), path);
    if (found) return options.cluster_id.empty() ? found->cluster_id : options.cluster_id;
    if (found.error().code != Errc::kNotFound) return std::unexpected(std::move(found).error());
  }
  return options.cluster_id.empty() ? fresh_uuid().to_string() : options.cluster_id;
}

Result<std::unique_ptr<storage::LogDirectory>> Node::open_directory(const std::string& path) {
  return storage::LogDirectory::open(
      host_->disk(), path,
      {.cluster_id = cluster_id_, .node_id = id_, .directory_id = fresh_uuid()});
}

Result<> Node::open_log_directories(const NodeOptions& options) {
  ASSIGN_OR_RETURN(cluster_id_, agree_on_cluster_id(options));
  std::map<Uuid, std::string> ids;
  std::vector<std::unique_ptr<Volume>> volumes;  // that of the metadata log first, if it is one
  const auto paths = config::log_directories(*properties_);
  for (const std::string& path : config::all_directories(*properties_)) {
    ASSIGN_OR_RETURN(auto directory, open_directory(path));
    auto [first, fresh] = ids.emplace(directory->id(), path);
    if (!fresh)
      return fail(Errc::kInvalid, fmt::format("{} and {} have the same directory.id {}",
                                              first->second, path, directory->id()));
    if (std::ranges::find(paths, path) == paths.end())
      metadata_directory_ = std::move(directory);
    else
      volumes.push_back(std::make_unique<Volume>(*host_, std::move(directory)));
  }
  const bool page_cache = properties_->text("millrace.durability") == "page-cache";
  partitions_ = std::make_unique<PartitionHost>(
      std::move(volumes), page_cache ? Durability::kPageCache : Durability::kFsync);
  return {};
}

void Node::expire_producers() {
  const int64_t kept = settings_.load()->number("producer.id.expiration.ms");
  partitions_->expire_producers(host_->shard(0).clock().wall() - kept);
}

int32_t Node::partition_count(std::string_view topic_name) const {
  const metadata::Topic* topic = image()->find_topic(topic_name);
  return topic == nullptr ? 0 : static_cast<int32_t>(topic->partitions.size());
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
      partitions_->remove({name, PartitionIndex(static_cast<int32_t>(i))}, fresh_uuid());
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

void Node::next_producer_id(env::Shard& shard,
                            std::move_only_function<void(Result<ProducerId>)> done) {
  auto id = std::make_shared<ProducerId>(-1);
  submit({.decide = [this, id](controller::Controller& controller) -> controller::Records {
            controller::Records records;
            if (next_producer_id_ == producer_ids_end_) {
              auto block = controller.decide_producer_id_block(id_, lifecycle_->epoch());
              next_producer_id_ = block.response;
              producer_ids_end_ = next_producer_id_ + controller::Controller::kProducerIdBlock;
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

// Given up and fenced, so that whoever starts on these directories next need not wait for our
// session to end.
Result<> Node::close() {
  serving_ = false;
  RETURN_IF_ERROR(lifecycle_->leave_now());
  RETURN_IF_ERROR(controller_->flush());
  RETURN_IF_ERROR(controller_->close());
  return partitions_->close(lifecycle_->epoch());
}

}  // namespace millrace::node
