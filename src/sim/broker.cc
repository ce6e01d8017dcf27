#include "sim/broker.h"

#include <algorithm>

#include "base/assert.h"

namespace millrace::sim {
namespace {

config::NodeProperties properties_of(config::Values values) {
  auto properties = config::NodeProperties::of(std::move(values));
  ASSERT(properties, "{}", properties.error().message);
  return std::move(*properties);
}

}  // namespace

Broker::Broker(Network& network, Medium& medium, const BrokerOptions& options)
    : network_(&network),
      medium_(&medium),
      properties_(properties_of(options.properties)),
      options_(options.host) {
  node_options_.cluster_id = options.cluster_id;
  if (has_role("broker")) node_options_.advertised = {{"PLAINTEXT", options_.name, kPort}};
  if (has_role("controller"))
    node_options_.controller_endpoint = {"CONTROLLER", options_.name, kPort + 1};
}

Broker::~Broker() { kill(); }

bool Broker::has_role(std::string_view role) const {
  const auto roles = properties_.list("process.roles");
  return std::ranges::find(roles, role) != roles.end();
}

Result<> Broker::open() {
  RETURN_IF_ERROR(life_->node.open(node_options_));
  for (const metadata::Endpoint& endpoint : node_options_.advertised)
    RETURN_IF_ERROR(listen(endpoint));
  return has_role("controller") ? listen(node_options_.controller_endpoint) : Result<>();
}

Result<> Broker::listen(const metadata::Endpoint& endpoint) {
  if (life_->host.is_silent()) return {};
  return life_->server.listen(
      {.name = endpoint.listener, .host = endpoint.host, .port = endpoint.port});
}

Result<> Broker::start() {
  ASSERT(!is_running(), "started twice");
  ++lives_;
  follows_clean_stop_ = stopped_cleanly_;
  network_->world().note(fmt::format("{} starts, life {}", options_.name, lives_));
  life_ = std::make_unique<Life>(*network_, *medium_, options_, properties_);
  if (auto opened = open(); !opened) {
    network_->world().note(options_.name + " did not start: " + opened.error().message);
    kill();
    return opened;
  }
  life_->host.shard(0).post([this, life = life_.get()] {
    life->node.start([this, life](Result<> ready) {
      stopped_cleanly_ &= !ready;
      if (ready) life->server.serve_clients();
      is_ready(std::move(ready));
    });
  });
  return {};
}

// What it says is heard after the turn that it says it in.
void Broker::is_ready(Result<> ready) {
  network_->world().after(
      Duration(0), Owner::kScenario, [this, life = lives_, ready = std::move(ready)] {
        if (life != lives_ || !is_running()) return;
        if (!ready)
          network_->world().note(options_.name + " did not start: " + ready.error().message);
        if (on_ready_) on_ready_(ready);
      });
}

void Broker::kill() { die(Network::Death::kProcess); }

void Broker::die(Network::Death death) {
  if (!is_running()) return;
  network_->died(options_.name, death);
  life_->host.die();
  life_.reset();
  medium_->process_ended();
}

void Broker::lose_power() {
  die(Network::Death::kMachine);
  medium_->lose_power();
}

void Broker::kill_at_disk_change(uint64_t changes, std::function<void()> dead) {
  medium_->die_at(changes, [this, silence = life_->host.silence(), dead = std::move(dead)] {
    *silence = true;
    network_->world().after(Duration(0), Owner::kScenario, dead);
  });
}

void Broker::stop(std::function<void()> stopped) {
  network_->world().note(options_.name + " stops");
  life_->host.shard(0).post([this, life = lives_, stopped = std::move(stopped)] {
    life_->node.leave([this, life, stopped] {
      life_->server.drain([this, life, stopped] {
        network_->world().after(Duration(0), Owner::kScenario, [this, life, stopped] {
          if (life == lives_ && is_running()) finish_stop(stopped);
        });
      });
    });
  });
}

void Broker::finish_stop(std::function<void()> stopped) {
  const auto closed = life_->node.close();
  if (!closed) LOG_ERROR("stopping: {}", closed.error().message);
  stopped_cleanly_ = closed.has_value();
  kill();
  stopped();
}

}  // namespace millrace::sim
