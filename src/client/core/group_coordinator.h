// Which broker coordinates a group, as far as a member of it knows: looking for it, forgetting it,
// and the pause before anything is tried again.
// Not here: asking (the driver, by FindCoordinator), what is asked of the coordinator.
// Threads: one caller at a time.
#pragma once

#include <optional>
#include <string>

#include "base/time.h"
#include "client/core/metadata_cache.h"

namespace millrace::client::core {

class GroupCoordinator {
 public:
  GroupCoordinator(std::string group, Duration retry_backoff)
      : group_(std::move(group)), retry_backoff_(retry_backoff) {}

  // An answer of FindCoordinator. An error is fatal; else it is known, or looked for again.
  Result<> found(const Result<FoundCoordinator>& answer, Instant now);
  // Whether to ask for it now; it is being asked for then.
  bool looks(Instant now);
  void forget(Instant now);
  // Nothing is asked of anybody before a pause is over.
  void pause(Instant now) { not_before_ = now + retry_backoff_; }

  bool known() const { return node_.has_value(); }
  NodeId node() const { return node_.value_or(kNoNode); }
  bool pauses(Instant now) const { return now < not_before_; }
  Instant not_before() const { return not_before_; }

  // Whether an error says that another broker is to be asked, or this one later.
  static bool is_about(wire::ErrorCode error);

 private:
  std::string group_;
  Duration retry_backoff_;
  std::optional<NodeId> node_;
  bool looking_ = false;
  Instant not_before_{};
};

}  // namespace millrace::client::core
