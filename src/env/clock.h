// The doors to time and chance. Pure code never sees these: drivers read them and hand the values
// in.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/time.h"

namespace millrace::env {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;  // monotonic: timeouts, sessions, leases
  virtual TimestampMs wall()
      const = 0;  // wall clock, may jump: record timestamps and retention only
};

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t next() = 0;  // uniform over all 64-bit words
  uint64_t below(uint64_t bound) {
    return next() % bound;
  }  // bound > 0; bias is irrelevant for our uses
};

}  // namespace millrace::env
