// How many bytes a second may be replicated where an operator has set a limit: on the leader's and
// the follower's side of throttled replicas (KIP-73), and between log directories (KIP-113).
// Not here: which replicas are throttled (node/topic_settings), quotas of clients.
// Time: in windows, as Kafka counts: over while what was noted in the last ones, divided by the
// time that they cover, is more than the rate. Nobody is held up: who is over does not begin.
// Threads: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

#include "base/time.h"

namespace millrace::node {

struct QuotaWindows {
  int64_t count = 11;            // replication.quota.window.num
  Duration length = seconds(1);  // replication.quota.window.size.seconds
};

class ReplicationQuota {
 public:
  static constexpr int64_t kNoLimit = INT64_MAX;

  explicit ReplicationQuota(const QuotaWindows& windows) : windows_(windows) {}

  void set_rate(int64_t bytes_per_second) { rate_ = bytes_per_second; }
  bool has_limit() const { return rate_ != kNoLimit; }
  void note(uint64_t bytes, Instant now);
  bool is_exceeded(Instant now);

 private:
  struct Window {
    Instant begin;
    uint64_t bytes = 0;
  };
  void forget_before(Instant oldest);

  const QuotaWindows windows_;
  std::atomic<int64_t> rate_ = kNoLimit;
  std::mutex mutex_;  // guards what was noted
  std::deque<Window> noted_;
};

}  // namespace millrace::node
