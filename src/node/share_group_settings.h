// How a share group is set up, for the leaders of its partitions: its own configs (share.*) within
// the broker's bounds, else the broker's (group.share.*).
// Not here: heartbeats and sessions (the group coordinator).
// Threads: values.
#pragma once

#include <string>

#include "config/group_configs.h"
#include "metadata/image.h"
#include "share/share_partition.h"

namespace millrace::node {

struct ShareGroupSettings {
  share::ShareConfig partition;
  config::OffsetReset reset;    // share.auto.offset.reset
  bool committed_only = false;  // share.isolation.level
};

ShareGroupSettings share_group_settings(const metadata::Image& image,
                                        const config::NodeProperties& settings,
                                        const std::string& group);

}  // namespace millrace::node
