// A broker on a medium, life after life: started, killed, without power, stopped cleanly. It is the
// same node and server that the `millrace` command runs, on a simulated host.
//
// Threads: one.
// Ownership: the medium outlives it.
#pragma once

#include <memory>

#include "config/properties.h"
#include "node/node.h"
#include "server/server.h"
#include "sim/host.h"

namespace millrace::sim {

struct BrokerOptions {
  config::Values properties;
  HostOptions host;
  std::string cluster_id;  // empty: it founds one
};

class Broker {
 public:
  static constexpr uint16_t kPort = 9092;
  static constexpr const char* kDataDirectory = "/data";

  Broker(Network& network, Medium& medium, const BrokerOptions& options);
  ~Broker();

  // A new life. An error: it refused to start, and is not running.
  Result<> start();
  // Called when a life serves clients, or has found that it cannot.
  void when_ready(std::function<void(const Result<>&)> ready) { on_ready_ = std::move(ready); }
  bool is_running() const { return life_ != nullptr; }
  // The process is gone; what it wrote stays.
  void kill();
  // So is what was not synced.
  void lose_power();
  // The process dies at its n-th change of the disk; `dead` is called soon after it has.
  void kill_at_disk_change(uint64_t changes, std::function<void()> dead);
  // Drains, closes, and calls `stopped` when it is down.
  void stop(std::function<void()> stopped);

  node::Node& node() { return life_->node; }
  const server::Server& server() const { return life_->server; }
  Host& host() { return life_->host; }
  int lives() const { return lives_; }
  // The last life that served was closed, so that it lost nothing.
  bool follows_clean_stop() const { return follows_clean_stop_; }

 private:
  struct Life {
    Life(Network& network, Medium& medium, const HostOptions& options,
         const config::NodeProperties& properties)
        : host(network, medium, options), node(host, properties), server(host, node) {}
    Host host;
    node::Node node;
    server::Server server;
  };
  bool has_role(std::string_view role) const;
  Result<> open();
  Result<> listen(const metadata::Endpoint& endpoint);
  void die(Network::Death death);
  void is_ready(Result<> ready);
  void finish_stop(std::function<void()> stopped);

  Network* network_;
  Medium* medium_;
  config::NodeProperties properties_;
  HostOptions options_;
  node::NodeOptions node_options_;
  std::unique_ptr<Life> life_;
  int lives_ = 0;
  bool stopped_cleanly_ = false;
  bool follows_clean_stop_ = false;
  std::function<void(const Result<>&)> on_ready_;
};

}  // namespace millrace::sim
