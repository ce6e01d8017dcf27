// The broker's listeners: accepts connections, counts them against the limits, closes idle ones,
// drains at the end.
// Not here: one connection (server/connection), the APIs (server/dispatch).
// Threads: start() and stop() on shard 0; everything of one shard's connections on that shard.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/properties.h"
#include "env/host.h"
#include "server/connection.h"
#include "server/connection_quota.h"
#include "server/dispatch.h"

namespace millrace::server {

class Server {
 public:
  Server(env::Host& host, node::Node& node);
  // Closes what is open; whoever holds a Reply still may drop it afterwards.
  ~Server();

  // Listens; the real port (a listener may ask for any) is port_of(name).
  Result<> listen(const config::ListenerAddress& address);
  uint16_t port_of(const std::string& listener) const;
  // What requests that are not whole hold, of each shard.
  std::vector<const InputMemory*> input_memory() const;
  // The most that any connection has of answers that its peer does not take.
  size_t longest_backlog() const;
  // No new connections, no more requests; `done` runs on shard 0 when all connections are closed.
  void drain(std::move_only_function<void()> done);

 private:
  struct ShardConnections {
    explicit ShardConnections(Services services) : dispatcher(std::move(services)) {}
    ShardInput input;
    Dispatcher dispatcher;
    std::vector<std::shared_ptr<Connection>> open;
  };
  void accepted(env::Shard& shard, const std::string& listener,
                std::unique_ptr<env::Connection> stream);
  void forget(size_t shard, Connection& connection);
  void close_idle(size_t shard);
  void close_all(size_t shard, Instant until, std::function<void()> done);

  env::Host* host_;
  node::Node* node_;
  FetchSessionCache fetch_sessions_;
  ConnectionLimits limits_;
  Duration max_idle_;
  ConnectionQuota quota_;
  std::vector<std::unique_ptr<ShardConnections>> shards_;
  std::vector<std::pair<std::string, std::unique_ptr<env::Listener>>> listeners_;
};

}  // namespace millrace::server
