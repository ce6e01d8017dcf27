#include "node/partition_quota.h"

#include <algorithm>

namespace millrace::node {

void ReplicationQuota::forget_before(Instant oldest) {
  while (!noted_.empty() && noted_.front().begin <= oldest) noted_.pop_front();
}

void ReplicationQuota::note(uint64_t bytes, Instant now) {
  if (!has_limit()) return;
  std::lock_guard lock(mutex_);
  forget_before(now - windows_.count * windows_.length);
  if (noted_.empty() || now - noted_.back().begin >= windows_.length) noted_.push_back({now});
  noted_.back().bytes += bytes;
}

bool ReplicationQuota::is_exceeded(Instant now) {
  if (!has_limit()) return false;
  std::lock_guard lock(mutex_);
  forget_before(now - windows_.count * windows_.length);
  if (noted_.empty()) return false;
  uint64_t bytes = 0;
  for (const Window& window : noted_) bytes += window.bytes;
  const Duration covered = std::max(now - noted_.front().begin, windows_.length);
  const double seconds = std::chrono::duration<double>(covered).count();
  return static_cast<double>(bytes) / seconds > static_cast<double>(rate_.load());
}

}  // namespace millrace::node
