#include "node/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "config/directories.h"
#include "env/random_uuid.h"
#include "metadata/features.h"
#include "node/broker_lifecycle.h"
#include "node/broker_watch.h"
#include "node/client_quotas.h"
#include "node/controller_channel.h"
#include "node/directory_assignments.h"
#include "node/latest_offsets.h"
#include "node/partition_groups.h"
#include "node/replication.h"
#include "node/share_partitions.h"
#include "node/share_states.h"
#include "node/transactions.h"
#include "node/voter_changes.h"
#include "node/voter_membership.h"
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
      .consumer_session_timeout = time("group.consumer.session.timeout.ms"),
      .consumer_heartbeat = time("group.consumer.heartbeat.interval.ms"),
      .assignment_interval = time("group.consumer.assignment.interval.ms"),
      .consumer_max_size = static_cast<int32_t>(properties.number("group.consumer.max.size")),
      .consumer_regex_refresh = time("group.consumer.regex.refresh.interval.ms"),
      .consumer_assignors = properties.list("group.consumer.assignors"),
      .share_session_timeout = time("group.share.session.timeout.ms"),
      .share_heartbeat = time("group.share.heartbeat.interval.ms"),
      .share_assignment_interval = time("group.share.assignment.interval.ms"),
      .share_max_size = static_cast<int32_t>(properties.number("group.share.max.size")),
      .share_initialize_retry = time("group.share.initialize.retry.interval.ms"),
      .streams_session_timeout = time("group.streams.session.timeout.ms"),
      .streams_heartbeat = time("group.streams.heartbeat.interval.ms"),
      .streams_assignment_interval = time("group.streams.assignment.interval.ms"),
      .streams_initial_delay = time("group.streams.initial.rebalance.delay.ms"),
      .streams_max_size = static_cast<int32_t>(properties.number("group.streams.max.size")),
      .streams_standby_replicas =
          static_cast<int32_t>(properties.number("group.streams.num.standby.replicas")),
      .migration = group::migration_policy(properties.text("group.consumer.migration.policy"))};
}

constexpr Duration kRegisterControllerTime = seconds(10);
constexpr Duration kRegisterControllerPause = seconds(1);
constexpr Duration kProducerIdsTime = seconds(5);
constexpr Duration kLeaveTime = seconds(10);           // that a controlled shutdown may take
constexpr Duration kResignTime = milliseconds(20);     // for the others to be told
constexpr Duration kAlterPartitionTime = seconds(10);  // until it is asked anew

}  // namespace

Node::Node(env::Host& host, const config::NodeProperties& properties)
    : host_(&host),
      properties_(&properties),
      client_quotas_(std::make_unique<ClientQuotas>(properties)) {
  published_.store(std::make_shared<metadata::Image>());
  settings_.store(std::make_shared<config::NodeProperties>(properties));
}

Node::~Node() = default;

BrokerEpoch Node::broker_epoch() const {
  return lifecycle_ ? lifecycle_->epoch() : BrokerEpoch(-1);
}
int16_t Node::kraft_version() const { return controller_->kraft_version(); }
bool Node::is_active_controller() const { return controller_->is_active(); }
void Node::submit(Command command) { controller_->submit(std::move(command)); }

wire::ErrorCode Node::absence_of(const metadata::Topic* topic, PartitionIndex partition) const {
  const int32_t index = partition.value();
  if (topic == nullptr || index < 0 || std::cmp_greater_equal(index, topic->partitions.size()))
    return wire::ErrorCode::kUnknownTopicOrPartition;
  return partitions_->is_refused({topic->name, partition}) ? wire::ErrorCode::kKafkaStorageError
                                                           : wire::ErrorCode::kNotLeaderOrFollower;
}

Uuid Node::fresh_uuid() { return random_uuid(host_->shard(0).random()); }

Result<> Node::open(const NodeOptions& options) {
  options_ = options;
  id_ = NodeId(static_cast<int32_t>(properties_->number("node.id")));
  is_broker_ = has_role("broker");
  RETURN_IF_ERROR(open_log_directories(options));
  groups_ = std::make_unique<GroupHost>(
      *host_, *partitions_,
      GroupHost::Options{
          .machine = group_config(*properties_),
          .commit_timeout = milliseconds(properties_->number("offsets.commit.timeout.ms"))},
      GroupHost::Knowledge{&published_, &settings_});
  RETURN_IF_ERROR(open_controller(options));
  channel_ = std::make_unique<ControllerChannel>(*host_, *properties_, *controller_);
  make_voter_changes(options);
  watch_ = std::make_unique<BrokerWatch>(*host_, *properties_, *controller_);
  controller_incarnation_ = fresh_uuid();
  if (!is_broker_) return {};
  make_lifecycle(options);
  make_replication();
  make_transactions();
  make_share_groups();
  return {};
}

void Node::make_voter_changes(const NodeOptions& options) {
  const auto listeners = properties_->list("controller.listener.names");
  voter_changes_ = std::make_unique<VoterChanges>(
      *host_, controller_->driver(),
      VoterChanges::Options{.listener = listeners.empty() ? "" : listeners.front(),
                            .request_timeout = milliseconds(
                                properties_->number("controller.quorum.request.timeout.ms"))});
  controller_->when_moved([this] { voter_changes_->moved(); });
  if (has_role("controller"))
    voter_membership_ = std::make_unique<VoterMembership>(VoterMembership::Parts{
        .host = host_,
        .driver = &controller_->driver(),
        .properties = properties_,
        .cluster_id = cluster_id_,
        .endpoints = {{options.controller_endpoint.listener, options.controller_endpoint.host,
                       options.controller_endpoint.port}}});
}

bool Node::has_role(std::string_view role) const {
  const auto roles = properties_->list("process.roles");
  return std::ranges::find(roles, role) != roles.end();
}

void Node::make_lifecycle(const NodeOptions& options) {
  auto time = [&](const char* name) { return milliseconds(properties_->number(name)); };
  lifecycle_ = std::make_unique<BrokerLifecycle>(
      BrokerLifecycle::Parts{
          .shard = &host_->shard(0),
          .channel = channel_.get(),
          .identity = identity(options),
          .heartbeat_interval = time("broker.heartbeat.interval.ms"),
          .session_timeout = time("broker.session.timeout.ms"),
          .metadata_end = [this] { return controller_->driver().applied_end(); },
          .image = [this] { return image(); },
          .offline_log_dirs = [this] { return partitions_->offline_directories(); }},
      BrokerLifecycle::Events{
          .accepted = [this](BrokerEpoch epoch) { partitions_->note_epoch(epoch); },
          .registered = [this] { join(); },
          .unfenced = [this] { tell_ready({}); },
          .refused = [this](const Error& why) { tell_ready(std::unexpected(why)); }});
}

void Node::make_replication() {
  replication_ = std::make_unique<Replication>(Replication::Parts{
      .host = host_,
      .partitions = partitions_.get(),
      .properties = properties_,
      .self = id_,
      .image = [this] { return image(); },
      .ask =
          [this](auto request, auto done) {
            channel_->ask(std::move(request), kAlterPartitionTime, std::move(done));
          },
      .moved =
          [this](const Uuid& topic_id) {
            if (directory_assignments_) directory_assignments_->changed(topic_id);
          }});
  directory_assignments_ = std::make_unique<DirectoryAssignments>(
      DirectoryAssignments::Parts{.self = id_,
                                  .shard = &host_->shard(0),
                                  .partitions = partitions_.get(),
                                  .channel = channel_.get(),
                                  .image = [this] { return image(); },
                                  .broker_epoch = [this] { return broker_epoch(); }});
}

void Node::make_transactions() {
  transactions_ = std::make_unique<Transactions>(Transactions::Parts{
      .host = host_,
      .partitions = partitions_.get(),
      .groups = groups_.get(),
      .properties = properties_,
      .self = id_,
      .image = [this] { return image(); },
      .next_producer_id = [this](env::Shard& shard,
                                 auto done) { next_producer_id(shard, std::move(done)); }});
  latest_offsets_ = std::make_unique<LatestOffsets>(
      LatestOffsets::Parts{.host = host_,
                           .partitions = partitions_.get(),
                           .self = id_,
                           .listener = inter_broker_listener(*properties_),
                           .image = [this] { return image(); }});
}

void Node::make_share_groups() {
  share_states_ =
      std::make_unique<ShareStates>(ShareStates::Parts{.host = host_,
                                                       .partitions = partitions_.get(),
                                                       .channel = channel_.get(),
                                                       .properties = properties_,
                                                       .self = id_,
                                                       .image = [this] { return image(); }});
  share_partitions_ =
      std::make_unique<SharePartitions>(SharePartitions::Parts{.host = host_,
                                                               .partitions = partitions_.get(),
                                                               .image = &published_,
                                                               .settings = &settings_});
  share_partitions_->set_persister(share_states_->persister());
  groups_->use(share_states_->persister());
}

void Node::start(Ready ready) {
  ready_ = std::move(ready);
  controller_->when_moved([this] { moved(); });
  controller_->start();
  if (voter_membership_) voter_membership_->start();
  if (lifecycle_) lifecycle_->start();
}

void Node::tell_ready(Result<> how) {
  if (Ready ready = std::exchange(ready_, nullptr)) ready(std::move(how));
}

void Node::moved() {
  if (const auto& failure = controller_->driver().failure(); failure && !has_joined_)
    return tell_ready(std::unexpected(*failure));
  register_controller();
  if (is_broker_ || has_joined_ || !controller_->driver().is_caught_up()) return;
  has_joined_ = serving_ = true;
  take_settings(*image());
  tell_ready({});
}

// The image has this broker's registration: what it says is this broker's is opened.
void Node::join() {
  for (const auto& volume : partitions_->volumes())
    if (auto cleared = volume->directory().clear_clean_shutdown(); !cleared)
      return tell_ready(std::move(cleared));
  has_joined_ = serving_ = true;
  const auto now = image();
  take_settings(*now);
  follow(metadata::Image(), *now);
  replication_->start();
  every(milliseconds(properties_->number("log.retention.check.interval.ms")),
        [this] { partitions_->delete_old_segments(host_->shard(0).clock().wall()); });
  every(milliseconds(properties_->number("log.flush.offset.checkpoint.interval.ms")),
        [this] { partitions_->write_checkpoints_later(); });
  every(milliseconds(properties_->number("producer.id.expiration.check.interval.ms")),
        [this] { expire_producers(); });
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
  std::vector<raft::Endpoint> endpoints;
  if (const metadata::Endpoint& at = options.controller_endpoint; has_role("controller"))
    endpoints.push_back({at.listener, at.host, at.port});
  controller_ = std::make_unique<ControllerHost>(
      RaftDriver::Parts{.host = host_,
                        .properties = properties_,
                        .disk_thread = &first.thread(),
                        .log_dir = directory.path(),
                        .self = {id_, directory.id()},
                        .cluster_id = cluster_id_,
                        .endpoints = std::move(endpoints),
                        .recovery_point = directory.checkpointed_recovery_point(log),
                        .may_found = may_found()},
      [this](std::shared_ptr<const metadata::Image> image) { publish(std::move(image)); });
  return controller_->open();
}

// Nobody has said who the voters are: a node that is a controller and knows of no other begins a
// cluster of its own. Formatting says it, and leaves a bootstrap.checkpoint.
bool Node::may_found() const {
  const std::string formatted = config::metadata_directory(*properties_) + "/bootstrap.checkpoint";
  return has_role("controller") && properties_->list("controller.quorum.voters").size() <= 1 &&
         properties_->list("controller.quorum.bootstrap.servers").size() <= 1 &&
         !host_->disk().exists(formatted);
}

// Again whenever the log does not say it (KIP-919): after the first start, and when what another
// process of this id said is there.
void Node::register_controller() {
  const auto now = image();
  if (!has_role("controller") || registering_controller_ || !controller_->driver().is_caught_up() ||
      now->features().empty())
    return;
  auto known = now->controllers().find(id_);
  if (known != now->controllers().end() && known->second.incarnation_id == controller_incarnation_)
    return;
  const metadata::Endpoint& at = options_.controller_endpoint;
  wire::ControllerRegistrationRequest request{.controller_id = id_.value(),
                                              .incarnation_id = controller_incarnation_};
  request.listeners.push_back({.name = at.listener,
                               .host = at.host,
                               .port = at.port,
                               .security_protocol = at.security_protocol});
  for (const auto& f : metadata::supported_features())
    request.features.push_back(
        {.name = f.name, .min_supported_version = f.least, .max_supported_version = f.most});
  registering_controller_ = true;
  channel_->ask(std::move(request), kRegisterControllerTime, [this](auto response) {
    const bool done = response && response->error_code == 0;
    if (!done)
      LOG_WARN("this controller is not registered: {}",
               response ? response->error_message.value_or("") : response.error().message);
    host_->shard(0).after(done ? Duration(0) : kRegisterControllerPause, [this] {
      registering_controller_ = false;
      register_controller();
    });
  });
}

BrokerIdentity Node::identity(const NodeOptions& options) const {
  BrokerIdentity identity{
      .id = id_, .cluster_id = cluster_id_, .listeners = options.advertised, .rack = std::nullopt};
  if (properties_->is_set("broker.rack")) identity.rack = properties_->text("broker.rack");
  // One that has it not is new, or of another process: the broker has not all that it had.
  std::set<BrokerEpoch> epochs;
  for (const auto& volume : partitions_->volumes()) {
    const storage::LogDirectory& directory = volume->directory();
    identity.log_dirs.push_back(directory.id());
    epochs.insert(directory.previous_broker_epoch());
  }
  if (epochs.size() == 1) identity.previous_epoch = *epochs.begin();
  return identity;
}

void Node::publish(std::shared_ptr<const metadata::Image> image) {
  // Whoever hears of a change finds it: a coordinator that loads, too.
  const auto before = published_.load();
  published_.store(image);
  if (serving_) follow(*before, *image);
  if (before->client_quotas() != image->client_quotas())
    client_quotas_->follow(image->client_quotas().get());
  if (lifecycle_) lifecycle_->follow(*image);
}

Result<std::string> Node::agree_on_cluster_id(const NodeOptions& options) {
  for (const std::string& path : config::all_directories(*properties_)) {
    auto found = storage::LogDirectory::read_identity(host_->disk(), path);
    if (found) return options.cluster_id.empty() ? found->cluster_id : options.cluster_id;
    if (!storage::is_of_the_disk(found.error())) return std::unexpected(std::move(found).error());
  }
  if (!options.cluster_id.empty()) return options.cluster_id;
  if (may_found()) return fresh_uuid().to_string();
  return fail(Errc::kNotFound,
              fmt::format("{} is not formatted: a node of a cluster must be told which one, by "
                          "`millrace format --cluster-id ID --config FILE`",
                          config::metadata_directory(*properties_)));
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
  std::vector<std::string> failed;
  const auto paths = config::log_directories(*properties_);
  const std::string metadata_path = config::metadata_directory(*properties_);
  // One that cannot be read or made is left out; one that is another node's, or is used by one, is
  // not.
  for (const std::string& path : config::all_directories(*properties_)) {
    auto directory = open_directory(path);
    if (!directory && storage::is_of_the_disk(directory.error()) && path != metadata_path) {
      LOG_ERROR("log directory {} is offline: {}", path, directory.error().message);
      failed.push_back(path);
      continue;
    }
    if (!directory) return std::unexpected(std::move(directory).error());
    auto [first, fresh] = ids.emplace((*directory)->id(), path);
    if (!fresh)
      return fail(Errc::kInvalid, fmt::format("{} and {} have the same directory.id {}",
                                              first->second, path, (*directory)->id()));
    if (std::ranges::find(paths, path) == paths.end())
      metadata_directory_ = std::move(*directory);
    else
      volumes.push_back(std::make_unique<Volume>(*host_, std::move(*directory)));
  }
  if (volumes.empty()) return fail(Errc::kIo, "all log directories are offline");
  const bool page_cache = properties_->text("millrace.durability") == "page-cache";
  partitions_ = std::make_unique<PartitionHost>(
      std::move(volumes), page_cache ? Durability::kPageCache : Durability::kFsync);
  partitions_->set_failed_directories(std::move(failed));
  partitions_->set_on_failure([this](Volume& volume) {
    host_->shard(0).post([this, volume = &volume] { directory_failed(*volume); });
  });
  return {};
}

// What lay in it is the other replicas', once the controller knows.
void Node::directory_failed(const Volume& volume) {
  const std::string& path = volume.directory().path();
  const auto& volumes = partitions_->volumes();
  const bool any_left =
      std::ranges::any_of(volumes, [](const auto& v) { return !v->is_offline(); });
  if (!any_left || path == config::metadata_directory(*properties_)) {
    if (options_.failed)
      options_.failed({Errc::kIo, fmt::format("{} has failed, {}", path,
                                              any_left ? "in which the metadata are"
                                                       : "the last log directory of this node")});
    return;
  }
  if (replication_) replication_->directory_failed(volume);
  if (lifecycle_) lifecycle_->speak();
}

void Node::expire_producers() {
  const int64_t kept = settings_.load()->number("producer.id.expiration.ms");
  partitions_->expire_producers(host_->shard(0).clock().wall() - kept);
}

void Node::open_partitions(const metadata::Image& image, const metadata::Topic& topic) {
  const auto node_settings = settings_.load();
  const auto settings = topic_settings(
      *node_settings, image.configs({metadata::ConfigResourceType::kTopic, topic.name}));
  for (size_t i = 0; i < topic.partitions.size(); ++i) {
    const TopicPartition name{topic.name, PartitionIndex(static_cast<int32_t>(i))};
    auto opened = replication_->apply({name, topic.id, settings, topic.partitions[i]});
    if (!opened) LOG_ERROR("partition {} is offline: {}", name.to_string(), opened.error().message);
  }
  directory_assignments_->changed(topic.id);
}

void Node::close_vanished(const metadata::Image& before, const metadata::Image& after) {
  for (const auto& [name, topic] : before.topics()) {
    if (after.find_topic(topic->id) != nullptr) continue;
    for (size_t i = 0; i < topic->partitions.size(); ++i)
      replication_->remove({name, PartitionIndex(static_cast<int32_t>(i))}, fresh_uuid());
  }
}

void Node::take_settings(const metadata::Image& image) {
  using enum metadata::ConfigResourceType;
  auto settings = std::make_shared<config::NodeProperties>(properties_->with_dynamic(
      image.configs({kBroker, ""}), image.configs({kBroker, std::to_string(id_.value())})));
  if (replication_) replication_->take_settings(*settings);
  settings_.store(std::move(settings));
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
  const bool defaults_changed = follow_broker_configs(before, after);
  if (!is_broker_) return;
  close_vanished(before, after);
  for (const auto& [name, topic] : after.topics()) {
    const metadata::ConfigResource resource{metadata::ConfigResourceType::kTopic, name};
    auto known = before.topics().find(name);
    const bool same = !defaults_changed && known != before.topics().end() &&
                      known->second == topic && before.configs(resource) == after.configs(resource);
    if (!same) open_partitions(after, *topic);
  }
  partitions_->forget_removed_later();
  groups_->follow(before, after);
  transactions_->follow(before, after);
  share_states_->follow(before, after);
  share_partitions_->follow(before, after);
}

void Node::check_coordinators() {
  groups_->check_invariants();
  if (transactions_) transactions_->host().check_invariants();
  if (share_states_) share_states_->host().check_invariants();
  if (share_partitions_) share_partitions_->check_invariants();
}

void Node::next_producer_id(env::Shard& shard,
                            std::move_only_function<void(Result<ProducerId>)> done) {
  host_->shard(0).post([this, &shard, done = std::move(done)]() mutable {
    producer_ids_.waiters.push_back({&shard, std::move(done)});
    give_producer_ids();
  });
}

void Node::give_producer_ids() {
  auto answer = [](ProducerIds::Waiter waiter, Result<ProducerId> id) {
    waiter.shard->post(
        [done = std::move(waiter.done), id = std::move(id)]() mutable { done(std::move(id)); });
  };
  ProducerIds& ids = producer_ids_;
  for (; !ids.waiters.empty() && ids.next < ids.end; ++ids.next) {
    answer(std::move(ids.waiters.front()), ids.next);
    ids.waiters.pop_front();
  }
  if (ids.waiters.empty() || std::exchange(ids.asking, true)) return;
  wire::AllocateProducerIdsRequest request{.broker_id = id_.value(),
                                           .broker_epoch = broker_epoch().value()};
  channel_->ask(std::move(request), kProducerIdsTime, [this, answer](auto response) {
    ProducerIds& ids = producer_ids_;
    ids.asking = false;
    if (response && response->error_code == 0) {
      ids.next = ProducerId(response->producer_id_start);
      ids.end = ids.next + response->producer_id_len;
      return give_producer_ids();
    }
    const Error why =
        response ? Error{Errc::kBusy, std::string(wire::error_name(
                                          static_cast<wire::ErrorCode>(response->error_code)))}
                 : response.error();
    for (auto& waiter : std::exchange(ids.waiters, {}))
      answer(std::move(waiter), std::unexpected(why));
  });
}

void Node::every(Duration interval, std::function<void()> work) {
  host_->shard(0).after(interval, [this, interval, work = std::move(work)] {
    work();
    every(interval, work);
  });
}

// Given up and fenced, so that whoever starts on these directories next need not wait for our
// session to end; the quorum gets another leader, so that it need not wait for one to be missed.
void Node::leave(std::function<void()> left) {
  auto resign = [this, left = std::move(left)] {
    const bool tells_others =
        controller_->driver().is_leader() && controller_->quorum().voters.voters.size() > 1;
    serving_ = false;
    if (replication_) replication_->close();
    if (transactions_) transactions_->close();
    if (share_states_) share_states_->close();
    if (latest_offsets_) latest_offsets_->close();
    if (tells_others) controller_->resign();
    host_->shard(0).after(tells_others ? kResignTime : Duration(0), left);
  };
  if (!lifecycle_) return resign();
  lifecycle_->leave(kLeaveTime, std::move(resign));
}

Result<> Node::close() {
  serving_ = false;
  RETURN_IF_ERROR(controller_->close());
  // Logs that were never opened are as the process before left them, cleanly or not.
  return has_joined_ ? partitions_->close(broker_epoch()) : Result<>{};
}

}  // namespace millrace::node
