#include "server/request_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace millrace::server {

// Below four microseconds a step is one microsecond wide.
size_t DurationHistogram::step_of(uint64_t microseconds) {
  if (microseconds < kStepsPerOctave) return static_cast<size_t>(microseconds);
  const auto octave = static_cast<size_t>(std::bit_width(microseconds)) - 1;
  const auto within = static_cast<size_t>(microseconds >> (octave - 2)) % kStepsPerOctave;
  return (octave - 1) * kStepsPerOctave + within;
}

uint64_t DurationHistogram::end_of(size_t step) {
  if (step < kStepsPerOctave) return step + 1;
  const size_t octave = step / kStepsPerOctave + 1;
  return (kStepsPerOctave + step % kStepsPerOctave + 1) << (octave - 2);
}

void DurationHistogram::add(Duration took) {
  const auto microseconds = std::max<int64_t>(0, took / std::chrono::microseconds(1));
  const size_t step = step_of(static_cast<uint64_t>(microseconds));
  ++counts_[std::min(step, counts_.size() - 1)];
}

void DurationHistogram::add(const DurationHistogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
}

uint64_t DurationHistogram::count() const {
  return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
}

Duration DurationHistogram::quantile(double which) const {
  const auto wanted = static_cast<uint64_t>(std::ceil(which * static_cast<double>(count())));
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen > 0 && seen >= wanted) return std::chrono::microseconds(end_of(i));
  }
  return {};
}

DurationHistogram RequestStatistics::Api::recent() const {
  DurationHistogram both = before;
  both.add(now);
  return both;
}

void RequestStatistics::Api::add(const Api& other) {
  answered += other.answered;
  total += other.total;
  before.add(other.before);
  now.add(other.now);
}

void RequestStatistics::turn_window(Api& api, Instant now) {
  if (now < api.window_end) return;
  api.before = now < api.window_end + kWindow ? api.now : DurationHistogram();
  api.now = DurationHistogram();
  api.window_end = now + kWindow;
}

void RequestStatistics::answered(int16_t api_key, Duration took, Instant now) {
  const auto slot = static_cast<size_t>(api_key);
  if (slot >= apis_.size()) apis_.resize(slot + 1);
  if (!apis_[slot]) apis_[slot] = std::make_unique<Api>();
  Api& api = *apis_[slot];
  turn_window(api, now);
  ++api.answered;
  api.total += took;
  api.now.add(took);
}

std::map<int16_t, RequestStatistics::Api> RequestStatistics::at(Instant now) const {
  std::map<int16_t, Api> apis;
  for (size_t key = 0; key < apis_.size(); ++key) {
    if (!apis_[key]) continue;
    Api& api = apis[static_cast<int16_t>(key)] = *apis_[key];
    turn_window(api, now);
  }
  return apis;
}

}  // namespace millrace::server
