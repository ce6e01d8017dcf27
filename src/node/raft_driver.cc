#include "node/raft_driver.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "config/directories.h"
#include "raft/wire_messages.h"
#include "storage/log_directory.h"

namespace millrace::node {
namespace {

constexpr const char* kMetadataDirectory = "/__cluster_metadata-0";

// A server of controller.quorum.bootstrap.servers, whose node id is not known: -2, -3, ...
constexpr int32_t kFirstBootstrapId = -2;

constexpr wire::VersionRange kVote{0, 2}, kBeginQuorumEpoch{0, 1}, kEndQuorumEpoch{0, 1},
    kFetch{12, 18}, kFetchSnapshot{0, 1};

constexpr Duration kLongWithoutLeader = seconds(5);

int64_t seconds_between(Instant from, Instant to) {
  return std::chrono::duration_cast<seconds>(to - from).count();
}

template <class WireRequest>
constexpr wire::VersionRange versions_of() {
  if (std::is_same_v<WireRequest, wire::VoteRequest>) return kVote;
  if (std::is_same_v<WireRequest, wire::BeginQuorumEpochRequest>) return kBeginQuorumEpoch;
  if (std::is_same_v<WireRequest, wire::EndQuorumEpochRequest>) return kEndQuorumEpoch;
  if (std::is_same_v<WireRequest, wire::FetchRequest>) return kFetch;
  return kFetchSnapshot;
}

std::optional<env::Address> parse_address(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return env::Address{std::move(host), static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1))};
}

// controller.quorum.voters: "1@host:9093,2@host:9093".
raft::VoterSet static_voters(const config::NodeProperties& properties) {
  const auto listeners = properties.list("controller.listener.names");
  raft::VoterSet set;
  for (const std::string& each : properties.list("controller.quorum.voters")) {
    const size_t at = each.find('@');
    if (at == std::string::npos) continue;
    const auto address = parse_address(each.substr(at + 1));
    if (!address) continue;
    raft::Voter voter;
    voter.endpoints.push_back({.listener = listeners.empty() ? "CONTROLLER" : listeners[0],
                               .host = address->host,
                               .port = address->port});
    set.voters[NodeId(std::atoi(each.c_str()))] = std::move(voter);
  }
  return set;
}

}  // namespace

RaftDriver::RaftDriver(Parts parts, Moved moved)
    : parts_(std::move(parts)), moved_(std::move(moved)) {}

raft::Now RaftDriver::now() const {
  const env::Clock& clock = parts_.host->shard(0).clock();
  return {clock.now(), clock.wall()};
}

MetadataLogOptions RaftDriver::log_options() const {
  const config::NodeProperties& properties = *parts_.properties;
  auto ms = [&](const char* name) -> Duration { return milliseconds(properties.number(name)); };
  MetadataLogOptions options{.directory = parts_.log_dir + kMetadataDirectory,
                             .random = [this] { return parts_.host->shard(0).random().next(); },
                             .static_voters = static_voters(properties),
                             .may_found = parts_.may_found,
                             .recovery_point = parts_.recovery_point};
  options.raft = {.self = parts_.self,
                  .endpoints = parts_.endpoints,
                  .can_vote = !parts_.endpoints.empty(),
                  .election_timeout = ms("controller.quorum.election.timeout.ms"),
                  .election_backoff_max = ms("controller.quorum.election.backoff.max.ms"),
                  .fetch_timeout = ms("controller.quorum.fetch.timeout.ms"),
                  .request_timeout = ms("controller.quorum.request.timeout.ms"),
                  .retry_backoff = ms("controller.quorum.retry.backoff.ms")};
  const size_t servers = properties.list("controller.quorum.bootstrap.servers").size();
  for (size_t i = 0; i < servers; ++i)
    options.raft.bootstrap.push_back(NodeId(kFirstBootstrapId - static_cast<int32_t>(i)));
  options.snapshots = {.max_bytes_between = static_cast<uint64_t>(
                           properties.number("metadata.log.max.record.bytes.between.snapshots")),
                       .max_interval = ms("metadata.log.max.snapshot.interval.ms"),
                       .retention_bytes = properties.number("metadata.max.retention.bytes"),
                       .retention_ms = properties.number("metadata.max.retention.ms")};
  options.log = {
      .segment_bytes = static_cast<uint64_t>(properties.number("metadata.log.segment.bytes")),
      .segment_ms = properties.number("metadata.log.segment.ms"),
      .delete_old = false};
  return options;
}

// What a quorum of one says when it is opened waits for start().
Result<> RaftDriver::open() {
  ASSIGN_OR_RETURN(log_, MetadataLog::open(
                             parts_.host->disk(), log_options(),
                             [this](raft::Envelope request) { send(std::move(request)); }, now()));
  committed_ = {std::make_shared<metadata::Image>(log_->image()), log_->applied_end(),
                log_->applied_timestamp()};
  image_changes_ = log_->changes();
  return {};
}

void RaftDriver::start() {
  log_->on_tick(now());
  settle();
}

QuorumView RaftDriver::view() const {
  const raft::Machine& machine = log_->machine();
  return {.self = parts_.self,
          .leader = machine.leader(),
          .epoch = machine.epoch(),
          .high_watermark = machine.high_watermark().value_or(Offset(-1)),
          .log_end = machine.log().end(),
          .voters = machine.log().voters(),
          .replicas = machine.progress(),
          .now = now()};
}

std::optional<env::Address> RaftDriver::address_of(NodeId id) const {
  if (id <= NodeId(kFirstBootstrapId)) {
    const auto servers = parts_.properties->list("controller.quorum.bootstrap.servers");
    const auto index = static_cast<size_t>(kFirstBootstrapId - id.value());
    return index < servers.size() ? parse_address(servers[index]) : std::nullopt;
  }
  const auto endpoints = log_->machine().endpoints_of(id);
  for (const std::string& name : parts_.properties->list("controller.listener.names"))
    for (const raft::Endpoint& endpoint : endpoints)
      if (endpoint.listener == name) return env::Address{endpoint.host, endpoint.port};
  if (endpoints.empty()) return std::nullopt;
  return env::Address{endpoints[0].host, endpoints[0].port};
}

Result<Offset> RaftDriver::append(const std::vector<wire::MetadataRecord>& records,
                                  int16_t metadata_version) {
  auto base = log_->append(records, metadata_version, now());
  settle();
  return base;
}

Result<Offset> RaftDriver::change_voters(const raft::VoterSet& next) {
  auto at = log_->change_voters(next, now());
  settle();
  return at;
}

Result<Offset> RaftDriver::upgrade_kraft_version() {
  auto at = log_->upgrade_kraft_version(now());
  settle();
  return at;
}

void RaftDriver::resign() {
  log_->resign(now());
  settle();
}

void RaftDriver::on_request(raft::Message request, AnswerFunction done) {
  log_->on_request(std::move(request), std::move(done), now());
  settle();
}

// What follows from any input: new bytes are saved, the next timer is set, what is committed is
// published. An input that comes from within (a decision of `moved_`) is settled by the outer one.
void RaftDriver::settle() {
  settle_again_ = true;
  if (std::exchange(settling_, true)) return;
  while (std::exchange(settle_again_, false)) {
    save();
    publish();
    moved_();
  }
  settling_ = false;
  watch_for_a_leader();
  snapshot_if_due();
  schedule_tick();
}

// An election takes a moment; what takes longer is worth a word.
void RaftDriver::watch_for_a_leader() {
  const Instant time = now().time;
  if (log_->machine().hears_of_a_leader()) {
    if (std::exchange(leaderless_was_said_, false))
      LOG_INFO("quorum: node {} leads again, after {} s", leader(),
               seconds_between(*leaderless_since_, time));
    leaderless_since_.reset();
    return;
  }
  if (!leaderless_since_) leaderless_since_ = time;
  if (time - *leaderless_since_ < kLongWithoutLeader || leaderless_was_said_) return;
  leaderless_was_said_ = true;
  LOG_WARN("quorum: {}", what_is_missing());
}

std::string RaftDriver::what_is_missing() const {
  if (!leaderless_since_) return "";
  const Instant time = now().time;
  std::vector<NodeId> voters;
  for (const auto& [id, voter] : log_->machine().log().voters().voters) voters.push_back(id);
  std::string text = fmt::format("the quorum has had no leader for {} s",
                                 seconds_between(*leaderless_since_, time));
  if (!voters.empty())
    text += fmt::format("; of its voters {} a majority has to run", fmt::join(voters, ", "));
  for (const auto& [id, complaint] : complaints_) {
    const auto address = address_of(id);
    const bool named = id >= NodeId(0);
    const auto is_told_by_name = [&](NodeId voter) {
      return complaints_.contains(voter) && address_of(voter) == address;
    };
    if (!named && std::ranges::any_of(voters, is_told_by_name)) continue;
    text += fmt::format("; {} has not answered for {} s ({})",
                        named ? fmt::format("node {}", id) : "a bootstrap server",
                        seconds_between(complaint.since, time), complaint.why);
    if (address) text += fmt::format(" at {}:{}", address->host, address->port);
  }
  return text;
}

void RaftDriver::publish() {
  if (log_->applied_end() == committed_.end || log_->image().in_transaction()) return;
  committed_.end = log_->applied_end();
  committed_.last_contained = log_->applied_timestamp();
  if (std::exchange(image_changes_, log_->changes()) == log_->changes()) return;
  committed_.image = std::make_shared<metadata::Image>(log_->image());
}

// While one sync runs the next one collects.
void RaftDriver::save() {
  if (saving_ || !log_->has_unsaved() || log_->failure()) return;
  saving_ = true;
  parts_.disk_thread->run([this, unsaved = log_->take_unsaved()]() mutable {
    Result<> synced = log_->sync(unsaved);
    parts_.host->shard(0).post([this, unsaved = std::move(unsaved), synced = std::move(synced)] {
      saved(unsaved, synced);
    });
  });
}

// After a failed sync nothing more is said: what is in memory may not be on the medium.
void RaftDriver::saved(const Unsaved& unsaved, const Result<>& synced) {
  saving_ = false;
  if (synced) {
    log_->mark_saved(unsaved, now());
  } else {
    log_->stop(synced.error());
    storage::LogDirectory::note_failed_sync(parts_.host->disk(), parts_.log_dir);
  }
  settle();
}

void RaftDriver::snapshot_if_due() {
  if (log_->failure()) return;
  auto job = log_->begin_snapshot(committed_, now());
  if (!job) return;
  parts_.disk_thread->run([this, job = std::move(*job)]() mutable {
    const Result<> written = log_->write_snapshot(job);
    if (!written) LOG_ERROR("metadata snapshot: {}", written.error().message);
    parts_.host->shard(0).post([this, job = std::move(job), ok = written.has_value()] {
      auto gone = log_->end_snapshot(job, ok, now());
      if (gone.empty()) return;
      parts_.disk_thread->run([this, gone = std::move(gone)] {
        if (auto removed = log_->remove(gone); !removed)
          LOG_WARN("metadata log: {}", removed.error().message);
      });
    });
  });
}

void RaftDriver::schedule_tick() {
  const Instant due = log_->failure() ? Instant::never() : log_->next_deadline();
  if (due == tick_at_) return;
  env::Shard& shard = parts_.host->shard(0);
  if (tick_at_ != Instant::never()) shard.cancel(tick_);
  tick_at_ = due;
  if (due == Instant::never()) return;
  tick_ = shard.after(std::max(due - now().time, Duration(0)), [this] {
    tick_at_ = Instant::never();
    log_->on_tick(now());
    settle();
  });
}

// Fetches may be parked at the leader: they have a connection of their own.
RaftDriver::Lane RaftDriver::lane_of(const raft::Envelope& request) {
  return std::holds_alternative<raft::FetchRequest>(request.message) ? Lane::kFetch : Lane::kCalls;
}

RaftDriver::Peer* RaftDriver::peer_for(const raft::Envelope& request) {
  const auto address = address_of(request.peer);
  if (!address) return nullptr;
  Peer& peer = peers_[{request.peer, lane_of(request)}];
  const bool is_same = peer.link && peer.address == *address;
  if (is_same && !peer.link->over()) return &peer;
  peer.was_reached = is_same && (peer.was_reached || peer.link->was_connected());
  const Duration timeout =
      milliseconds(parts_.properties->number("controller.quorum.request.timeout.ms"));
  peer.address = *address;
  peer.link = open_peer_link(*parts_.host, parts_.host->shard(0),
                             {.address = *address,
                              .client_id = fmt::format("raft-client-{}", parts_.self.id),
                              .connect_timeout = timeout,
                              .request_timeout = timeout,
                              .owner = alive_});
  return &peer;
}

// The machine must not hear of a failure while it is still speaking.
void RaftDriver::send(raft::Envelope request) {
  parts_.host->shard(0).post(
      [this, weak = std::weak_ptr<void>(alive_), request = std::move(request)] {
        if (weak.expired()) return;
        if (Peer* peer = peer_for(request)) return submit(request, *peer->link);
        failed({request.peer, request.correlation}, {Errc::kNotFound, "its address is not known"});
      });
}

void RaftDriver::submit(const raft::Envelope& request, client::Link& link) {
  const std::string& cluster = parts_.cluster_id;
  if (const auto* vote = std::get_if<raft::VoteRequest>(&request.message))
    call<wire::VoteResponse>(request, link, raft::to_wire(*vote, cluster));
  if (const auto* begin = std::get_if<raft::BeginQuorumEpochRequest>(&request.message))
    call<wire::BeginQuorumEpochResponse>(request, link, raft::to_wire(*begin, cluster));
  if (const auto* end = std::get_if<raft::EndQuorumEpochRequest>(&request.message))
    call<wire::EndQuorumEpochResponse>(request, link, raft::to_wire(*end, cluster));
  if (const auto* fetch = std::get_if<raft::FetchRequest>(&request.message))
    call<wire::FetchResponse>(request, link, raft::to_wire(*fetch, cluster));
  if (const auto* chunk = std::get_if<raft::FetchSnapshotRequest>(&request.message))
    call<wire::FetchSnapshotResponse>(request, link, raft::to_wire(*chunk, cluster));
}

template <class Response, class WireRequest>
void RaftDriver::call(const raft::Envelope& request, client::Link& link, WireRequest wire_request) {
  raft::Machine::SendFailure sent{request.peer, request.correlation};
  link.submit(peer_call(std::move(wire_request), versions_of<WireRequest>()),
              [this, sent, lane = lane_of(request)](Result<client::core::Answer> answer) mutable {
                if (!answer) {
                  const Peer& peer = peers_.at({sent.peer, lane});
                  sent.gone = peer.link->over() && !peer.link->was_connected();
                  if (sent.gone && peer.was_reached) gone_.insert(sent.peer);
                  return failed(sent, answer.error());
                }
                gone_.erase(sent.peer);
                auto response = wire::decode<Response>(answer->body, answer->version);
                if (!response) return failed(sent, response.error());
                if (const auto code = static_cast<wire::ErrorCode>(response->error_code);
                    code != wire::ErrorCode::kNone)
                  return failed(sent, refusal_of(code));
                complaints_.erase(sent.peer);
                log_->on_answer({sent.peer, sent.correlation, raft::from_wire(*response)}, now());
                settle();
              });
}

Error RaftDriver::refusal_of(wire::ErrorCode code) const {
  std::string why(wire::error_name(code));
  if (code == wire::ErrorCode::kInconsistentClusterId)
    why += fmt::format(
        ": it belongs to another cluster than this node, whose directory says cluster.id={} "
        "(meta.properties)",
        parts_.cluster_id);
  return {Errc::kInvalid, std::move(why)};
}

std::string RaftDriver::name_of(NodeId peer) const {
  const auto address = address_of(peer);
  if (peer >= NodeId(0) || !address) return fmt::format("node {}", peer);
  return fmt::format("bootstrap server {}", address->to_string());
}

// Said once, until it answers again or fails for another reason.
void RaftDriver::failed(const raft::Machine::SendFailure& failure, const Error& why) {
  Complaint& said = complaints_.try_emplace(failure.peer, "", now().time).first->second;
  if (said.why != why.message) {
    const bool refuses = why.code == Errc::kInvalid;  // the others are connections that fail
    if (refuses)
      LOG_WARN("quorum: {}: {}", name_of(failure.peer), why.message);
    else
      LOG_INFO("quorum: {}: {}", name_of(failure.peer), why.message);
  }
  said.why = why.message;
  log_->on_send_failed(failure, now());
  settle();
}

}  // namespace millrace::node
