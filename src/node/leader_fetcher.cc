#include "node/leader_fetcher.h"

#include <fmt/format.h>

#include "base/log.h"
#include "replica/fetched_batches.h"
#include "wire/codec.h"

namespace millrace::node {
namespace {

// The versions of Fetch that come with a metadata.version (MetadataVersion.fetchRequestVersion).
int16_t fetch_version_of(int16_t metadata_version) {
  struct Since {
    int16_t metadata_version, fetch;
  };
  for (const Since& since : {Since{27, 18}, {21, 17}, {19, 16}, {10, 15}, {9, 14}})
    if (metadata_version >= since.metadata_version) return since.fetch;
  return 13;
}

constexpr int16_t kFirstFetchWithIds = 13;
constexpr int16_t kFirstFetchWithReplicaState = 15;
constexpr wire::VersionRange kListOffsetsVersions{4, 7};

// Where older versions say who asks.
client::core::Call fetch_call(wire::FetchRequest request, wire::VersionRange versions) {
  auto call = peer_call(wire::FetchRequest(), versions);
  call.encode = [request = std::move(request)](int16_t version) {
    if (version >= kFirstFetchWithReplicaState) return wire::encode(request, version);
    auto older = request;
    older.replica_id = std::exchange(older.replica_state, {}).replica_id;
    return wire::encode(older, version);
  };
  return call;
}

bool still_follows(const PartitionState& state, LeaderEpoch epoch) {
  return !state.is_offline() && !state.is_leader() && state.leadership().epoch == epoch;
}

Result<> append_batches(PartitionState& state, const replica::Append& action,
                        std::span<const record::BatchView> batches, TimestampMs now) {
  if (!still_follows(state, action.leader_epoch)) return fail(Errc::kClosed, "another role");
  if (state.log().log_end() != action.at)
    return fail(Errc::kInvalid,
                fmt::format("the log ends at {}, not at {}", state.log().log_end(), action.at));
  if (!batches.empty() && batches[0].base_offset() < action.at)
    RETURN_IF_ERROR(state.start_over_at(batches[0].base_offset()));
  RETURN_IF_ERROR(state.append_fetched(batches, now));
  state.learn_high_watermark(action.high_watermark);
  state.log().advance_log_start(std::min(action.log_start, state.high_watermark()));
  return {};
}

}  // namespace

BrokerEpoch registered_epoch(const metadata::Image& image, NodeId broker) {
  const metadata::Broker* registered = image.find_broker(broker);
  return registered ? registered->epoch : BrokerEpoch(-1);
}

LeaderFetcher::LeaderFetcher(LeaderFetcherParts parts)
    : parts_(std::move(parts)), fetcher_(parts_.options) {
  fetcher_.set_held([this](const TopicIdPartition& id) {
    if (!parts_.quota->is_exceeded(now())) return false;
    auto found = hosted_.find(id);
    return found != hosted_.end() && is_throttled(found->second);
  });
}

bool LeaderFetcher::is_throttled(const HostedPartition& hosted) const {
  const auto settings =
      with_partition(*hosted.partition, [](PartitionState& state) { return state.settings(); });
  return settings->follower_throttled.contains(hosted.partition->name().partition,
                                               parts_.options.self);
}

void LeaderFetcher::follow(const HostedPartition& hosted, LeaderEpoch epoch) {
  parts_.shard->post([self = shared_from_this(), hosted, epoch] {
    if (self->closed_) return;
    const Partition& partition = *hosted.partition;
    const TopicIdPartition id{partition.topic_id(), partition.name().partition};
    self->hosted_[id] = hosted;
    self->fetcher_.add({.id = id, .name = partition.name(), .leader_epoch = epoch});
    self->report(id, epoch);
    self->step();
  });
}

void LeaderFetcher::unfollow(const TopicIdPartition& id) {
  parts_.shard->post([self = shared_from_this(), id] {
    self->hosted_.erase(id);
    self->fetcher_.remove(id);
    self->step();
  });
}

void LeaderFetcher::close() {
  parts_.shard->post([self = shared_from_this()] {
    self->closed_ = true;
    self->parts_.shard->cancel(self->timer_);
    self->link_.reset();
    self->hosted_.clear();
  });
}

void LeaderFetcher::step() {
  if (closed_) return;
  if (fetcher_.is_empty()) {
    link_.reset();
    return;
  }
  send_lookup();
  send_fetch();
  arm();
}

void LeaderFetcher::arm() {
  parts_.shard->cancel(std::exchange(timer_, env::TimerId::kNone));
  const Instant deadline = fetcher_.next_deadline(now());
  if (deadline == Instant::never()) return;
  timer_ = parts_.shard->after(std::max(deadline - now(), Duration(0)),
                               [self = shared_from_this()] { self->step(); });
}

bool LeaderFetcher::connect() {
  if (link_ && !link_->over()) return true;
  const auto image = parts_.image();
  const metadata::Broker* broker = image->find_broker(parts_.leader);
  const auto address = broker ? address_on(*broker, parts_.listener) : std::nullopt;
  if (!address) return false;
  link_ = open_peer_link(*parts_.host, *parts_.shard,
                         {.address = *address,
                          .client_id = fmt::format("broker-{}-fetcher-0", parts_.options.self),
                          .connect_timeout = kConnectTimeout,
                          .request_timeout = parts_.request_timeout,
                          .owner = weak_from_this()});
  return true;
}

wire::VersionRange LeaderFetcher::fetch_versions() const {
  return {kFirstFetchWithIds, fetch_version_of(parts_.image()->metadata_version())};
}

void LeaderFetcher::send_fetch() {
  fetcher_.set_broker_epoch(registered_epoch(*parts_.image(), parts_.options.self));
  auto request = fetcher_.next_fetch(now());
  if (!request) return;
  if (!connect()) return lost(Error{Errc::kNotFound, "no address is known"});
  link_->submit(fetch_call(std::move(*request), fetch_versions()),
                [this](Result<client::core::Answer> answer) { fetched(std::move(answer)); });
}

void LeaderFetcher::fetched(Result<client::core::Answer> answer) {
  if (closed_) return;
  auto response = answer ? wire::decode<wire::FetchResponse>(answer->body, answer->version)
                         : std::unexpected(std::move(answer).error());
  if (!response) {
    lost(response.error());
  } else {
    if (std::exchange(is_lost_, false)) LOG_INFO("broker {} answers again", parts_.leader);
    carry_out(fetcher_.on_fetched(*response, now()));
  }
  step();
}

void LeaderFetcher::lost(const Error& error) {
  if (!std::exchange(is_lost_, true))
    LOG_WARN("replication from broker {}: {}; it goes on trying", parts_.leader, error.message);
  fetcher_.on_disconnected(now());
  link_.reset();
}

void LeaderFetcher::send_lookup() {
  auto request = fetcher_.next_lookup(now());
  if (!request) return;
  if (!connect()) return lost(Error{Errc::kNotFound, "no address is known"});
  link_->submit(peer_call(std::move(*request), kListOffsetsVersions),
                [this](Result<client::core::Answer> answer) { looked_up(std::move(answer)); });
}

void LeaderFetcher::looked_up(Result<client::core::Answer> answer) {
  if (closed_) return;
  auto response = answer ? wire::decode<wire::ListOffsetsResponse>(answer->body, answer->version)
                         : std::unexpected(std::move(answer).error());
  if (response)
    carry_out(fetcher_.on_looked_up(*response, now()));
  else
    lost(response.error());
  step();
}

void LeaderFetcher::carry_out(std::vector<replica::LogAction> actions) {
  std::vector<Repair> repairs;
  const auto hosted = [&](const auto& action) { return hosted_.at(action.id); };
  for (const auto& action : actions) {
    if (const auto* append_this = std::get_if<replica::Append>(&action)) append(*append_this);
    if (const auto* cut = std::get_if<replica::Truncate>(&action))
      repairs.push_back({hosted(*cut), *cut});
    if (const auto* over = std::get_if<replica::StartOver>(&action))
      repairs.push_back({hosted(*over), *over});
  }
  if (!repairs.empty()) repair(std::move(repairs));
}

void LeaderFetcher::append(const replica::Append& action) {
  const HostedPartition& hosted = hosted_.at(action.id);
  const bool is_empty = with_partition(*hosted.partition, [](PartitionState& state) {
    return state.log().log_start() == state.log().log_end();
  });
  auto batches =
      replica::fetched_batches(action.records, {action.at, action.leader_epoch, is_empty});
  Result<> done;
  if (!batches)
    done = std::unexpected(std::move(batches).error().within("from its leader"));
  else
    done = with_partition(*hosted.partition, [&](PartitionState& state) {
      return append_batches(state, action, *batches, parts_.shard->clock().wall());
    });
  if (!done) return log_failed(action.id, action.leader_epoch, done.error());
  if (!batches->empty()) parts_.partitions->appended(hosted);
  if (parts_.quota->has_limit() && is_throttled(hosted))
    parts_.quota->note(action.records.size(), now());
  report(action.id, action.leader_epoch);
}

void LeaderFetcher::repair(std::vector<Repair> repairs) {
  parts_.partitions->repair(repairs, *parts_.shard,
                            [self = shared_from_this(), repairs](size_t number, Result<> outcome) {
                              const Repair& repair = repairs[number];
                              const auto id =
                                  std::visit([](const auto& each) { return each.id; }, repair.what);
                              if (self->closed_) return;
                              if (outcome)
                                self->report(id, repair.leader_epoch());
                              else
                                self->log_failed(id, repair.leader_epoch(), outcome.error());
                              self->step();
                            });
}

void LeaderFetcher::log_failed(const TopicIdPartition& id, LeaderEpoch epoch, const Error& error) {
  const bool is_first = fetcher_.on_log_failed(id, epoch, now());
  if (is_first && error.code != Errc::kClosed)
    LOG_WARN("{}: {}; it goes on trying", hosted_.at(id).partition->name().to_string(),
             error.message);
}

void LeaderFetcher::became_durable(const TopicIdPartition& id, LeaderEpoch epoch,
                                   wire::ErrorCode code) {
  if (closed_) return;
  if (code == wire::ErrorCode::kNone)
    report(id, epoch);
  else
    fetcher_.on_log_failed(id, epoch, now());
  step();
}

void LeaderFetcher::report(const TopicIdPartition& id, LeaderEpoch epoch) {
  auto found = hosted_.find(id);
  if (found == hosted_.end()) return;
  std::optional<replica::FollowedLog> durable;
  const bool follows = with_partition(*found->second.partition, [&](PartitionState& state) {
    if (!still_follows(state, epoch)) return false;
    const storage::Log& log = state.log();
    if (state.durable_end() >= log.log_end())
      durable = replica::FollowedLog{.log_start = log.log_start(),
                                     .durable_end = log.log_end(),
                                     .last_epoch = log.latest_epoch()};
    else
      // The partition keeps this, and the fetcher the partition.
      state.wait_until_durable(log.log_end(), *parts_.shard,
                               [weak = weak_from_this(), id, epoch](wire::ErrorCode code) {
                                 if (auto self = weak.lock()) self->became_durable(id, epoch, code);
                               });
    return true;
  });
  if (durable) fetcher_.on_log(id, epoch, *durable);
  if (!follows) fetcher_.on_log_failed(id, epoch, now());
}

}  // namespace millrace::node
