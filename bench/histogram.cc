#include "histogram.h"

#include <algorithm>
#include <bit>

namespace millrace::bench {

void Histogram::add(uint64_t value) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kSubBits - 1);
  const size_t index = static_cast<size_t>(shift) * kSub + static_cast<size_t>(value >> shift);
  ++counts_[std::min(index, counts_.size() - 1)];
  ++count_;
  largest_ = std::max(largest_, value);
}

uint64_t Histogram::percentile(double share) const {
  const auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_));
  uint64_t seen = 0;
  for (size_t index = 0; index < counts_.size(); ++index) {
    seen += counts_[index];
    if (seen <= wanted || counts_[index] == 0) continue;
    const size_t shift = index < 2 * kSub ? 0 : index / kSub - 1;
    const uint64_t within = index - shift * kSub;
    return std::min(((within + 1) << shift) - 1, largest_);
  }
  return largest_;
}

}  // namespace millrace::bench
