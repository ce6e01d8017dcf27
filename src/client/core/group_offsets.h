// The offsets of a group's member: which committed ones it wants to know, which it wants to commit,
// and the requests of both kinds that are under way.
// Not here: when these may be sent and what an error means for the member
// (client/core/membership.h, consumer_membership.h).
// Threads: one caller at a time.
// Invariants:
//   GO1 at most one request of each kind is under way.
//   GO2 of a partition the newest offset is committed last, also when a commit is sent again.
//   GO3 an answer says nothing about a partition that was given up after the question: another may
//      have committed since, also if the partition has come back.
//   GO4 what was under way when everything was lost is not committed again.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/core/group_vocabulary.h"

namespace millrace::client::core {

class GroupOffsets {
 public:
  using Offsets = GroupVocabulary::Offsets;

  struct Identity {
    std::string group;
    std::string member_id;
    int32_t epoch = -1;  // of the member, or its generation
    std::optional<std::string> instance_id;
  };

  // What is committed of these is to be asked for.
  void want(const std::vector<TopicPartition>& partitions);
  void commit(const Offsets& offsets);
  // Neither asks for nor commits any but these.
  void keep_only(const std::set<TopicPartition>& partitions);
  void want_nothing();
  void stop_wanting(const std::set<TopicPartition>& partitions);
  // What is not under way yet is not committed any more.
  Offsets drop_commits() { return std::exchange(to_commit_, {}); }
  // Others have the partitions: the offsets that are not committed any more.
  Offsets lose_all();

  bool has_to_fetch() const { return !fetching_ && !to_fetch_.empty(); }
  bool has_to_commit() const { return !committing_ && !to_commit_.empty(); }
  bool committing() const { return committing_; }
  // Nothing is left to be committed, and nothing under way.
  bool all_committed() const { return !committing_ && to_commit_.empty(); }

  wire::OffsetFetchRequest fetch(const Identity& identity, bool says_member);
  wire::OffsetCommitRequest send_commits(const Identity& identity);

  struct Fetched {
    wire::ErrorCode error = wire::ErrorCode::kNone;  // kNetworkException: no answer
    bool again = false;  // of some: a transaction is about to end, a topic is not known yet
    std::map<TopicPartition, std::optional<Offset>> offsets;
  };
  Fetched fetched(const Result<wire::OffsetFetchResponse>& response);

  // What became of the commit under way; kCoordinatorNotAvailable without an answer.
  GroupVocabulary::CommitOutcome committed(const Result<wire::OffsetCommitResponse>& response);
  // Whether what committed() has told may be tried once more.
  bool may_commit_again() const { return !lost_; }
  void commit_again(Offsets offsets);

 private:
  std::set<TopicPartition> to_fetch_;
  std::set<TopicPartition> under_fetch_;  // of those, what the request under way asks for
  bool fetching_ = false;
  Offsets to_commit_;
  Offsets under_commit_;
  bool committing_ = false;
  bool lost_ = false;  // everything, since a commit was sent
};

}  // namespace millrace::client::core
