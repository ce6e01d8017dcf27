// Reads of share groups: ShareGroupDescribe, and what DescribeShareGroupOffsets begins with.
#include "group/coordinator.h"
#include "group/share_group.h"
#include "group/state.h"

namespace millrace::group {
namespace {

using DescribedGroup = wire::ShareGroupDescribeResponse::DescribedGroup;

constexpr const char* kAssignor = "simple";

wire::ShareGroupDescribeResponse::Member described(const ShareMember& member,
                                                   const Topics& topics) {
  wire::ShareGroupDescribeResponse::Member answer;
  answer.member_id = member.id;
  answer.rack_id = member.metadata.rack_id;
  answer.member_epoch = member.current.member_epoch;
  answer.client_id = member.metadata.client_id;
  answer.client_host = member.metadata.client_host;
  answer.subscribed_topic_names = member.metadata.subscribed_topic_names;
  // Topics that are gone have no name, and are left out.
  for (const auto& [topic_id, partitions] : member.current.assigned)
    if (auto name = topics.name_of(topic_id))
      answer.assignment.topic_partitions.push_back(
          {.topic_id = topic_id, .topic_name = std::move(*name), .partitions = partitions});
  return answer;
}

}  // namespace

DescribedGroup Coordinator::describe_share_group(const std::string& group_id,
                                                 const Topics& topics) const {
  DescribedGroup answer;
  answer.group_id = group_id;
  const ShareGroup* group = state_->find_share(group_id);
  if (group == nullptr) {
    answer.error_code = code_of(ErrorCode::kGroupIdNotFound);
    answer.error_message = state_->find(group_id)
                               ? fmt::format("Group {} is not a share group.", group_id)
                               : fmt::format("Group {} not found.", group_id);
    return answer;
  }
  answer.group_state = group->state_name();
  answer.group_epoch = group->epoch();
  answer.assignment_epoch = group->assignment_epoch();
  answer.assignor_name = kAssignor;
  for (const auto& [member_id, member] : group->members())
    answer.members.push_back(described(member, topics));
  return answer;
}

std::map<Uuid, std::vector<int32_t>> Coordinator::initialized_share_partitions(
    std::string_view group_id) const {
  std::map<Uuid, std::vector<int32_t>> partitions;
  const ShareGroup* group = state_->find_share(group_id);
  if (group == nullptr || group->partitions() == nullptr) return partitions;
  for (const auto& [topic_id, topic] : group->partitions()->initialized)
    partitions[topic_id].assign(topic.partitions.begin(), topic.partitions.end());
  return partitions;
}

}  // namespace millrace::group
