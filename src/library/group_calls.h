// What is asked of a group's coordinator without being one of its members: what it has committed,
// and to commit (KIP-211: a group without members keeps its offsets for a while).
// Not here: commits of members (client/consumer.h).
// Threads: those of the client's shard.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"

namespace millrace::library {

struct Committed {
  Offset offset;
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
  std::string metadata;
};

struct CommittedOffsets {
  int16_t error = 0;                            // the first one; then nothing else counts
  std::map<TopicPartition, Committed> offsets;  // of those that have one
};

// Of these partitions; none: of all that have one.
using Wanted = std::optional<std::vector<TopicPartition>>;
void fetch_committed(client::Client& client, const std::string& group, const Wanted& wanted,
                     client::Done<CommittedOffsets> done);

// Gives the first error code, 0 if there is none.
void commit_offsets(client::Client& client, const std::string& group,
                    const std::map<TopicPartition, Offset>& offsets, client::Done<int16_t> done);

}  // namespace millrace::library
