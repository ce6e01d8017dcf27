// OffsetCommit, OffsetDelete and DeleteGroups.
#include "base/hash.h"
#include "group/classic_protocol.h"
#include "group/offsets.h"
#include "group/records.h"

namespace millrace::group {
namespace {

constexpr int16_t kHasTopicIds = 10;
constexpr int16_t kSaysGroupIdNotFound = 9;

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

// Name and id of a topic that a request names by one of them.
struct ResolvedTopic {
  std::string name;
  Uuid id;
  ErrorCode error = ErrorCode::kNone;
};

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

}  // namespace

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

ErrorCode Offsets::check_preserved_commit(const PreservedGroup& group,
                                          const wire::OffsetCommitRequest& request) const {
  if (group.kind() == PreservedKind::kShare) return ErrorCode::kGroupIdNotFound;
  if (request.generation_id_or_member_epoch < 0 && group.is_empty()) return ErrorCode::kNone;
  return ErrorCode::kUnknownMemberId;
}

ErrorCode Offsets::check_commit(const wire::OffsetCommitRequest& request, int16_t version) {
  Group* group = state_.find(request.group_id);
  if (group == nullptr) {
    if (request.generation_id_or_member_epoch < 0) return ErrorCode::kNone;  // a simple group
    return version >= kSaysGroupIdNotFound ? ErrorCode::kGroupIdNotFound
                                           : ErrorCode::kIllegalGeneration;
  }
  if (auto* classic = std::get_if<ClassicGroup>(group))
    return check_classic_commit(*classic, request);
  return check_preserved_commit(std::get<PreservedGroup>(*group), request);
}

void Offsets::commit(const wire::OffsetCommitRequest& request, const Topics& topics,
                     const RequestContext& context) {
  std::optional<ErrorCode> group_error;  // asked for only when there is something to commit
  const TimestampMs expires = expiry_of(step_.wall, request.retention_time_ms);
  wire::OffsetCommitResponse response;
  for (const CommitTopic& topic : request.topics) {
    const ResolvedTopic resolved = resolve(topic, topics, context.api_version);
    auto& answer = response.topics.emplace_back();
    answer.name = topic.name;
    answer.topic_id = topic.topic_id;
    for (const CommitPartition& partition : topic.partitions) {
      const PartitionRef ref{resolved.name, PartitionIndex(partition.partition_index)};
      ErrorCode error = resolved.error;
      if (error == ErrorCode::kNone && !topics.has_partition(ref.topic, ref.partition))
        error = ErrorCode::kUnknownTopicOrPartition;
      if (error == ErrorCode::kNone) {
        if (!group_error) group_error = check_commit(request, context.api_version);
        error = *group_error;
      }
      const std::string metadata = partition.committed_metadata.value_or("");
      if (error == ErrorCode::kNone &&
          utf16_length(metadata) > static_cast<size_t>(state_.config.offset_metadata_max_size))
        error = ErrorCode::kOffsetMetadataTooLarge;
      answer.partitions.push_back(
          {.partition_index = partition.partition_index, .error_code = code_of(error)});
      if (error != ErrorCode::kNone) continue;
      step_.append(offset_record(request.group_id, ref,
                                 {.offset = Offset(partition.committed_offset),
                                  .leader_epoch = LeaderEpoch(partition.committed_leader_epoch),
                                  .commit_timestamp = step_.wall,
                                  .expire_timestamp = expires,
                                  .topic_id = resolved.id,
                                  .metadata = metadata}));
    }
  }
  step_.reply(context.ticket, std::move(response));
}

ErrorCode Offsets::check_offset_delete(const std::string& group_id) {
  if (group_id.empty()) return ErrorCode::kInvalidGroupId;
  Group* group = state_.find(group_id);
  if (group == nullptr) return ErrorCode::kGroupIdNotFound;
  if (const auto* classic = std::get_if<ClassicGroup>(group))
    return classic->is_in(ClassicState::kEmpty) || classic->uses_consumer_protocol()
               ? ErrorCode::kNone
               : ErrorCode::kNonEmptyGroup;
  return std::get<PreservedGroup>(*group).kind() == PreservedKind::kShare
             ? ErrorCode::kGroupIdNotFound
             : ErrorCode::kNone;
}

bool Offsets::is_subscribed(const std::string& group_id, const std::string& topic) {
  Group* group = state_.find(group_id);
  if (const auto* classic = std::get_if<ClassicGroup>(group))
    return classic->is_subscribed_to(topic);
  return std::get<PreservedGroup>(*group).is_subscribed_to(topic);
}

void Offsets::delete_offsets(const wire::OffsetDeleteRequest& request,
                             const RequestContext& context) {
  wire::OffsetDeleteResponse response;
  const ErrorCode group_error = check_offset_delete(request.group_id);
  response.error_code = code_of(group_error);
  if (group_error != ErrorCode::kNone) return step_.reply(context.ticket, std::move(response));
  for (const auto& topic : request.topics) {
    auto& answer = response.topics.emplace_back();
    answer.name = topic.name;
    const bool subscribed = is_subscribed(request.group_id, topic.name);
    const ErrorCode error = subscribed ? ErrorCode::kGroupSubscribedToTopic : ErrorCode::kNone;
    for (const auto& partition : topic.partitions) {
      answer.partitions.push_back(
          {.partition_index = partition.partition_index, .error_code = code_of(error)});
      const PartitionRef ref{topic.name, PartitionIndex(partition.partition_index)};
      const bool there = state_.offsets.find(request.group_id, ref) ||
                         state_.offsets.is_pending(request.group_id, ref);
      if (!subscribed && there) step_.append(offset_tombstone(request.group_id, ref));
    }
  }
  step_.reply(context.ticket, std::move(response));
}

ErrorCode Offsets::delete_group(const std::string& group_id) {
  Group* group = state_.find(group_id);
  if (group == nullptr) return ErrorCode::kGroupIdNotFound;
  std::vector<machine::KeyValueRecord> records;
  if (const auto* classic = std::get_if<ClassicGroup>(group)) {
    if (!classic->is_in(ClassicState::kEmpty)) return ErrorCode::kNonEmptyGroup;
    records.push_back(group_metadata_tombstone(group_id));
  } else {
    const auto& preserved = std::get<PreservedGroup>(*group);
    // What share groups have delivered stands in another topic, which is not served.
    if (preserved.kind() == PreservedKind::kShare) return ErrorCode::kUnsupportedVersion;
    if (!preserved.is_empty()) return ErrorCode::kNonEmptyGroup;
    records = preserved.tombstones();
  }
  state_.offsets.for_each(group_id, [&](const PartitionRef& partition) {
    step_.append(offset_tombstone(group_id, partition));
  });
  for (auto& record : records) step_.append(std::move(record));
  return ErrorCode::kNone;
}

void Offsets::delete_groups(const wire::DeleteGroupsRequest& request,
                            const RequestContext& context) {
  wire::DeleteGroupsResponse response;
  std::set<std::string_view> deleted;  // before apply() the state still has them
  for (const std::string& id : request.groups_names) {
    ErrorCode error = ErrorCode::kGroupIdNotFound;
    if (!deleted.contains(id)) error = delete_group(id);
    if (error == ErrorCode::kNone) deleted.insert(id);
    response.results.push_back({.group_id = id, .error_code = code_of(error)});
  }
  step_.reply(context.ticket, std::move(response));
}

}  // namespace millrace::group
