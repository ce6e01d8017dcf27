// The metrics page of a node: what is counted elsewhere, under the names that the JMX exporter
// gives Apache Kafka's metrics (Strimzi's rules), so that dashboards made for Kafka show a node of
// Millrace; Millrace's own begin with millrace_.
// Not here: counting (server/request_statistics, node/partition), the text format
// (gateway/exposition).
//
// Cost: everything is looked up when the page is asked for. Series for each partition are made only
// when it is asked for with them.
// Threads: metrics_page() on shard 0.
#pragma once

#include <string>

#include "node/node.h"
#include "server/server.h"

namespace millrace::gateway {

// What the operating system says of this process.
struct ProcessFacts {
  double cpu_seconds = 0;
  double start_time_seconds = 0;  // since 1970
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  size_t open_files = 0;
  size_t open_files_limit = 0;
};

struct MetricsSources {
  node::Node* node = nullptr;
  const server::ServerStatistics* server = nullptr;
  server::ClientTelemetry* telemetry = nullptr;
  ProcessFacts process;
  bool is_ready = false;
  bool with_partitions = false;
};

std::string metrics_page(const MetricsSources& sources);

}  // namespace millrace::gateway
