// Listens for HTTP and serves it: one conversation (http/conversation) a connection.
// Not here: what a request means (the Serve function: gateway/gateway).
//
// Bounds: kMaxConnections at a time on a shard, further ones are closed at once; a connection on
// which nothing comes or goes for kIdleTime is closed. While an answer is awaited or waits for the
// peer nothing is read.
// Threads: constructed, listening and destroyed while the shards stand; a connection lives on the
// shard that it was given to, `serve` runs there, and so must its Respond.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "env/host.h"
#include "http/conversation.h"

namespace millrace::gateway {

using Respond = std::move_only_function<void(http::Response)>;
using Serve = std::function<void(env::Shard&, const http::Request&, Respond)>;

class HttpServer {
 public:
  static constexpr size_t kMaxConnections = 128;
  static constexpr Duration kIdleTime = seconds(60);

  HttpServer(env::Host& host, Serve serve);
  // When the shards stand: closes what is open.
  ~HttpServer();

  // kExists: the port is taken.
  Result<> listen(const env::Address& address);
  uint16_t port() const { return listener_ ? listener_->port() : 0; }

 private:
  class HttpConnection;
  struct Shared {
    Serve serve;
    std::vector<std::set<HttpConnection*>> open;  // of each shard, touched there
  };

  env::Host* host_;
  std::shared_ptr<Shared> shared_;
  std::unique_ptr<env::Listener> listener_;
};

}  // namespace millrace::gateway
