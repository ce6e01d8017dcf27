// What kafka-producer-perf-test tells of latencies and rates: of windows, and of the whole.
// Threads: one, but for stop_windows().
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace millrace::app::kafka::clients {

class PerfStats {
 public:
  struct Setup {
    int64_t records = 0;  // that will be sent
    int64_t interval_ms = 0;
    bool steady = false;  // of what follows the warm-up
  };
  PerfStats(const Setup& setup, int64_t now_ms);

  struct Sample {
    int64_t latency_ms = 0;
    int64_t bytes = 0;
    int64_t now_ms = 0;
  };
  void record(const Sample& sample);
  void stop_windows() { silent_ = true; }
  void print_total(int64_t now_ms);
  int64_t count() const { return count_; }

 private:
  void print_window(int64_t now_ms) const;

  Setup setup_;
  int64_t start_ms_;
  int64_t sampling_;                // every so many latencies are kept
  std::vector<int32_t> latencies_;  // kept
  int64_t count_ = 0;
  int64_t bytes_ = 0;
  int64_t max_latency_ = 0;
  int64_t total_latency_ = 0;
  struct Window {
    int64_t start_ms = 0;
    int64_t count = 0;
    int64_t bytes = 0;
    int64_t max_latency = 0;
    int64_t total_latency = 0;
  };
  Window window_;
  std::atomic<bool> silent_ = false;
};

}  // namespace millrace::app::kafka::clients
