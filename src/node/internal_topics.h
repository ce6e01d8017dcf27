// The topics that are Kafka's own: how they are made when they are first needed.
// Not here: who needs them (server/topic_creation, node/share_state_persister), what is in them.
#pragma once

#include <string>
#include <string_view>

#include "config/properties.h"
#include "wire/create_topics.h"

namespace millrace::node {

bool is_internal_topic(std::string_view name);

// One of them with its own partition count, replication factor and configs; of any other name what
// the cluster's defaults are.
wire::CreateTopicsRequest::CreatableTopic creatable_topic(const config::NodeProperties& properties,
                                                          const std::string& name);

}  // namespace millrace::node
