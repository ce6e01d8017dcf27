// OffsetCommit, OffsetDelete and DeleteGroups.
#include <algorithm>

#include "base/hash.h"
#include "group/classic_protocol.h"
#include "group/offsets.h"
#include "group/records.h"
#include "group/share_protocol.h"

namespace millrace::group {
namespace {

constexpr int16_t kHasTopicIds = 10;
constexpr int16_t kSaysGroupIdNotFound = 9;
constexpr int16_t kHasMemberEpochs = 9;

// The length of Java's string of the same text: characters beyond the basic plane count twice.
size_t utf16_length(std::string_view utf8) {
  size_t units = 0;
  for (const char c : utf8) {
    const auto byte = static_cast<uint8_t>(c);
    if ((byte & 0xC0) != 0x80) units += byte >= 0xF0 ? 2 : 1;
  }
  return units;
}

TimestampMs expiry_of(TimestampMs wall, int64_t retention_ms) {
  if (retention_ms == -1) return kNoTimestamp;
  int64_t at = 0;
  if (__builtin_add_overflow(wall.value(), retention_ms, &at)) at = INT64_MAX;
  return TimestampMs(at);
}

ResolvedTopic resolve(const wire::OffsetCommitRequest::OffsetCommitRequestTopic& topic,
                      const Topics& topics, int16_t version) {
  if (version >= kHasTopicIds) {
    const auto name = topics.name_of(topic.topic_id);
    if (!name) return {"", topic.topic_id, ErrorCode::kUnknownTopicId};
    return {*name, topic.topic_id};
  }
  const auto id = topics.id_of(topic.name);
  if (!id) return {topic.name, {}, ErrorCode::kUnknownTopicOrPartition};
  return {topic.name, *id};
}

// Those that there are.
std::vector<CommittedPartition> partitions_of(const wire::OffsetCommitRequest& request,
                                              const Topics& topics, int16_t version) {
  std::vector<CommittedPartition> partitions;
  for (const auto& topic : request.topics) {
    const ResolvedTopic resolved = resolve(topic, topics, version);
    if (resolved.error != ErrorCode::kNone) continue;
    for (const auto& partition : topic.partitions)
      if (topics.has_partition(resolved.name, PartitionIndex(partition.partition_index)))
        partitions.push_back({resolved.name, resolved.id, partition.partition_index});
  }
  return partitions;
}

using CommitAnswer = wire::OffsetCommitResponse::OffsetCommitResponseTopic;
using DeleteAnswer = wire::OffsetDeleteResponse::OffsetDeleteResponseTopic;

bool is_same(const CommitAnswer& a, const CommitAnswer& b) {
  return a.name == b.name && a.topic_id == b.topic_id;
}
bool is_same(const DeleteAnswer& a, const DeleteAnswer& b) { return a.name == b.name; }

// What the metadata refuses comes first, what the group decides on behind it; a topic of both has
// one entry. Kafka's order.
template <class Answer>
void append_topics(std::vector<Answer>& refused, std::vector<Answer> decided) {
  if (refused.empty()) {
    refused = std::move(decided);
    return;
  }
  for (Answer& topic : decided) {
    const auto at =
        std::ranges::find_if(refused, [&](const Answer& other) { return is_same(topic, other); });
    if (at == refused.end())
      refused.push_back(std::move(topic));
    else
      at->partitions.insert(at->partitions.end(), topic.partitions.begin(), topic.partitions.end());
  }
}

}  // namespace

bool Offsets::is_too_long(std::string_view metadata) const {
  return utf16_length(metadata) > static_cast<size_t>(state_.config.offset_metadata_max_size);
}

ErrorCode Offsets::check_classic_commit(ClassicGroup& group,
                                        const wire::OffsetCommitRequest& request) {
  const bool simple = request.generation_id_or_member_epoch < 0;
  if (simple && group.is_in(ClassicState::kEmpty)) return ErrorCode::kNone;
  if (simple && request.member_id.empty() && !request.group_instance_id)
    return ErrorCode::kUnknownMemberId;
  const ErrorCode error =
      ClassicProtocol::check_member(group, request.member_id, request.group_instance_id);
  if (error != ErrorCode::kNone) return error;
  if (request.generation_id_or_member_epoch != group.generation())
    return ErrorCode::kIllegalGeneration;
  if (group.is_in(ClassicState::kCompletingRebalance)) return ErrorCode::kRebalanceInProgress;
  ClassicProtocol(step_).keep_alive(group, *group.find(request.member_id));
  return ErrorCode::kNone;
}

// A member commits at its epoch, or at an older one what it has had since then: a rebalance does
// not take away what it is still reading (KIP-1251).
ErrorCode Offsets::check_consumer_commit(const ConsumerGroup& group, const MemberCommit& commit,
                                         std::span<const CommittedPartition> partitions) const {
  if (commit.epoch < 0 && group.is_empty()) return ErrorCode::kNone;
  const ConsumerMember* member = group.find(commit.member_id);
  if (member == nullptr) return ErrorCode::kUnknownMemberId;
  if (!commit.is_transactional && !member->uses_classic() && commit.api_version < kHasMemberEpochs)
    return ErrorCode::kUnsupportedVersion;
  const CurrentAssignment& current = member->current;
  if (commit.epoch == current.member_epoch) return ErrorCode::kNone;
  const bool covered = commit.epoch < current.member_epoch &&
                       std::ranges::all_of(
                           partitions,
                           [&](const CommittedPartition& partition) {
                             const auto since =
                                 current.epoch_of(partition.topic_id, partition.index);
                             return since && commit.epoch >= *since;
                           });
  if (covered) return ErrorCode::kNone;
  const bool is_generation = member->uses_classic() || commit.is_transactional;
  return is_generation ? ErrorCode::kIllegalGeneration : ErrorCode::kStaleMemberEpoch;
}

// The same of a task's partitions: of each topic that its subtopology reads.
ErrorCode Offsets::check_streams_commit(const StreamsGroup& group, const MemberCommit& commit,
                                        std::span<const CommittedPartition> partitions) const {
  if (commit.epoch < 0 && group.is_empty()) return ErrorCode::kNone;
  const StreamsMember* member = group.find(commit.member_id);
  if (member == nullptr) return ErrorCode::kUnknownMemberId;
  if (!commit.is_transactional && commit.api_version < kHasMemberEpochs)
    return ErrorCode::kUnsupportedVersion;
  const streams::CurrentTasks& current = member->current;
  if (commit.epoch == current.member_epoch) return ErrorCode::kNone;
  const auto since = [&](const std::string& subtopology, int32_t index) -> std::optional<int32_t> {
    for (const streams::OwnedTasks* tasks : {&current.assigned, &current.revoking})
      if (streams::contains(tasks->active, subtopology, index))
        return tasks->active.find(subtopology)->second.at(index);
    return std::nullopt;
  };
  const auto is_covered = [&](const CommittedPartition& partition) {
    const std::string* reader = group.reader_of(partition.topic);
    if (reader == nullptr) return false;
    const auto assigned = since(*reader, partition.index);
    return assigned && commit.epoch >= *assigned;
  };
  const bool covered =
      commit.epoch < current.member_epoch && std::ranges::all_of(partitions, is_covered);
  if (covered) return ErrorCode::kNone;
  return commit.is_transactional ? ErrorCode::kIllegalGeneration : ErrorCode::kStaleMemberEpoch;
}

ErrorCode Offsets::check_commit(const wire::OffsetCommitRequest& request, int16_t version,
                                const Topics& topics) {
  Group* group = state_.find(request.group_id);
  if (group == nullptr) {
    if (request.generation_id_or_member_epoch < 0) return ErrorCode::kNone;  // a simple group
    return version >= kSaysGroupIdNotFound ? ErrorCode::kGroupIdNotFound
                                           : ErrorCode::kIllegalGeneration;
  }
  if (auto* classic = group->as<ClassicGroup>()) return check_classic_commit(*classic, request);
  if (group->as<ShareGroup>() != nullptr) return ErrorCode::kGroupIdNotFound;
  const MemberCommit commit{.member_id = request.member_id,
                            .epoch = request.generation_id_or_member_epoch,
                            .api_version = version};
  const auto partitions = partitions_of(request, topics, version);
  if (const auto* consumer = group->as<ConsumerGroup>())
    return check_consumer_commit(*consumer, commit, partitions);
  return check_streams_commit(*group->as<StreamsGroup>(), commit, partitions);
}

ErrorCode Offsets::commit_partition(const CommitPartition& partition, const ResolvedTopic& topic,
                                    const wire::OffsetCommitRequest& request) {
  CommittedOffset offset{.offset = Offset(partition.committed_offset),
                         .leader_epoch = LeaderEpoch(partition.committed_leader_epoch),
                         .commit_timestamp = step_.wall,
                         .expire_timestamp = expiry_of(step_.wall, request.retention_time_ms),
                         .topic_id = topic.id,
                         .metadata = partition.committed_metadata.value_or("")};
  if (is_too_long(offset.metadata)) return ErrorCode::kOffsetMetadataTooLarge;
  step_.append(offset_record(request.group_id,
                             {topic.name, PartitionIndex(partition.partition_index)}, offset));
  return ErrorCode::kNone;
}

void Offsets::commit(const wire::OffsetCommitRequest& request, const Topics& topics,
                     const RequestContext& context) {
  std::optional<ErrorCode> group_error;  // asked for only when there is something to commit
  wire::OffsetCommitResponse response;
  std::vector<CommitAnswer> decided;
  for (const CommitTopic& topic : request.topics) {
    const ResolvedTopic resolved = resolve(topic, topics, context.api_version);
    CommitAnswer refused{.name = topic.name, .topic_id = topic.topic_id};
    CommitAnswer answer = refused;
    for (const CommitPartition& partition : topic.partitions) {
      const PartitionIndex index(partition.partition_index);
      ErrorCode error = resolved.error;
      if (error == ErrorCode::kNone && !topics.has_partition(resolved.name, index))
        error = ErrorCode::kUnknownTopicOrPartition;
      const bool known = error == ErrorCode::kNone;
      if (known && !group_error) group_error = check_commit(request, context.api_version, topics);
      if (known) error = *group_error;
      if (error == ErrorCode::kNone) error = commit_partition(partition, resolved, request);
      (known ? answer : refused)
          .partitions.push_back({.partition_index = index.value(), .error_code = code_of(error)});
    }
    if (resolved.error != ErrorCode::kNone || !refused.partitions.empty())
      response.topics.push_back(std::move(refused));
    if (!answer.partitions.empty()) decided.push_back(std::move(answer));
  }
  append_topics(response.topics, std::move(decided));
  step_.reply(context.ticket, std::move(response));
}

ErrorCode Offsets::check_offset_delete(const std::string& group_id) {
  if (group_id.empty()) return ErrorCode::kInvalidGroupId;
  Group* group = state_.find(group_id);
  if (group == nullptr) return ErrorCode::kGroupIdNotFound;
  if (const auto* classic = group->as<ClassicGroup>())
    return classic->is_in(ClassicState::kEmpty) || classic->uses_consumer_protocol()
               ? ErrorCode::kNone
               : ErrorCode::kNonEmptyGroup;
  return group->as<ShareGroup>() != nullptr ? ErrorCode::kGroupIdNotFound : ErrorCode::kNone;
}

bool Offsets::is_subscribed(const std::string& group_id, const std::string& topic) {
  Group* group = state_.find(group_id);
  if (const auto* classic = group->as<ClassicGroup>()) return classic->is_subscribed_to(topic);
  if (const auto* consumer = group->as<ConsumerGroup>())
    return consumer->subscribed_topics().contains(topic);
  return group->as<StreamsGroup>()->is_subscribed_to(topic);
}

ErrorCode Offsets::delete_offset(const std::string& group_id, const PartitionRef& ref) {
  if (is_subscribed(group_id, std::string(ref.topic))) return ErrorCode::kGroupSubscribedToTopic;
  if (state_.offsets.find(group_id, ref) || state_.offsets.is_pending(group_id, ref))
    step_.append(offset_tombstone(group_id, ref));
  return ErrorCode::kNone;
}

void Offsets::delete_offsets(const wire::OffsetDeleteRequest& request, const Topics& topics,
                             const RequestContext& context) {
  wire::OffsetDeleteResponse response;
  const ErrorCode group_error = check_offset_delete(request.group_id);
  response.error_code = code_of(group_error);
  if (group_error != ErrorCode::kNone) return step_.reply(context.ticket, std::move(response));
  std::vector<DeleteAnswer> decided;
  for (const auto& topic : request.topics) {
    DeleteAnswer refused{.name = topic.name};
    DeleteAnswer answer = refused;
    for (const auto& partition : topic.partitions) {
      const PartitionRef ref{topic.name, PartitionIndex(partition.partition_index)};
      const bool known = topics.has_partition(ref.topic, ref.partition);
      const ErrorCode error =
          known ? delete_offset(request.group_id, ref) : ErrorCode::kUnknownTopicOrPartition;
      (known ? answer : refused)
          .partitions.push_back(
              {.partition_index = partition.partition_index, .error_code = code_of(error)});
    }
    if (!refused.partitions.empty()) response.topics.push_back(std::move(refused));
    if (!answer.partitions.empty()) decided.push_back(std::move(answer));
  }
  append_topics(response.topics, std::move(decided));
  step_.reply(context.ticket, std::move(response));
}

ErrorCode Offsets::delete_group(const std::string& group_id) {
  Group* group = state_.find(group_id);
  if (group == nullptr) return ErrorCode::kGroupIdNotFound;
  std::vector<machine::KeyValueRecord> records;
  if (const auto* classic = group->as<ClassicGroup>()) {
    if (!classic->is_in(ClassicState::kEmpty)) return ErrorCode::kNonEmptyGroup;
    records.push_back(group_metadata_tombstone(group_id));
  } else if (const auto* consumer = group->as<ConsumerGroup>()) {
    if (!consumer->is_empty()) return ErrorCode::kNonEmptyGroup;
    records = consumer->tombstones();
  } else if (const auto* share = group->as<ShareGroup>()) {
    if (!share->is_empty()) return ErrorCode::kNonEmptyGroup;
    records = share->tombstones();
  } else {
    const auto& streams = *group->as<StreamsGroup>();
    if (!streams.is_empty()) return ErrorCode::kNonEmptyGroup;
    records = streams.tombstones();
  }
  state_.offsets.for_each(group_id, [&](const PartitionRef& partition) {
    step_.append(offset_tombstone(group_id, partition));
  });
  for (auto& record : records) step_.append(std::move(record));
  return ErrorCode::kNone;
}

void Offsets::delete_groups(const wire::DeleteGroupsRequest& request,
                            const RequestContext& context) {
  GroupDeletions deletions;
  std::set<std::string_view> seen;
  for (const std::string& id : request.groups_names) {
    if (!seen.insert(id).second) continue;
    auto& result = deletions.response.results.emplace_back();
    result.group_id = id;
    const ShareGroup* share = state_.find_share(id);
    if (share != nullptr && ShareProtocol(step_).begin_deletion(*share, context))
      ++deletions.left;
    else
      result.error_code = code_of(delete_group(id));
  }
  if (deletions.left == 0) return step_.reply(context.ticket, std::move(deletions.response));
  state_.group_deletions.emplace(context.ticket, std::move(deletions));
}

}  // namespace millrace::group
