#include "sim/host.h"

#include <algorithm>

namespace millrace::sim {
namespace {

constexpr TimestampMs kBirth{1'700'000'000'000};  // the wall clock at the beginning
constexpr Duration kMeanTurnDelay = std::chrono::microseconds(20);
constexpr double kStallChance = 0.01;

class DiskThread final : public env::DiskThread {
 public:
  explicit DiskThread(Host& host) : host_(&host) {}
  void run(env::Work work) override {
    queue_->push_back(std::move(work));
    if (queue_->size() == 1) next();
  }

 private:
  // The queue outlives the thread as long as an event holds it.
  void next() {
    World& world = host_->world();
    world.after(world.disk.around(host_->options().mean_disk_time), host_->owner(),
                [this, queue = queue_, alive = std::weak_ptr(alive_)] {
                  if (alive.expired()) return;
                  queue->front()();
                  if (alive.expired()) return;
                  queue->pop_front();
                  if (!queue->empty()) next();
                });
  }

  Host* host_;
  std::shared_ptr<std::deque<env::Work>> queue_ = std::make_shared<std::deque<env::Work>>();
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

class Listener final : public env::Listener {
 public:
  Listener(Network& network, env::Address address)
      : network_(&network), address_(std::move(address)) {}
  ~Listener() override { network_->stop_listening(address_); }
  uint16_t port() const override { return address_.port; }

 private:
  Network* network_;
  env::Address address_;
};

}  // namespace

Shard::Shard(Host& host, size_t index)
    : host_(&host), index_(index), random_(host.world().schedule.next()) {}

Shard::~Shard() {
  for (Connection* connection : connections_) connection->abandon();
}

Instant Shard::now() const { return host_->world().now(); }

TimestampMs Shard::wall() const {
  const Duration passed = host_->world().now().since_start + host_->clock_error();
  return kBirth + std::chrono::duration_cast<milliseconds>(passed).count();
}

void Shard::post(env::Work work) {
  if (dead_) return;
  posted_.push_back(std::move(work));
  wake();
}

env::TimerId Shard::after(Duration delay, env::Work work) {
  const auto id = static_cast<env::TimerId>(++last_timer_);
  if (dead_) return id;
  const Instant when = now() + delay;
  timers_.emplace(std::pair(when, id), std::move(work));
  host_->world().at(when, host_->owner(), [this] { turn(); });
  return id;
}

void Shard::cancel(env::TimerId timer) {
  std::erase_if(timers_, [&](auto& entry) { return entry.first.second == timer; });
}

void Shard::remove(Connection& connection) { std::erase(connections_, &connection); }

void Shard::wake() {
  if (dead_ || std::exchange(awake_, true)) return;
  World& world = host_->world();
  Duration delay = world.schedule.around(kMeanTurnDelay);
  if (host_->options().mean_stall > Duration(0) && world.schedule.chance(kStallChance))
    delay += world.schedule.around(host_->options().mean_stall);
  world.after(delay, host_->owner(), [this] { turn(); });
}

void Shard::turn() {
  awake_ = false;
  deliver_events();
  for (size_t count = posted_.size(); count > 0 && !dead_; --count) {
    auto work = std::move(posted_.front());
    posted_.pop_front();
    work();
  }
  run_timers();
  while (!end_of_turn_.empty())
    for (auto& work : std::exchange(end_of_turn_, {})) work();
  const bool more = std::ranges::any_of(
      connections_, [](const Connection* each) { return each->has_something_to_deliver(); });
  if (more || !posted_.empty()) wake();
}

// Level triggered: each connection that has something gets one event a turn.
void Shard::deliver_events() {
  const auto all = connections_;
  for (Connection* connection : all)
    if (std::ranges::find(connections_, connection) != connections_.end()) connection->deliver();
}

void Shard::run_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= now()) {
    auto timer = timers_.extract(timers_.begin());
    timer.mapped()();
  }
}

void Shard::die() {
  dead_ = true;
  auto posted = std::exchange(posted_, {});
  auto timers = std::exchange(timers_, {});
  auto end_of_turn = std::exchange(end_of_turn_, {});
}

Host::Host(Network& network, Medium& medium, const HostOptions& options)
    : network_(&network), options_(options), disk_(medium), owner_(network.world().new_owner()) {
  for (size_t i = 0; i < options.shards; ++i) shards_.push_back(std::make_unique<Shard>(*this, i));
  network.appeared(options_.name);
}

Host::~Host() { die(); }

void Host::die() {
  for (auto& shard : shards_) shard->die();
  world().drop(owner_);
}

std::unique_ptr<env::DiskThread> Host::start_disk_thread(const std::string&) {
  return std::make_unique<DiskThread>(*this);
}

Result<std::unique_ptr<env::Listener>> Host::listen(const env::Address& address,
                                                    env::AcceptFunction accept) {
  const env::Address own{.host = name(), .port = address.port};
  RETURN_IF_ERROR(network_->listen(own, {this, std::move(accept)}));
  return std::make_unique<Listener>(*network_, own);
}

void Host::connect(env::Shard& shard, const env::Address& address, env::ConnectFunction done) {
  network_->connect(*this, shard, address, std::move(done));
}

}  // namespace millrace::sim
