// What a node says over HTTP: whether it lives and is ready, and its metrics.
//   GET /livez    200 while the process answers; not while its logs are recovered
//   GET /readyz   200 when clients are served, else 503
//   GET /metrics  Prometheus text; with ?partitions=1 a series for each partition too
// Not here: HTTP itself (gateway/http_server), what the metrics are (gateway/metrics).
// Threads: as HttpServer; set_ready() on shard 0.
#pragma once

#include "gateway/http_server.h"
#include "gateway/metrics.h"

namespace millrace::gateway {

class Gateway {
 public:
  struct Parts {
    env::Host* host = nullptr;
    node::Node* node = nullptr;
    server::Server* server = nullptr;
    std::function<ProcessFacts()> process;
  };
  explicit Gateway(Parts parts);

  // kExists: the port is taken. Clients may push their metrics from now on.
  Result<> listen(const env::Address& address);
  uint16_t port() const { return http_.port(); }
  void set_ready(bool is_ready) { is_ready_ = is_ready; }

 private:
  void serve(env::Shard& shard, const http::Request& request, Respond respond);
  void serve_readiness(env::Shard& shard, Respond respond);
  void serve_metrics(env::Shard& shard, bool with_partitions, Respond respond);

  Parts parts_;
  HttpServer http_;
  bool is_ready_ = false;  // of shard 0
};

}  // namespace millrace::gateway
