// --delete-offsets of groups that commit offsets: which partitions, and the table of what became of
// them.
// Not here: share groups, which commit none.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/kafka/groups_admin.h"

namespace millrace::app::kafka::groups {

// What became of the offsets of each partition (topic, index), empty before anything did; index -1
// stands for a topic that is not known.
using DeletedOffsets = std::map<std::pair<std::string, int32_t>, std::string>;

// Of topics, and topics with partitions ("topic:0,3").
Attempt<DeletedOffsets> offsets_to_delete(Admin& admin, const std::vector<std::string>& topics);
// Deletes them, and prints how that went.
Attempt<> delete_offsets(Admin& admin, const std::string& group, DeletedOffsets offsets);

}  // namespace millrace::app::kafka::groups
