// `millrace group ...`: consumer groups, their members and committed offsets.
#pragma once

#include <map>
#include <string>

#include "app/command.h"
#include "app/session.h"

namespace millrace::app {

void add_group_commands(Command& root);
void add_group_offset_commands(Command& group);  // app/group_offsets.cc

// What the group has committed; partitions without a commit are not there.
Outcome<std::map<TopicPartition, Offset>> committed_offsets(Session& session,
                                                            const std::string& group);

}  // namespace millrace::app
