// The counts of all clients of one kind of quota, with how long each was told to wait.
// Not here: which client shares which count (quota/limits), locks (node/client_quotas).
// Memory: a count that is as good as new is forgotten when there are many, so that clients which
// change their names cost no more than those that were here within all windows.
// Threads: one caller at a time.
#pragma once

#include <algorithm>
#include <map>
#include <utility>

#include "quota/limits.h"
#include "quota/windows.h"

namespace millrace::quota {

// `Count`: Rate or TokenBucket.
template <class Count>
class Meters {
 public:
  struct Meter {
    explicit Meter(Windows windows) : count(windows) {}
    Count count;
    double bound = Limits::kNone;
    Samples throttles{{.count = 2, .length_ms = 30'000}};  // as Kafka's metrics by default
  };

  explicit Meters(Windows windows) : windows_(windows) {}

  // What was counted stays.
  void set_limits(Limits limits) {
    limits_ = std::move(limits);
    for (auto& [tags, meter] : meters_) meter.bound = limits_.of(tags);
  }
  const Limits& limits() const { return limits_; }
  const Windows& windows() const { return windows_; }

  Meter& of(const Client& client, int64_t now_ms) {
    Tags tags = limits_.tags_of(client);
    if (auto found = meters_.find(tags); found != meters_.end()) return found->second;
    if (meters_.size() >= most_) forget_idle(now_ms);
    Meter& meter = meters_.emplace(tags, Meter(windows_)).first->second;
    meter.bound = limits_.of(tags);
    return meter;
  }

  size_t size() const { return meters_.size(); }
  template <class Visit>
  void each(const Visit& visit) {
    for (auto& [tags, meter] : meters_) visit(tags, meter);
  }

 private:
  static constexpr size_t kMany = 1024;

  void forget_idle(int64_t now_ms) {
    std::erase_if(meters_, [&](const auto& each) {
      return each.second.count.is_idle(each.second.bound, now_ms);
    });
    most_ = std::max(kMany, 2 * meters_.size());
  }

  const Windows windows_;
  Limits limits_;
  std::map<Tags, Meter> meters_;
  size_t most_ = kMany;
};

}  // namespace millrace::quota
