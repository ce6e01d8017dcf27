#include "app/kafka/clients/perf_stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "app/kafka/text.h"

namespace millrace::app::kafka::clients {
namespace {

constexpr int64_t kMostKept = 500'000;
constexpr double kMegabyte = 1024.0 * 1024.0;

double per_second(int64_t amount, int64_t ms) {
  return 1000.0 * static_cast<double>(amount) / static_cast<double>(ms);
}

}  // namespace

PerfStats::PerfStats(const Setup& setup, int64_t now_ms)
    : setup_(setup),
      start_ms_(now_ms),
      sampling_(setup.records / std::min(setup.records, kMostKept)) {
  latencies_.reserve(static_cast<size_t>(setup.records / sampling_ + 1));
  window_.start_ms = now_ms;
}

void PerfStats::record(const Sample& sample) {
  if (count_ % sampling_ == 0) latencies_.push_back(static_cast<int32_t>(sample.latency_ms));
  ++count_;
  bytes_ += sample.bytes;
  total_latency_ += sample.latency_ms;
  max_latency_ = std::max(max_latency_, sample.latency_ms);
  ++window_.count;
  window_.bytes += sample.bytes;
  window_.total_latency += sample.latency_ms;
  window_.max_latency = std::max(window_.max_latency, sample.latency_ms);
  if (sample.now_ms - window_.start_ms < setup_.interval_ms) return;
  if (setup_.steady && count_ == window_.count) fmt::print("In steady state.\n");
  if (!silent_) print_window(sample.now_ms);
  std::fflush(stdout);
  window_ = {.start_ms = sample.now_ms};
}

void PerfStats::print_window(int64_t now_ms) const {
  const int64_t elapsed = now_ms - window_.start_ms;
  fmt::print(
      "{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency.\n",
      window_.count, java_fixed(per_second(window_.count, elapsed), 1),
      java_fixed(per_second(window_.bytes, elapsed) / kMegabyte, 2),
      java_fixed(static_cast<double>(window_.total_latency) / static_cast<double>(window_.count),
                 1),
      java_fixed(static_cast<double>(window_.max_latency), 1));
}

void PerfStats::print_total(int64_t now_ms) {
  const int64_t elapsed = now_ms - start_ms_;
  std::ranges::sort(latencies_);
  const size_t kept = latencies_.size();
  latencies_.push_back(0);  // what Java's array has where there is none
  const auto at = [&](double part) {
    return latencies_[static_cast<size_t>(part * static_cast<double>(kept))];
  };
  fmt::print(
      "{}{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency, {} ms "
      "50th, {} ms 95th, {} ms 99th, {} ms 99.9th.\n",
      count_, setup_.steady ? " steady state" : "", java_fixed(per_second(count_, elapsed), 6),
      java_fixed(per_second(bytes_, elapsed) / kMegabyte, 2),
      java_fixed(static_cast<double>(total_latency_) / static_cast<double>(count_), 2),
      java_fixed(static_cast<double>(max_latency_), 2), at(0.5), at(0.95), at(0.99), at(0.999));
}

}  // namespace millrace::app::kafka::clients
