// What the sources of kafka-streams-groups share.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "app/kafka/groups_admin.h"
#include "app/kafka/options.h"

namespace millrace::app::kafka::groups {

// Which groups the script is about.
GroupFilter streams_groups_only();

// What a group committed of the topics that it reads; without `repartitions`, of those only that
// come from outside.
Attempt<CommittedOffsets> committed_by_streams(Admin& admin, const std::string& group,
                                               bool repartitions);

// The topics of an application's own, as its topology says; those that are not called so are said
// to be left alone.
using InternalTopics = std::map<std::string, std::vector<std::string>>;  // by group
InternalTopics internal_topics(Admin& admin, const std::vector<std::string>& groups);
Attempt<> describe_streams_groups(Admin& admin, const Options& options);
Attempt<> reset_streams_groups(Admin& admin, const Options& options);
Attempt<> delete_streams_groups(Admin& admin, const Options& options);
Attempt<> delete_streams_offsets(Admin& admin, const Options& options);

}  // namespace millrace::app::kafka::groups
