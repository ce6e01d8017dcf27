// What classic consumers say within JoinGroup and are told within SyncGroup: subscriptions and
// assignments, each behind its version. Internal to group/.
#pragma once

#include "base/bytes.h"
#include "base/error.h"
#include "group/consumer_member.h"
#include "group/topics.h"
#include "wire/consumer_protocol.h"

namespace millrace::group {

// kTruncated, kCorrupt, ...: what is no subscription. Later versions than known are read as far as
// they are.
Result<wire::ConsumerProtocolSubscription> parse_subscription(ByteView bytes);
Result<wire::ConsumerProtocolAssignment> parse_assignment(ByteView bytes);
// `version`: as the member's subscription has it.
ByteBuffer serialize_assignment(const TargetAssignment& assignment, const Topics& topics,
                                int16_t version);
int16_t version_of(ByteView subscription);

}  // namespace millrace::group
