// Commits, fetches and deletions of offsets, deletion of groups, and expiry. Internal to group/.
// One Offsets object serves one step; the fetch is a read of the state.
#pragma once

#include <span>
#include <string>

#include "group/state.h"

namespace millrace::group {

// Name and id of a topic that a request names by one of them.
struct ResolvedTopic {
  std::string name;
  Uuid id;
  ErrorCode error = ErrorCode::kNone;
};

struct CommittedPartition {
  std::string topic;
  Uuid topic_id;
  int32_t index = 0;
};

class Offsets {
 public:
  explicit Offsets(Step& step) : step_(step), state_(step.state) {}

  void commit(const wire::OffsetCommitRequest& request, const Topics& topics,
              const RequestContext& context);
  void commit_in_transaction(const wire::TxnOffsetCommitRequest& request, const Topics& topics,
                             const RequestContext& context);
  void delete_offsets(const wire::OffsetDeleteRequest& request, const Topics& topics,
                      const RequestContext& context);
  void delete_groups(const wire::DeleteGroupsRequest& request, const RequestContext& context);
  ErrorCode delete_group(const std::string& group_id);
  void on_topics_deleted(std::span<const DeletedTopic> topics);
  // A bounded piece of the work; arms the timer for the next one.
  void expire();

 private:
  using CommitTopic = wire::OffsetCommitRequest::OffsetCommitRequestTopic;
  using CommitPartition = wire::OffsetCommitRequest::OffsetCommitRequestPartition;

  bool is_too_long(std::string_view metadata) const;
  // Writes the offset, or says what is wrong with it.
  ErrorCode commit_partition(const CommitPartition& partition, const ResolvedTopic& topic,
                             const wire::OffsetCommitRequest& request);
  ErrorCode check_commit(const wire::OffsetCommitRequest& request, int16_t version,
                         const Topics& topics);
  // Who commits to a consumer or streams group, and in which epoch it is.
  struct MemberCommit {
    std::string_view member_id;
    int32_t epoch = -1;
    int16_t api_version = 0;
    bool is_transactional = false;
  };
  ErrorCode check_consumer_commit(const ConsumerGroup& group, const MemberCommit& commit,
                                  std::span<const CommittedPartition> partitions) const;
  ErrorCode check_streams_commit(const StreamsGroup& group, const MemberCommit& commit,
                                 std::span<const CommittedPartition> partitions) const;
  ErrorCode check_transactional_commit(const wire::TxnOffsetCommitRequest& request,
                                       const Topics& topics);
  ErrorCode check_classic_commit(ClassicGroup& group, const wire::OffsetCommitRequest& request);
  ErrorCode check_offset_delete(const std::string& group_id);
  ErrorCode delete_offset(const std::string& group_id, const PartitionRef& partition);
  bool is_subscribed(const std::string& group_id, const std::string& topic);
  size_t expire_group(const std::string& group_id, const Group& group);
  bool expire_offsets(const std::string& group_id, const Group& group);

  Step& step_;
  State& state_;
};

wire::OffsetFetchResponse::OffsetFetchResponseGroup fetch(
    State& state, const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request,
    const Topics& topics, const Coordinator::FetchOptions& options);

}  // namespace millrace::group
