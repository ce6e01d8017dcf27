// Holds a loop to so many turns a second, as Kafka's ThroughputThrottler does.
// Threads: stop() from any; else one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>

namespace millrace::app::kafka::clients {

class Throttle {
 public:
  // Below 0: as fast as it goes; 0: not at all.
  explicit Throttle(double per_second)
      : per_second_(per_second),
        each_ns_(per_second > 0 ? static_cast<int64_t>(1e9 / per_second)
                                : std::numeric_limits<int64_t>::max()) {}

  // Whether to wait behind the turn `done` (from 0), so long after the first one.
  bool is_due(int64_t done, std::chrono::nanoseconds elapsed) const {
    if (per_second_ < 0) return false;
    const double seconds = static_cast<double>(elapsed.count()) / 1e9;
    return seconds > 0 && static_cast<double>(done) / seconds > per_second_;
  }
  // Sleeps from time to time, so that it is the rate on the average.
  void wait() {
    std::unique_lock lock(mutex_);
    if (per_second_ == 0) return wake_.wait(lock, [&] { return stopped_; });
    owed_ns_ += each_ns_;
    if (owed_ns_ < kLeastNs) return;
    wake_.wait_for(lock, std::chrono::nanoseconds(owed_ns_), [&] { return stopped_; });
    owed_ns_ = 0;
  }
  // Whether wait() would sleep.
  bool sleeps() const { return per_second_ == 0 || owed_ns_ >= kLeastNs - each_ns_; }
  // Whoever waits goes on.
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_all();
  }

 private:
  static constexpr int64_t kLeastNs = 2'000'000;

  double per_second_;
  int64_t each_ns_;
  int64_t owed_ns_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopped_ = false;
};

}  // namespace millrace::app::kafka::clients
