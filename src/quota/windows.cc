#include "quota/windows.h"

#include <algorithm>
#include <cmath>

namespace millrace::quota {
namespace {

constexpr double kMsPerSecond = 1000;

// To the nearest whole, halves upwards; what no int32 holds is as long as one can say. A quota may
// be no number at all, which throttles nobody.
int64_t rounded(double ms) {
  if (!(ms > 0)) return 0;
  return static_cast<int64_t>(std::min(std::floor(ms + 0.5), double{INT32_MAX}));
}

}  // namespace

void Samples::record(double value, int64_t now_ms) {
  if (samples_.empty()) samples_.push_back({.begin_ms = now_ms, .last_ms = now_ms});
  Sample* sample = &samples_[current_];
  if (now_ms - sample->begin_ms >= windows_.length_ms) sample = &next(now_ms);
  sample->sum += value;
  ++sample->events;
  sample->last_ms = now_ms;
}

// One more than there are windows: the oldest may overlap the time that they cover.
Samples::Sample& Samples::next(int64_t now_ms) {
  current_ = (current_ + 1) % static_cast<size_t>(windows_.count + 1);
  if (current_ >= samples_.size()) samples_.emplace_back();
  return samples_[current_] = {.begin_ms = now_ms, .last_ms = now_ms};
}

void Samples::purge(int64_t now_ms) {
  const int64_t age = windows_.count * windows_.length_ms;
  for (Sample& sample : samples_)
    if (now_ms - sample.last_ms >= age) sample = {.begin_ms = now_ms, .last_ms = now_ms};
}

double Samples::sum(int64_t now_ms) {
  purge(now_ms);
  double sum = 0;
  for (const Sample& sample : samples_) sum += sample.sum;
  return sum;
}

double Samples::average(int64_t now_ms) {
  const double all = sum(now_ms);
  int64_t events = 0;
  for (const Sample& sample : samples_) events += sample.events;
  return events == 0 ? 0 : all / static_cast<double>(events);
}

int64_t Samples::span_ms(int64_t now_ms) {
  purge(now_ms);
  int64_t oldest = now_ms;
  for (const Sample& sample : samples_) oldest = std::min(oldest, sample.begin_ms);
  int64_t span = now_ms - oldest;
  const int64_t whole = span / windows_.length_ms;
  if (whole < windows_.count - 1) span += (windows_.count - 1 - whole) * windows_.length_ms;
  return std::max<int64_t>(span, 1);
}

bool Samples::is_idle(int64_t now_ms) const {
  const int64_t age = windows_.count * windows_.length_ms;
  return std::ranges::all_of(samples_, [&](const Sample& sample) {
    return sample.events == 0 || now_ms - sample.last_ms >= age;
  });
}

double Rate::measure(int64_t now_ms) {
  const double sum = samples_.sum(now_ms);
  return sum / (static_cast<double>(samples_.span_ms(now_ms)) / kMsPerSecond);
}

// An observed rate O over a time W comes down to the bound T after X: O * W / (W + X) = T.
int64_t Rate::throttle_ms(double bound, int64_t now_ms) {
  const double observed = measure(now_ms);
  if (observed <= bound) return 0;
  return rounded((observed - bound) / bound * static_cast<double>(samples_.span_ms(now_ms)));
}

double TokenBucket::burst(double bound) const {
  return static_cast<double>(windows_.count) *
         (static_cast<double>(windows_.length_ms) / kMsPerSecond) * bound;
}

double TokenBucket::refilled(double bound, int64_t now_ms) const {
  if (is_new_) return burst(bound);
  const double seconds = static_cast<double>(now_ms - updated_ms_) / kMsPerSecond;
  return std::min(burst(bound), tokens_ + bound * seconds);
}

double TokenBucket::measure(double bound, int64_t now_ms) {
  tokens_ = refilled(bound, now_ms);
  updated_ms_ = now_ms;
  is_new_ = false;
  return tokens_;
}

void TokenBucket::take(double tokens, double bound, int64_t now_ms) {
  tokens_ = std::min(burst(bound), measure(bound, now_ms) - tokens);
}

int64_t TokenBucket::throttle_ms(double bound, int64_t now_ms) {
  const double left = measure(bound, now_ms);
  return left < 0 ? rounded(-left / bound * kMsPerSecond) : 0;
}

bool TokenBucket::is_idle(double bound, int64_t now_ms) const {
  return refilled(bound, now_ms) >= burst(bound);
}

}  // namespace millrace::quota
