// How many requests of each API one shard has answered, and how long they took from the bytes'
// arrival until the answer was ready to leave: what Kafka calls TotalTimeMs.
// Not here: who shows it (gateway/metrics).
// Cost: one slot an API that was ever asked for; an addition and two shifts a request.
// Threads: the shard's own; others ask for a copy on it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/time.h"

namespace millrace::server {

// Counts durations in four steps an octave of microseconds: a quantile is at most 25 % too long.
class DurationHistogram {
 public:
  void add(Duration took);
  void add(const DurationHistogram& other);
  uint64_t count() const;
  // The upper end of the step that holds the quantile (0 to 1); zero when there is nothing.
  Duration quantile(double which) const;

 private:
  static constexpr size_t kStepsPerOctave = 4;
  static constexpr size_t kOctaves = 32;  // up to an hour
  static size_t step_of(uint64_t microseconds);
  static uint64_t end_of(size_t step);

  std::array<uint32_t, kStepsPerOctave * kOctaves> counts_{};
};

class RequestStatistics {
 public:
  // Quantiles are those of the last one to two windows.
  static constexpr Duration kWindow = seconds(60);

  struct Api {
    uint64_t answered = 0;
    Duration total{};
    DurationHistogram before;  // of the window that ended
    DurationHistogram now;
    Instant window_end;

    DurationHistogram recent() const;
    void add(const Api& other);
  };

  // `api_key`: of an API that is served, thus never negative.
  void answered(int16_t api_key, Duration took, Instant now);
  // By API key, with windows that have ended by `now` left out.
  std::map<int16_t, Api> at(Instant now) const;

 private:
  static void turn_window(Api& api, Instant now);

  std::vector<std::unique_ptr<Api>> apis_;  // by API key; null: never asked for
};

}  // namespace millrace::server
