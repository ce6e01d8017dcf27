// What the commands about groups ask when it is a share group (KIP-932): it commits nothing, and
// begins in each partition at a start offset, behind which some records may be done with.
// Threads: those of app/session.h.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "app/session.h"

namespace millrace::app {

struct SharePosition {
  Offset start;
  std::optional<int64_t> lag;  // records that are not done with, as the coordinator counts them
};

// Where the group begins; partitions that it never read are not there.
Outcome<std::map<TopicPartition, SharePosition>> share_positions(Session& session,
                                                                 const std::string& group);
wire::AlterShareGroupOffsetsRequest request_to_move(const std::string& group,
                                                    const std::map<TopicPartition, Offset>& starts);
// Of a group without members.
Outcome<> move_share_group(Session& session, const std::string& group,
                           const std::map<TopicPartition, Offset>& starts);
// The same: it forgets all partitions of the topic.
Outcome<> forget_share_topic(Session& session, const std::string& group, const std::string& topic);

}  // namespace millrace::app
