// What the sources of kafka-share-groups share.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "app/kafka/groups_admin.h"
#include "app/kafka/options.h"

namespace millrace::app::kafka::groups {

// Where a share group begins in a partition.
struct ShareOffset {
  Offset start;
  std::optional<int32_t> leader_epoch;
  std::optional<int64_t> lag;
};
// Nothing: a partition of which the group knows no offset.
using ShareOffsets = std::map<TopicPartition, std::optional<ShareOffset>>;

// Which groups the script is about.
GroupFilter share_groups_only();
Attempt<ShareOffsets> share_offsets(Admin& admin, const std::string& group);

Attempt<> describe_share_groups(Admin& admin, const Options& options);
Attempt<> reset_share_group(Admin& admin, const Options& options);
Attempt<> delete_share_offsets(Admin& admin, const Options& options);

}  // namespace millrace::app::kafka::groups
