// What was counted in the last few windows of time, as Apache Kafka counts: samples that begin when
// something is recorded after the last one's length is over, are reused in turn, and begin anew
// when nothing was recorded for as long as all windows together. A rate divides by the time since
// the oldest one began, yet never by less than all windows but one.
// Not here: whose rate it is, how much is allowed (quota/meters).
// Time: milliseconds of any clock that does not go back by much.
// Threads: one caller at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::quota {

struct Windows {
  int64_t count = 11;
  int64_t length_ms = 1000;
};

class Samples {
 public:
  struct Sample {
    int64_t begin_ms = 0;
    int64_t last_ms = 0;
    double sum = 0;
    int64_t events = 0;
  };

  explicit Samples(Windows windows) : windows_(windows) {}

  void record(double value, int64_t now_ms);
  double sum(int64_t now_ms);
  double average(int64_t now_ms);  // of what was recorded; nothing: 0
  // From the oldest sample until now, filled up to all windows but one; at least 1.
  int64_t span_ms(int64_t now_ms);
  const Windows& windows() const { return windows_; }
  // Nothing is left of what was recorded: as good as new.
  bool is_idle(int64_t now_ms) const;

 private:
  void purge(int64_t now_ms);
  Sample& next(int64_t now_ms);

  Windows windows_;
  size_t current_ = 0;
  std::vector<Sample> samples_;
};

// Units a second.
class Rate {
 public:
  explicit Rate(Windows windows) : samples_(windows) {}

  void record(double value, int64_t now_ms) { samples_.record(value, now_ms); }
  double measure(int64_t now_ms);
  // How long nothing may be recorded for the rate to come down to `bound`; 0: it is not above.
  int64_t throttle_ms(double bound, int64_t now_ms);
  bool is_idle(double /*bound*/, int64_t now_ms) const { return samples_.is_idle(now_ms); }

 private:
  Samples samples_;
};

// Tokens that come back at the bound's rate, up to what comes in all windows (KIP-599). A new
// bucket is full. Below zero it is exhausted.
class TokenBucket {
 public:
  explicit TokenBucket(Windows windows) : windows_(windows) {}

  void take(double tokens, double bound, int64_t now_ms);
  double measure(double bound, int64_t now_ms);
  // Until there are none too few; 0: there are enough.
  int64_t throttle_ms(double bound, int64_t now_ms);
  bool is_idle(double bound, int64_t now_ms) const;

 private:
  double burst(double bound) const;
  double refilled(double bound, int64_t now_ms) const;

  Windows windows_;
  double tokens_ = 0;
  int64_t updated_ms_ = 0;
  bool is_new_ = true;
};

}  // namespace millrace::quota
