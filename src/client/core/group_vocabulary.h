// What a member of a group hears and says, whichever protocol it speaks: the events that every kind
// of member knows, and the news that it has for whoever runs it. A driver for one runs the other.
// Not here: what a protocol has beside that (client/core/membership.h, consumer_membership.h).
// Threads: values.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/time.h"
#include "client/core/metadata_cache.h"
#include "wire/offset_commit.h"
#include "wire/offset_fetch.h"

namespace millrace::client::core {

struct GroupVocabulary {
  using Offsets = std::map<TopicPartition, Offset>;

  struct Start {};
  struct Coordinator {
    Result<FoundCoordinator> found;
  };
  struct OffsetsFetched {
    Result<wire::OffsetFetchResponse> response;
  };
  struct Committed {
    Result<wire::OffsetCommitResponse> response;
  };
  struct Revoked {};  // the caller has done with what News::revoke said; once for each
  struct Commit {
    Offsets offsets;
  };
  struct Leave {};
  struct Tick {};

  struct CommitOutcome {
    wire::ErrorCode error = wire::ErrorCode::kNone;
    Offsets offsets;
  };
  struct News {
    bool joined = false;  // a new assignment has come: owned()
    bool find_coordinator = false;
    NodeId to = kNoNode;                 // of the requests
    std::vector<TopicPartition> revoke;  // answered by Revoked
    bool lost = false;                   // they are another's already: commit nothing
    std::map<TopicPartition, std::optional<Offset>> assigned;  // with the committed offset
    std::optional<CommitOutcome> committed;
    std::optional<Error> failed;  // fatal: the member is out
    bool left = false;
    std::optional<Instant> wake;
  };
};

}  // namespace millrace::client::core
