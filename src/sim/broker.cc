#include "sim/broker.h"

#include "base/assert.h"

namespace millrace::sim {
namespace {

config::NodeProperties properties_of(config::Values values) {
  auto properties = config::NodeProperties::of(std::move(values));
  ASSERT(properties, "{}", properties.error().message);
  return std::move(*properties);
}

}  // namespace

Broker::Broker(Network& network, Medium& medium, config::Values properties, HostOptions options)
    : network_(&network),
      medium_(&medium),
      properties_(properties_of(std::move(properties))),
      options_(std::move(options)) {}

Broker::~Broker() { kill(); }

Result<> Broker::start() {
  ASSERT(!is_running(), "started twice");
  ++lives_;
  network_->world().note(fmt::format("broker starts, life {}", lives_));
  life_ = std::make_unique<Life>(*network_, *medium_, options_, properties_);
  const metadata::Endpoint client{"PLAINTEXT", "broker", kPort};
  const metadata::Endpoint controller{"CONTROLLER", "broker", kPort + 1};
  auto started = life_->node.start(
      {.advertised = {client}, .controller_endpoint = controller, .cluster_id = {}});
  if (started && !life_->host.is_silent())
    started = life_->server.listen({.name = "PLAINTEXT", .host = "broker", .port = kPort});
  if (!started) {
    network_->world().note("broker did not start: " + started.error().message);
    kill();
  }
  return started;
}

void Broker::kill() {
  if (!is_running()) return;
  network_->reset_all(options_.name);
  life_->host.die();
  life_.reset();
  medium_->process_ended();
}

void Broker::lose_power() {
  kill();
  medium_->lose_power();
}

void Broker::kill_at_disk_change(uint64_t changes, std::function<void()> dead) {
  medium_->die_at(changes, [this, silence = life_->host.silence(), dead = std::move(dead)] {
    *silence = true;
    network_->world().after(Duration(0), Owner::kScenario, dead);
  });
}

void Broker::stop(std::function<void()> stopped) {
  network_->world().note("broker stops");
  life_->server.drain([this, stopped = std::move(stopped)] {
    network_->world().after(Duration(0), Owner::kScenario, [this, stopped] {
      if (is_running()) finish_stop(stopped);
    });
  });
}

void Broker::finish_stop(std::function<void()> stopped) {
  if (auto closed = life_->node.close(); !closed) LOG_ERROR("stopping: {}", closed.error().message);
  kill();
  stopped();
}

}  // namespace millrace::sim
