// AlterShareGroupOffsets and DeleteShareGroupOffsets: what is refused at once, and what is asked of
// the share coordinators.
#include <algorithm>

#include "group/share_protocol.h"
#include "wire/error_messages.h"

namespace millrace::group {
namespace {

constexpr const char* kNothingToDelete = "There is no offset information to delete.";

using AlterTopic = wire::AlterShareGroupOffsetsResponse::AlterShareGroupOffsetsResponseTopic;
using DeleteTopic = wire::DeleteShareGroupOffsetsResponse::DeleteShareGroupOffsetsResponseTopic;

template <class Response>
Response refused(const Refusal& refusal) {
  Response response;
  response.error_code = code_of(refusal.code);
  response.error_message = refusal.message;
  return response;
}

DeleteTopic unknown_topic(const std::string& name, std::string message) {
  return {.topic_name = name,
          .error_code = code_of(ErrorCode::kUnknownTopicOrPartition),
          .error_message = std::move(message)};
}

}  // namespace

void ShareProtocol::alter_topic(const AlterRequest::AlterShareGroupOffsetsRequestTopic& topic,
                                Alteration& alteration) const {
  const auto id = topics_.id_of(topic.topic_name);
  AlterTopic answer{.topic_name = topic.topic_name, .topic_id = id.value_or(Uuid::zero())};
  ShareTopic altered{.name = topic.topic_name};
  for (const auto& partition : topic.partitions) {
    const int32_t index = partition.partition_index;
    auto& result = answer.partitions.emplace_back();
    result.partition_index = index;
    if (!id || !topics_.has_partition(topic.topic_name, PartitionIndex(index))) {
      result.error_code = code_of(ErrorCode::kUnknownTopicOrPartition);
      result.error_message = wire::error_message(ErrorCode::kUnknownTopicOrPartition);
      continue;
    }
    altered.partitions.insert(index);
    alteration.offsets[{*id, index}] = Offset(partition.start_offset);
  }
  if (!altered.partitions.empty()) unite(alteration.topics, {{*id, std::move(altered)}});
  alteration.response.responses.push_back(std::move(answer));
}

void ShareProtocol::alter_offsets(const AlterRequest& request, const RequestContext& context) {
  const ShareGroup* group = nullptr;
  if (state_.find(request.group_id) != nullptr) {
    const auto known = known_group(request.group_id);
    if (!known) return step_.reply(context.ticket, refused<AlterResponse>(known.error()));
    group = *known;
    if (!group->is_empty())
      return step_.reply(context.ticket,
                         refused<AlterResponse>({ErrorCode::kNonEmptyGroup,
                                                 wire::error_message(ErrorCode::kNonEmptyGroup)}));
  }
  Alteration alteration;
  for (const auto& topic : request.topics) alter_topic(topic, alteration);
  if (alteration.offsets.empty())
    return step_.reply(context.ticket, std::move(alteration.response));
  write_initializing(request.group_id, group ? group->partitions() : nullptr, alteration.topics);
  std::vector<ShareStateWish::Partition> partitions;
  for (const auto& [partition, offset] : alteration.offsets)
    partitions.push_back({.topic_id = partition.first,
                          .index = PartitionIndex(partition.second),
                          .start_offset = offset});
  const int32_t epoch = group ? group->epoch() : ShareGroup(request.group_id).epoch();
  wish({.group_id = request.group_id,
        .kind = ShareStateWish::Kind::kInitialize,
        .state_epoch = epoch},
       std::move(partitions), context.ticket, std::move(alteration.response));
}

// All that the topic has of the group: what was initialised, or what an earlier deletion may have
// left.
void ShareProtocol::delete_topic(const std::string& name, OffsetDeletion& deletion) const {
  const auto id = topics_.id_of(name);
  if (!id) {
    deletion.response.responses.push_back(
        unknown_topic(name, wire::error_message(ErrorCode::kUnknownTopicOrPartition)));
    return;
  }
  auto& [partitions, wishes, response] = deletion;
  const auto wanted = [&](int32_t index) {
    wishes.push_back({.topic_id = *id, .index = PartitionIndex(index)});
  };
  if (const auto known = partitions.initialized.find(*id); known != partitions.initialized.end()) {
    std::ranges::for_each(known->second.partitions, wanted);
    partitions.initialized.erase(known);
    partitions.deleting[*id] = name;
  } else if (partitions.deleting.contains(*id)) {
    for (int32_t index = 0; index < topics_.partition_count(name); ++index) wanted(index);
  } else {
    response.responses.push_back(unknown_topic(name, kNothingToDelete));
  }
}

void ShareProtocol::delete_offsets(const DeleteRequest& request, const RequestContext& context) {
  const auto group = known_group(request.group_id);
  if (!group) return step_.reply(context.ticket, refused<DeleteResponse>(group.error()));
  if (!(*group)->is_empty())
    return step_.reply(context.ticket,
                       refused<DeleteResponse>({ErrorCode::kNonEmptyGroup,
                                                wire::error_message(ErrorCode::kNonEmptyGroup)}));
  if ((*group)->partitions() == nullptr) return step_.reply(context.ticket, DeleteResponse{});
  OffsetDeletion deletion{.partitions = *(*group)->partitions()};
  std::set<std::string_view> seen;
  for (const auto& topic : request.topics)
    if (seen.insert(topic.topic_name).second) delete_topic(topic.topic_name, deletion);
  if (deletion.wishes.empty()) return step_.reply(context.ticket, std::move(deletion.response));
  write_partitions(request.group_id, std::move(deletion.partitions));
  wish({.group_id = request.group_id, .kind = ShareStateWish::Kind::kDelete},
       std::move(deletion.wishes), context.ticket, std::move(deletion.response));
}

}  // namespace millrace::group
