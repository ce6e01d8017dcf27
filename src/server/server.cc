#include "server/server.h"

#include <algorithm>

#include "base/log.h"
#include "server/share_acknowledgements.h"

namespace millrace::server {
namespace {

constexpr Duration kDrainTime = seconds(1);
constexpr Duration kDrainCheck = milliseconds(5);

constexpr Duration kLongestIdleCheck = seconds(10);
constexpr Duration kShortestIdleCheck = milliseconds(10);

// Of one shard, which gets an equal part of queued.max.request.bytes.
size_t input_limit_of(const config::NodeProperties& properties, size_t shards) {
  const int64_t all = properties.number("queued.max.request.bytes");
  return all > 0 ? static_cast<size_t>(all) / shards : InputMemory::kDefaultLimit;
}

}  // namespace

Server::Server(env::Host& host, node::Node& node)
    : host_(&host),
      node_(&node),
      fetch_sessions_(host, static_cast<size_t>(node.properties().number(
                                "max.incremental.fetch.session.cache.slots"))),
      telemetry_(node),
      rates_(node.properties()),
      controller_listeners_(node.properties().list("controller.listener.names")) {
  const auto& properties = node.properties();
  limits_.max_request_bytes = static_cast<size_t>(properties.number("socket.request.max.bytes"));
  max_idle_ = milliseconds(properties.number("connections.max.idle.ms"));
  const size_t input_limit = input_limit_of(properties, host.shard_count());
  for (size_t i = 0; i < host.shard_count(); ++i) {
    shards_.push_back(std::make_unique<ShardConnections>(
        Services{.node = &node, .fetch_sessions = &fetch_sessions_, .telemetry = &telemetry_}));
    shards_.back()->input.memory = InputMemory(input_limit);
    host.shard(i).post([this, i] { close_idle(i); });
  }
}

Server::~Server() {
  for (auto& shard : shards_)
    for (const auto& connection : std::vector(shard->open))
      connection->close("the broker is gone", /*expected=*/true);
}

Result<> Server::listen(const config::ListenerAddress& address) {
  auto listener = host_->listen(
      {.host = address.host, .port = address.port},
      [this, name = address.name](env::Shard& shard, std::unique_ptr<env::Connection> stream) {
        accepted(shard, name, std::move(stream));
      });
  if (!listener) return std::unexpected(std::move(listener).error());
  listeners_.emplace_back(address.name, std::move(*listener));
  return {};
}

uint16_t Server::port_of(const std::string& listener) const {
  auto found = std::ranges::find(listeners_, listener, [](const auto& l) { return l.first; });
  return found == listeners_.end() ? 0 : found->second->port();
}

std::vector<const InputMemory*> Server::input_memory() const {
  std::vector<const InputMemory*> all;
  for (const auto& shard : shards_) all.push_back(&shard->input.memory);
  return all;
}

void Server::add_statistics(size_t shard, ServerStatistics& into) const {
  const ShardConnections& here = *shards_[shard];
  for (const auto& [key, api] : here.input.statistics.at(host_->shard(shard).clock().now()))
    into.apis[key].add(api);
  for (const auto& connection : here.open) ++into.connections[connection->peer().listener];
}

void Server::collect_statistics(env::Shard& shard, StatisticsDone done) {
  visit(0, std::make_shared<ServerStatistics>(), shard, std::move(done));
}

void Server::visit(size_t index, std::shared_ptr<ServerStatistics> so_far, env::Shard& asker,
                   StatisticsDone done) {
  if (index == shards_.size()) return asker.post([so_far, done] { done(*so_far); });
  host_->shard(index).post([this, index, so_far, &asker, done = std::move(done)]() mutable {
    add_statistics(index, *so_far);
    visit(index + 1, so_far, asker, std::move(done));
  });
}

size_t Server::longest_backlog() const {
  size_t longest = 0;
  for (const auto& shard : shards_)
    for (const auto& connection : shard->open)
      longest = std::max(longest, connection->unsent_bytes());
  return longest;
}

void Server::accepted(env::Shard& shard, const std::string& listener,
                      std::unique_ptr<env::Connection> stream) {
  const size_t index = shard.index();
  ShardConnections& here = *shards_[index];
  const auto settings = node_->settings();
  const auto verdict = rates_.take({.listener = listener,
                                    .address = stream->peer_host(),
                                    .settings = *settings,
                                    .quotas = node_->image()->client_quotas()},
                                   shard.clock().now());
  if (verdict.is_refused) return hold(shard, here, std::move(stream), verdict.wait);
  const auto limits = ConnectionQuotaLimits::of(*settings);
  if (const auto reached = quota_.take(stream->peer_host(), limits)) {
    LOG_WARN("connection from {} refused: {}", stream->peer(), *reached);
    return;
  }
  auto connection = std::make_shared<Connection>(
      Connection::Parts{.stream = std::move(stream),
                        .shard = &shard,
                        .input = &here.input,
                        .handler = &here.dispatcher,
                        .closed = [this, index](Connection& closed) { forget(index, closed); }},
      listener, limits_);
  here.open.push_back(connection);
  if (verdict.wait == Duration::zero()) return begin(here, connection);
  shard.after(verdict.wait, [this, &here, weak = std::weak_ptr(connection)] {
    if (const auto waited = weak.lock(); waited && waited->is_open()) begin(here, waited);
  });
}

void Server::begin(ShardConnections& shard, const std::shared_ptr<Connection>& connection) {
  if (must_wait(shard, connection->peer().listener)) return shard.waiting.push_back(connection);
  connection->start();
}

// Who is over a rate is told so late, and cannot try again at once.
void Server::hold(env::Shard& shard, ShardConnections& here,
                  std::unique_ptr<env::Connection> stream, Duration wait) {
  LOG_DEBUG("connection from {} refused: its address is over connection_creation_rate",
            stream->peer());
  const auto place = here.held.insert(here.held.end(), std::move(stream));
  shard.after(wait, [&here, place] { here.held.erase(place); });
}

bool Server::must_wait(const ShardConnections& shard, const std::string& listener) const {
  return !shard.serves_clients &&
         std::ranges::find(controller_listeners_, listener) == controller_listeners_.end();
}

void Server::serve_clients() {
  for (size_t i = 0; i < shards_.size(); ++i)
    host_->shard(i).post([&here = *shards_[i]] {
      here.serves_clients = true;
      for (const auto& connection : std::exchange(here.waiting, {}))
        if (connection->is_open()) connection->start();
    });
}

void Server::forget(size_t shard, Connection& connection) {
  auto& open = shards_[shard]->open;
  auto found = std::ranges::find(open, &connection, [](const auto& c) { return c.get(); });
  if (found == open.end()) return;
  quota_.give_back(connection.peer().host);
  if (node_->is_broker())
    node_->share_partitions().connection_gone(connection_of(connection.peer()));
  std::swap(*found, open.back());
  // The last reference may be this one: it goes when the caller is done with the connection.
  host_->shard(shard).post([last = std::move(open.back())] {});
  open.pop_back();
}

// Again and again; a negative connections.max.idle.ms keeps every connection, as in Kafka.
void Server::close_idle(size_t shard) {
  if (max_idle_ < Duration::zero()) return;
  const Instant oldest = host_->shard(shard).clock().now() - max_idle_;
  for (const auto& connection : std::vector(shards_[shard]->open))
    if (connection->last_active() < oldest && !connection->has_unanswered_requests())
      connection->close("idle for connections.max.idle.ms", /*expected=*/true);
  host_->shard(shard).after(std::clamp(max_idle_ / 2, kShortestIdleCheck, kLongestIdleCheck),
                            [this, shard] { close_idle(shard); });
}

void Server::drain(std::move_only_function<void()> done) {
  listeners_.clear();
  auto left = std::make_shared<size_t>(shards_.size());
  auto finish = std::make_shared<std::move_only_function<void()>>(std::move(done));
  for (size_t i = 0; i < shards_.size(); ++i)
    host_->shard(i).post([this, i, left, finish] {
      close_all(i, host_->shard(i).clock().now() + kDrainTime, [this, left, finish] {
        host_->shard(0).post([left, finish] {
          if (--*left == 0) (*finish)();
        });
      });
    });
}

// Work under way gets until `until` to be answered, and its answers to be taken.
void Server::close_all(size_t shard, Instant until, std::function<void()> done) {
  const bool over = host_->shard(shard).clock().now() >= until;
  bool busy = false;
  for (const auto& connection : std::vector(shards_[shard]->open)) {
    if (!over && (connection->has_unsent_bytes() || connection->has_work_under_way()))
      busy = true;
    else
      connection->close("the broker stops", /*expected=*/true);
  }
  if (!busy) return done();
  host_->shard(shard).after(kDrainCheck,
                            [this, shard, until, done] { close_all(shard, until, done); });
}

}  // namespace millrace::server
