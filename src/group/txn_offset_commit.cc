// TxnOffsetCommit: offsets that count from the end of a producer's transaction on (KIP-98,
// KIP-447). What they rest on, that the producer is in its transaction here, the host has looked
// at.
#include "group/classic_protocol.h"
#include "group/offsets.h"
#include "group/records.h"

namespace millrace::group {
namespace {

using Request = wire::TxnOffsetCommitRequest;

// A producer need not say which member of the group it is; if it does, it has to be one (KIP-447).
bool names_no_member(const Request& request) {
  return request.generation_id < 0 && request.member_id.empty() && !request.group_instance_id;
}

ErrorCode check_classic(ClassicGroup& group, const Request& request) {
  if (names_no_member(request)) return ErrorCode::kNone;
  if (request.generation_id < 0 && group.is_in(ClassicState::kEmpty)) return ErrorCode::kNone;
  const ErrorCode error =
      ClassicProtocol::check_member(group, request.member_id, request.group_instance_id);
  if (error != ErrorCode::kNone) return error;
  return request.generation_id == group.generation() ? ErrorCode::kNone
                                                     : ErrorCode::kIllegalGeneration;
}

// A topic that there is not has no id: no member was assigned that one.
std::vector<CommittedPartition> partitions_of(const Request& request, const Topics& topics) {
  std::vector<CommittedPartition> partitions;
  for (const auto& topic : request.topics) {
    const Uuid id = topics.id_of(topic.name).value_or(Uuid::zero());
    for (const auto& partition : topic.partitions)
      partitions.push_back({topic.name, id, partition.partition_index});
  }
  return partitions;
}

}  // namespace

ErrorCode Offsets::check_transactional_commit(const Request& request, const Topics& topics) {
  Group* group = state_.find(request.group_id);
  if (group == nullptr)
    return request.generation_id < 0 ? ErrorCode::kNone : ErrorCode::kIllegalGeneration;
  if (auto* classic = group->as<ClassicGroup>()) return check_classic(*classic, request);
  if (group->as<ShareGroup>() != nullptr) return ErrorCode::kGroupIdNotFound;
  if (names_no_member(request)) return ErrorCode::kNone;
  const MemberCommit commit{
      .member_id = request.member_id, .epoch = request.generation_id, .is_transactional = true};
  const auto partitions = partitions_of(request, topics);
  if (const auto* consumer = group->as<ConsumerGroup>())
    return check_consumer_commit(*consumer, commit, partitions);
  return check_streams_commit(*group->as<StreamsGroup>(), commit, partitions);
}

void Offsets::commit_in_transaction(const wire::TxnOffsetCommitRequest& request,
                                    const Topics& topics, const RequestContext& context) {
  const ErrorCode group_error = check_transactional_commit(request, topics);
  wire::TxnOffsetCommitResponse response;
  for (const auto& topic : request.topics) {
    auto& answer = response.topics.emplace_back();
    answer.name = topic.name;
    for (const auto& partition : topic.partitions) {
      const PartitionRef ref{topic.name, PartitionIndex(partition.partition_index)};
      ErrorCode error = group_error;
      if (!topics.has_partition(ref.topic, ref.partition))
        error = ErrorCode::kUnknownTopicOrPartition;
      CommittedOffset offset{.offset = Offset(partition.committed_offset),
                             .leader_epoch = LeaderEpoch(partition.committed_leader_epoch),
                             .commit_timestamp = step_.wall,
                             .metadata = partition.committed_metadata.value_or("")};
      if (error == ErrorCode::kNone && is_too_long(offset.metadata))
        error = ErrorCode::kOffsetMetadataTooLarge;
      if (error == ErrorCode::kNone) step_.append(offset_record(request.group_id, ref, offset));
      answer.partitions.push_back(
          {.partition_index = partition.partition_index, .error_code = code_of(error)});
    }
  }
  step_.reply(context.ticket, std::move(response));
}

}  // namespace millrace::group
