// What members of consumer groups (KIP-848) and of share groups (KIP-932) have in common: when to
// send a heartbeat and how much to tell in it, what an error in its answer asks for, and the
// assignment in it, whose topics are ids until their names are known.
// Not here: what becomes of partitions (client/core/consumer_membership.h).
// Threads: one caller at a time.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/time.h"
#include "wire/errors.h"

namespace millrace::client::core {

inline constexpr int32_t kJoiningEpoch = 0;
inline constexpr int32_t kLeavingEpoch = -1;
inline constexpr int32_t kLeavingStaticEpoch = -2;

// When the next heartbeat is due. At most one is under way.
class HeartbeatPace {
 public:
  bool due(Instant now) const { return !under_way_ && (at_once_ || now >= sent_ + interval_); }
  bool under_way() const { return under_way_; }
  // The next one tells everything, not only what has changed.
  bool tells_all() const { return tells_all_; }

  // As soon as the one under way is answered.
  void hurry() { at_once_ = true; }
  void sent(Instant now);
  void answered() { under_way_ = false; }
  void agreed(milliseconds interval) { interval_ = std::max(interval, kLeast); }
  // The coordinator may not have heard what it was told.
  void failed() { tells_all_ = at_once_ = true; }
  std::optional<Instant> wake() const;

 private:
  static constexpr milliseconds kLeast{10};

  milliseconds interval_{5000};
  Instant sent_{};
  bool under_way_ = false;
  bool at_once_ = true;
  bool tells_all_ = true;
};

enum class HeartbeatVerdict : uint8_t {
  kGoOn,
  kLater,            // the coordinator loads
  kFindCoordinator,  // it is another one
  kFenced,           // the member has lost what it had and joins anew
  kFatal,
};
HeartbeatVerdict verdict_on(wire::ErrorCode error);

// The error of a heartbeat for a person. `protocol` is "consumer" or "share".
Error heartbeat_failure(std::string_view protocol, const std::string& group, wire::ErrorCode error,
                        const std::optional<std::string>& message);
// The same when it could not be sent.
Error heartbeat_failure(std::string_view protocol, const std::string& group, const Error& error);

// What a member shall own, by topic ids, and as far as they are known the names of those.
class AssignedTopics {
 public:
  using Partitions = std::set<TopicIdPartition>;

  // Whether it is another one than before.
  bool take(Partitions partitions);
  // Whether a name was missing. One that a topic here has already is not taken: a topic that was
  // made anew waits until the old one is given up.
  bool learn(const std::map<Uuid, std::string>& names);
  void forget_target() { target_.clear(); }
  // Names of topics that are neither here nor in the target are forgotten.
  void keep_names_of(const Partitions& owned);

  Partitions named() const;        // of the target, those whose topic has a name
  std::set<Uuid> unnamed() const;  // the topics of the others
  TopicPartition name_of(const TopicIdPartition& partition) const;  // that has one
  std::set<TopicPartition> names_of(const Partitions& partitions) const;

 private:
  Partitions target_;
  std::map<Uuid, std::string> names_;
};

// The partitions of a heartbeat's answer; those below 0 are none.
template <class WireAssignment>
AssignedTopics::Partitions partitions_of(const WireAssignment& assignment) {
  AssignedTopics::Partitions partitions;
  for (const auto& topic : assignment.topic_partitions)
    for (const int32_t index : topic.partitions)
      if (index >= 0) partitions.insert({topic.topic_id, PartitionIndex(index)});
  return partitions;
}

}  // namespace millrace::client::core
