// Latencies in buckets that are 1/64 of their value wide, from 1 ns to hours. Threads: one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::bench {

class Histogram {
 public:
  void add(uint64_t nanoseconds);
  // The upper edge of the bucket that holds the given share (0 to 1) of all; 0 when there is none.
  uint64_t percentile(double share) const;
  uint64_t count() const { return count_; }
  uint64_t largest() const { return largest_; }

 private:
  static constexpr int kSubBits = 6;
  static constexpr size_t kSub = 1 << kSubBits;
  std::array<uint64_t, (64 - kSubBits) * kSub> counts_{};
  uint64_t count_ = 0;
  uint64_t largest_ = 0;
};

}  // namespace millrace::bench
