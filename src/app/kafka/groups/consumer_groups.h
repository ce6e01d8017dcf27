// What the sources of kafka-consumer-groups share.
#pragma once

#include <string>
#include <vector>

#include "app/kafka/groups_admin.h"
#include "app/kafka/options.h"

namespace millrace::app::kafka::groups {

// Which groups the script is about.
GroupFilter consumer_groups_only();

Attempt<> describe_consumer_groups(Admin& admin, const Options& options);
Attempt<> reset_consumer_groups(Admin& admin, const Options& options);
Attempt<> delete_consumer_offsets(Admin& admin, const Options& options);

}  // namespace millrace::app::kafka::groups
