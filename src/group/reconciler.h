// How a member of a consumer group comes from what it owns to what it shall own (KIP-848): first it
// gives up what is not its any more, and says so; then it goes to the epoch of the target and gets
// what nobody else owns. Internal to group/.
// Not here: what it shall own (group/assignor.h), how long it may take (group/consumer_protocol.h).
#pragma once

#include <expected>
#include <functional>
#include <string>

#include "group/consumer_group.h"
#include "group/refusal.h"
#include "group/topics.h"
#include "wire/consumer_group_heartbeat.h"

namespace millrace::group {

using OwnedTopics = std::vector<wire::ConsumerGroupHeartbeatRequest::TopicPartitions>;

struct Reconciliation {
  const ConsumerGroup& group;
  const Topics& topics;
  const MemberMetadata& metadata;  // as of the request
  const CurrentAssignment& current;
  int32_t target_epoch = 0;
  const TargetAssignment& target;
  bool subscription_changed = false;
  const OwnedTopics* owned = nullptr;  // null: the request does not say
};

// What the member owns from now on; FENCED_MEMBER_EPOCH for one in a state that is not known.
std::expected<CurrentAssignment, Refusal> reconcile(const Reconciliation& given);

}  // namespace millrace::group
