// The broker's listeners: accepts connections, counts them against the limits, closes idle ones,
// drains at the end.
// Not here: one connection (server/connection), the APIs (server/dispatch).
// Threads: start() and stop() on shard 0; everything of one shard's connections on that shard.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/properties.h"
#include "env/host.h"
#include "server/client_telemetry.h"
#include "server/connection.h"
#include "server/connection_quota.h"
#include "server/connection_rates.h"
#include "server/dispatch.h"

namespace millrace::server {

// Of all shards together.
struct ServerStatistics {
  std::map<int16_t, RequestStatistics::Api> apis;  // by API key
  std::map<std::string, size_t> connections;       // that are open, by listener
};

class Server {
 public:
  Server(env::Host& host, node::Node& node);
  // Closes what is open; whoever holds a Reply still may drop it afterwards.
  ~Server();

  // Listens; the real port (a listener may ask for any) is port_of(name). Connections of clients
  // wait until serve_clients(); those to the controller are served at once.
  Result<> listen(const config::ListenerAddress& address);
  uint16_t port_of(const std::string& listener) const;
  // Asks every shard in turn; `done` runs on `shard`.
  using StatisticsDone = std::function<void(const ServerStatistics&)>;
  void collect_statistics(env::Shard& shard, StatisticsDone done);
  ClientTelemetry& telemetry() { return telemetry_; }
  // What requests that are not whole hold, of each shard.
  std::vector<const InputMemory*> input_memory() const;
  // The most that any connection has of answers that its peer does not take.
  size_t longest_backlog() const;
  void serve_clients();
  // No new connections, no more requests; `done` runs on shard 0 when all connections are closed.
  void drain(std::move_only_function<void()> done);

 private:
  struct ShardConnections {
    explicit ShardConnections(Services services) : dispatcher(std::move(services)) {}
    ShardInput input;
    Dispatcher dispatcher;
    std::vector<std::shared_ptr<Connection>> open;
    bool serves_clients = false;
    std::vector<std::shared_ptr<Connection>> waiting;  // until it does
    std::list<std::unique_ptr<env::Connection>> held;  // of addresses over their rate
  };
  void add_statistics(size_t shard, ServerStatistics& into) const;
  void visit(size_t index, std::shared_ptr<ServerStatistics> so_far, env::Shard& asker,
             StatisticsDone done);
  void accepted(env::Shard& shard, const std::string& listener,
                std::unique_ptr<env::Connection> stream);
  void begin(ShardConnections& shard, const std::shared_ptr<Connection>& connection);
  static void hold(env::Shard& shard, ShardConnections& here,
                   std::unique_ptr<env::Connection> stream, Duration wait);
  void forget(size_t shard, Connection& connection);
  bool must_wait(const ShardConnections& shard, const std::string& listener) const;
  void close_idle(size_t shard);
  void close_all(size_t shard, Instant until, std::function<void()> done);

  env::Host* host_;
  node::Node* node_;
  FetchSessionCache fetch_sessions_;
  ClientTelemetry telemetry_;
  ConnectionLimits limits_;
  Duration max_idle_;
  ConnectionQuota quota_;
  ConnectionRates rates_;
  std::vector<std::string> controller_listeners_;
  std::vector<std::unique_ptr<ShardConnections>> shards_;
  std::vector<std::pair<std::string, std::unique_ptr<env::Listener>>> listeners_;
};

}  // namespace millrace::server
