#include <fmt/format.h>

#include <algorithm>

#include "client/core/assignor.h"
#include "library/admin_impl.h"
#include "library/conversions.h"

namespace millrace::v0 {
namespace {

using client::core::Destination;

GroupMember outer(const wire::DescribeGroupsResponse::DescribedGroupMember& member) {
  GroupMember made{
      member.member_id, member.group_instance_id, member.client_id, member.client_host, {}};
  // One of another protocol (Connect's) has an assignment that is none of partitions.
  if (const auto assignment = client::core::decode_assignment(member.member_assignment))
    made.assignment = library::outer_list(*assignment);
  return made;
}

GroupMember outer(const wire::ConsumerGroupDescribeResponse::Member& member) {
  GroupMember made{member.member_id, member.instance_id, member.client_id, member.client_host, {}};
  for (const auto& topic : member.assignment.topic_partitions)
    for (const std::int32_t each : topic.partitions)
      made.assignment.push_back({topic.topic_name, each});
  return made;
}

}  // namespace

std::vector<GroupListing> Admin::list_groups() {
  std::vector<GroupListing> list;
  for (const auto& broker : describe_cluster().brokers) {
    impl_->caller.look_up({});  // where they are
    const auto response =
        impl_->caller.call(wire::ListGroupsRequest{}, Destination::to(NodeId(broker.id)));
    if (response.error_code != 0)
      throw library::error_of(response.error_code,
                              fmt::format("list the groups of broker {}", broker.id));
    for (const auto& each : response.groups)
      list.push_back({each.group_id, each.protocol_type, each.group_state, each.group_type});
  }
  std::ranges::sort(list, {}, &GroupListing::id);
  return list;
}

GroupDescription Admin::describe_group(const std::string& id) {
  const auto first_code = [](const auto& response) {
    return response.groups.empty() ? std::int16_t{0} : response.groups[0].error_code;
  };
  GroupDescription made{id, {}, {}, impl_->caller.coordinator(id).value(), {}};
  const std::string action = fmt::format("describe group '{}'", id);
  // A broker of before KIP-848 knows classic groups only.
  std::optional<wire::ConsumerGroupDescribeResponse> consumer;
  try {
    consumer = impl_->caller.call_group(id, wire::ConsumerGroupDescribeRequest{.group_ids = {id}},
                                        first_code);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupportedVersion) throw;
  }
  if (consumer && !consumer->groups.empty() && first_code(*consumer) == 0) {
    const auto& group = consumer->groups[0];
    made.state = group.group_state;
    made.assignor = group.assignor_name;
    for (const auto& each : group.members) made.members.push_back(outer(each));
    return made;
  }
  if (consumer && first_code(*consumer) != wire::code_of(wire::ErrorCode::kGroupIdNotFound))
    throw library::error_of(first_code(*consumer), action, consumer->groups[0].error_message);
  const auto classic =
      impl_->caller.call_group(id, wire::DescribeGroupsRequest{.groups = {id}}, first_code);
  if (first_code(classic) != 0)
    throw library::error_of(first_code(classic), action, classic.groups[0].error_message);
  if (classic.groups.empty() || classic.groups[0].group_state == "Dead")
    throw library::error_of(wire::ErrorCode::kGroupIdNotFound, action);
  made.state = classic.groups[0].group_state;
  made.assignor = classic.groups[0].protocol_data;
  for (const auto& each : classic.groups[0].members) made.members.push_back(outer(each));
  return made;
}

void Admin::delete_groups(const std::vector<std::string>& ids) {
  std::vector<std::string> sorted = ids;
  std::ranges::sort(sorted);
  std::optional<Error> first;
  for (const auto& id : sorted) {
    const auto response = impl_->caller.call_group(
        id, wire::DeleteGroupsRequest{.groups_names = {id}}, [](const auto& each) {
          return each.results.empty() ? std::int16_t{0} : each.results[0].error_code;
        });
    for (const auto& each : response.results)
      if (each.error_code != 0 && !first)
        first = library::error_of(each.error_code, fmt::format("delete group '{}'", id));
  }
  if (first) throw *first;
}

std::map<TopicPartition, CommittedOffset> Admin::list_consumer_group_offsets(
    const std::string& group) {
  std::map<TopicPartition, CommittedOffset> result;
  for (const auto& [partition, each] : impl_->caller.committed(group, std::nullopt)) {
    CommittedOffset made{each.offset.value(), std::nullopt, each.metadata};
    if (each.leader_epoch != kNoLeaderEpoch) made.leader_epoch = each.leader_epoch.value();
    result[library::outer(partition)] = std::move(made);
  }
  return result;
}

}  // namespace millrace::v0
