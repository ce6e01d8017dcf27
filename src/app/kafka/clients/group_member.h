// The member of a group that the configs of Kafka's consumer describe.
// Not here: joining (client/consumer.h).
// Errors: the ConfigException that Kafka's consumer throws when it is made.
#pragma once

#include <variant>

#include "app/kafka/admin.h"
#include "client/core/consumer_membership.h"
#include "client/core/membership.h"

namespace millrace::app::kafka::clients {

using GroupMember =
    std::variant<client::core::MembershipOptions, client::core::ConsumerMembershipOptions>;

// By group.protocol and what goes with it; without group and topics.
Attempt<GroupMember> group_member(const Properties& properties);

}  // namespace millrace::app::kafka::clients
