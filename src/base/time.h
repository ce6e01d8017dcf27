// Time as an argument. Pure code gets `now` handed in; only env::Clock knows what time it is.
// Instant is monotonic (timeouts, sessions, leases); TimestampMs (base/ids.h) is the wall clock
// (record timestamps, retention) and may jump.
#pragma once

#include <chrono>
#include <compare>

namespace millrace {

using Duration = std::chrono::nanoseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A point on the node's monotonic clock; meaningful only within one process.
struct Instant {
  Duration since_start{};
  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant t, Duration d) { return {t.since_start + d}; }
  friend constexpr Instant operator-(Instant t, Duration d) { return {t.since_start - d}; }
  friend constexpr Duration operator-(Instant a, Instant b) {
    return a.since_start - b.since_start;
  }
  static constexpr Instant never() { return {Duration::max()}; }
};

}  // namespace millrace
