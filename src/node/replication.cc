#include "node/replication.h"

#include <algorithm>

#include "base/log.h"
#include "env/random_uuid.h"
#include "node/directory_assignments.h"
#include "node/peer_link.h"

namespace millrace::node {
namespace {

constexpr int8_t kRecovered = 0;

TopicIdPartition id_of(const HostedPartition& hosted) {
  return {hosted.partition->topic_id(), hosted.partition->name().partition};
}

QuotaWindows quota_windows(const config::NodeProperties& properties) {
  return {.count = properties.number("replication.quota.window.num"),
          .length = seconds(properties.number("replication.quota.window.size.seconds"))};
}

}  // namespace

Replication::Replication(Parts parts)
    : parts_(std::move(parts)),
      lag_max_(milliseconds(parts_.properties->number("replica.lag.time.max.ms"))),
      leader_quota_(quota_windows(*parts_.properties)),
      follower_quota_(quota_windows(*parts_.properties)),
      isr_changes_(std::make_shared<IsrChanges>(
          IsrChanges::Parts{.shard = &parts_.host->shard(0),
                            .self = parts_.self,
                            .broker_epoch = [this] { return broker_epoch(); },
                            .ask = parts_.ask})),
      moves_(std::make_shared<LogMoves>(LogMoves::Parts{.host = parts_.host,
                                                        .partitions = parts_.partitions,
                                                        .self = parts_.self,
                                                        .image = parts_.image,
                                                        .announce = parts_.moved})),
      mender_(std::make_shared<Mender>(Mender::Parts{
          .host = parts_.host,
          .partitions = parts_.partitions,
          .self = parts_.self,
          .listener = inter_broker_listener(*parts_.properties),
          .request_timeout = milliseconds(parts_.properties->number("replica.socket.timeout.ms")),
          .image = parts_.image})),
      scrubber_(std::make_shared<Scrubber>(Scrubber::Parts{
          .host = parts_.host,
          .partitions = parts_.partitions,
          .bytes_per_second =
              static_cast<uint64_t>(parts_.properties->number("millrace.scrub.bytes.per.second")),
          .found = [mender = mender_](const auto& hosted) { mender->wants(hosted); }})),
      compactor_(std::make_shared<Compactor>(
          Compactor::Parts{.host = parts_.host,
                           .partitions = parts_.partitions,
                           .doubt = [scrubber = scrubber_](const auto& hosted, Offset offset) {
                             scrubber->check(hosted, offset);
                           }})) {}

Replication::~Replication() { compactor_->close(); }

BrokerEpoch Replication::broker_epoch() const {
  return registered_epoch(*parts_.image(), parts_.self);
}

Result<> Replication::apply(const PartitionAssignment& assignment) {
  const metadata::PartitionState& state = assignment.state;
  if (std::ranges::find(state.replicas, parts_.self) == state.replicas.end()) {
    const HostedPartition hosted =
        parts_.partitions->find({assignment.topic_id, assignment.name.partition});
    if (!hosted) return {};
    LOG_INFO("{} is not kept here any more", assignment.name.to_string());
    remove(assignment.name, random_uuid(parts_.host->shard(0).random()));
    return {};
  }
  ASSIGN_OR_RETURN(const HostedPartition hosted,
                   parts_.partitions->open({.name = assignment.name,
                                            .topic_id = assignment.topic_id,
                                            .settings = assignment.settings,
                                            .assigned = assigned_directory(state, parts_.self)}));
  look_after(hosted);
  if (state.leader == parts_.self)
    lead(hosted, assignment);
  else
    follow(hosted, {state.leader, state.leader_epoch});
  return {};
}

// What its log brought from the process before.
void Replication::look_after(const HostedPartition& hosted) {
  bool is_damaged = false, moves = false;
  with_partition(*hosted.partition, [&](PartitionState& state) {
    is_damaged = state.log().is_damaged();
    moves = state.future() != nullptr;
  });
  if (is_damaged) mender_->wants(hosted);
  if (moves) moves_->resume(hosted);
}

void Replication::take_settings(const config::NodeProperties& settings) {
  leader_quota_.set_rate(settings.number("leader.replication.throttled.rate"));
  follower_quota_.set_rate(settings.number("follower.replication.throttled.rate"));
  moves_->set_rate(settings.number("replica.alter.log.dirs.io.max.bytes.per.second"));
  compactor_->take_settings(settings);
}

void Replication::directory_failed(const Volume& volume) {
  for (const HostedPartition& hosted : parts_.partitions->all())
    if (hosted.volume() == &volume) stop_following(hosted);
}

void Replication::lead(const HostedPartition& hosted, const PartitionAssignment& assignment) {
  stop_following(hosted);
  const Instant now = parts_.host->shard(0).clock().now();
  with_partition(*hosted.partition, [&](PartitionState& state) {
    state.lead({.self = parts_.self,
                .lag_max = lag_max_,
                .min_insync_replicas = assignment.settings->min_insync_replicas},
               assignment.state, now);
  });
  const bool alone =
      assignment.state.replicas.size() == 1 && assignment.state.recovery_state == kRecovered;
  if (alone)
    watched_.erase(id_of(hosted));
  else
    watched_.insert_or_assign(id_of(hosted), hosted);
  noticed(hosted);
}

void Replication::follow(const HostedPartition& hosted, const Leadership& leadership) {
  auto known = followed_.find(id_of(hosted));
  if (known != followed_.end() && known->second == leadership) return;
  watched_.erase(id_of(hosted));
  with_partition(*hosted.partition, [&](PartitionState& state) { state.follow(leadership); });
  if (known != followed_.end() && known->second.leader != leadership.leader) stop_following(hosted);
  followed_[id_of(hosted)] = leadership;
  if (leadership.leader != kNoNode && !hosted.volume()->is_offline())
    fetcher_of(leadership.leader).follow(hosted, leadership.epoch);
}

void Replication::stop_following(const HostedPartition& hosted) {
  auto known = followed_.find(id_of(hosted));
  if (known == followed_.end()) return;
  if (known->second.leader != kNoNode) fetcher_of(known->second.leader).unfollow(known->first);
  followed_.erase(known);
}

void Replication::remove(const TopicPartition& name, const Uuid& suffix) {
  if (const HostedPartition hosted = parts_.partitions->find(name)) {
    stop_following(hosted);
    watched_.erase(id_of(hosted));
  }
  parts_.partitions->remove(name, suffix);
}

replica::FetcherOptions Replication::fetcher_options() const {
  const auto number = [&](const char* name) { return parts_.properties->number(name); };
  return {.self = parts_.self,
          .wait_max = milliseconds(number("replica.fetch.wait.max.ms")),
          .backoff_max = milliseconds(number("replica.fetch.backoff.ms")),
          .min_bytes = static_cast<int32_t>(number("replica.fetch.min.bytes")),
          .response_max_bytes = static_cast<int32_t>(number("replica.fetch.response.max.bytes")),
          .partition_max_bytes = static_cast<int32_t>(number("replica.fetch.max.bytes"))};
}

LeaderFetcher& Replication::fetcher_of(NodeId leader) {
  auto& fetcher = fetchers_[leader];
  if (fetcher) return *fetcher;
  const auto shard = static_cast<size_t>(leader.value()) % parts_.host->shard_count();
  fetcher = std::make_shared<LeaderFetcher>(LeaderFetcherParts{
      .host = parts_.host,
      .shard = &parts_.host->shard(shard),
      .partitions = parts_.partitions,
      .leader = leader,
      .listener = inter_broker_listener(*parts_.properties),
      .options = fetcher_options(),
      .request_timeout = milliseconds(parts_.properties->number("replica.socket.timeout.ms")),
      .image = parts_.image,
      .quota = &follower_quota_});
  return *fetcher;
}

void Replication::noticed(const HostedPartition& hosted) {
  const bool wants = with_partition(*hosted.partition, [](PartitionState& state) {
    return state.is_leader() && state.leader().has_change();
  });
  if (wants) isr_changes_->wants(hosted);
}

void Replication::start() {
  tick();
  scrubber_->start();
  compactor_->start();
}

void Replication::tick() {
  const auto image = parts_.image();
  const Instant now = parts_.host->shard(0).clock().now();
  for (const auto& [id, hosted] : watched_) {
    with_partition(*hosted.partition, [&](PartitionState& state) { state.on_tick(*image, now); });
    noticed(hosted);
  }
  const Duration interval = std::min<Duration>(lag_max_ / 2, seconds(1));
  parts_.host->shard(0).after(interval, [this, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) tick();
  });
}

void Replication::close() {
  alive_.reset();
  scrubber_->close();
  compactor_->close();
  mender_->close();
  moves_->close();
  for (auto& [leader, fetcher] : fetchers_) fetcher->close();
}

}  // namespace millrace::node
