// Load on one broker from one thread: connections that send the same frame again and again, as fast
// as answers come or at a fixed rate, and what came of it in a measured window.
// A fixed rate is open loop: a latency counts from when the request was due, not from when it could
// be sent. Errors: any that a broker answers, and a closed connection, end the run (std::exit).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "frames.h"
#include "histogram.h"

namespace millrace::bench {

enum class Kind { kProduce, kFetch, kAsk };

struct LoadOptions {
  Kind kind = Kind::kProduce;
  std::string host = "127.0.0.1";
  uint16_t port = 9092;
  std::string topic = "bench";
  int32_t partitions = 1;  // connection i writes to (reads from) partition i % partitions
  size_t connections = 1;
  size_t pipeline = 1;  // requests under way on a connection
  BatchShape shape;
  int32_t partition_max_bytes = 1 << 20;
  ByteBuffer frame, answer;  // of kAsk: what is sent, and what answers it each time
  double rate = 0;           // requests a second over all connections; 0: as fast as answers come
  double warm_up_seconds = 0;
  double seconds = 0;  // how long is measured; 0: until `bytes`
  uint64_t bytes = 0;  // of batches, sent or received in the measured window
  pid_t broker = 0;    // whose CPU time is measured; 0: nobody's
};

struct LoadResult {
  uint64_t requests = 0;
  uint64_t bytes = 0;
  double seconds = 0;
  double broker_cpu_seconds = 0;
  double own_cpu_seconds = 0;
  Histogram latencies;
};

LoadResult run_load(const LoadOptions& options);

// Opens connections that ask for ApiVersions once and then stay silent. The descriptors.
std::vector<int> open_idle(const std::string& host, uint16_t port, size_t count);

// CPU time of a process, all its threads, those that ended too.
double cpu_seconds(pid_t process);

}  // namespace millrace::bench
