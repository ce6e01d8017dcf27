#include "app/kafka/groups_admin.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/java_order.h"
#include "app/kafka/text.h"
#include "client/core/assignor.h"

namespace millrace::app::kafka {
namespace {

using client::core::Destination;
using wire::ErrorCode;

template <class Topic>
std::vector<TopicPartition> partitions_of(const std::vector<Topic>& topics) {
  std::vector<TopicPartition> partitions;
  for (const auto& topic : topics)
    for (const int32_t index : topic.partitions)
      partitions.push_back({topic.topic_name, PartitionIndex(index)});
  return partitions;
}

// Of a group that has epochs.
template <class Described>
GroupDescription without_members(const Described& described) {
  return {.id = described.group_id,
          .state = described.group_state,
          .assignor = described.assignor_name,
          .epoch = described.group_epoch,
          .target_epoch = described.assignment_epoch,
          .members = {}};
}

GroupDescription description_of(
    const wire::consumer_group_describe_response::DescribedGroup& described) {
  GroupDescription group = without_members(described);
  for (const auto& each : described.members) {
    auto& member = group.members.emplace_back();
    member = {.id = each.member_id,
              .instance_id = each.instance_id.value_or(""),
              .client_id = each.client_id,
              .host = each.client_host,
              .assignment = partitions_of(each.assignment.topic_partitions),
              .target = partitions_of(each.target_assignment.topic_partitions),
              .epoch = each.member_epoch,
              .upgraded = std::nullopt};
    if (each.member_type >= 0) member.upgraded = each.member_type == 1;
  }
  return group;
}

GroupDescription description_of(
    const wire::share_group_describe_response::DescribedGroup& described) {
  GroupDescription group = without_members(described);
  for (const auto& each : described.members)
    group.members.push_back({.id = each.member_id,
                             .instance_id = {},
                             .client_id = each.client_id,
                             .host = each.client_host,
                             .assignment = partitions_of(each.assignment.topic_partitions),
                             .target = {},
                             .epoch = each.member_epoch,
                             .upgraded = std::nullopt});
  return group;
}

GroupDescription description_of(const wire::describe_groups_response::DescribedGroup& described) {
  GroupDescription group{.id = described.group_id,
                         .state = described.group_state,
                         .assignor = described.protocol_data,
                         .epoch = std::nullopt,
                         .target_epoch = std::nullopt,
                         .members = {}};
  for (const auto& each : described.members) {
    const auto partitions = client::core::decode_assignment(each.member_assignment);
    group.members.push_back({.id = each.member_id,
                             .instance_id = each.group_instance_id.value_or(""),
                             .client_id = each.client_id,
                             .host = each.client_host,
                             .assignment = partitions.value_or(std::vector<TopicPartition>{}),
                             .target = {},
                             .epoch = std::nullopt,
                             .upgraded = std::nullopt});
  }
  return group;
}

Attempt<GroupDescription> describe_classic_group(Admin& admin, const std::string& name) {
  ASSIGN_OR_RETURN(
      const auto response,
      admin.call_group(
          "describeGroups", name, wire::DescribeGroupsRequest{.groups = {name}},
          [](const auto& r) { return r.groups.empty() ? 0 : r.groups[0].error_code; }));
  if (response.groups.empty())
    return std::unexpected(exception_of(wire::code_of(ErrorCode::kUnknownServerError)));
  const auto& described = response.groups[0];
  if (described.error_code != 0)
    return std::unexpected(exception_of(described.error_code, described.error_message));
  if (!described.protocol_type.empty() && described.protocol_type != "consumer")
    return illegal_argument(
        fmt::format("GroupId {} is not a consumer group ({}).", name, described.protocol_type));
  return description_of(described);
}

// What is answered about a group of one of the newer kinds.
template <class Request>
auto described_by(Admin& admin, std::string_view call, const std::string& name)
    -> Attempt<std::decay_t<decltype(client::core::ResponseOf<Request>{}.groups.front())>> {
  ASSIGN_OR_RETURN(auto response,
                   admin.call_group(call, name, Request{.group_ids = {name}}, [](const auto& r) {
                     return r.groups.empty() ? 0 : r.groups[0].error_code;
                   }));
  if (response.groups.empty())
    return std::unexpected(exception_of(wire::code_of(ErrorCode::kUnknownServerError)));
  auto& described = response.groups[0];
  if (described.error_code != 0)
    return std::unexpected(exception_of(described.error_code, described.error_message));
  return std::move(described);
}

}  // namespace

Attempt<std::vector<GroupListing>> list_groups(Admin& admin, const GroupFilter& filter) {
  const auto brokers = admin.brokers();
  if (!brokers && brokers.error().is("TimeoutException"))
    return thrown("org.apache.kafka.common.KafkaException",
                  "Failed to find brokers to send ListGroups");
  if (!brokers) return std::unexpected(brokers.error());
  std::map<std::string, GroupListing> found;
  for (const auto& [node, address] : *brokers) {
    ASSIGN_OR_RETURN(const auto response,
                     admin.call("listGroups", Destination::to(node),
                                wire::ListGroupsRequest{.states_filter = filter.states,
                                                        .types_filter = filter.types}));
    if (response.error_code != 0) return std::unexpected(exception_of(response.error_code));
    for (const auto& group : response.groups) {
      if (filter.protocols && !is_in(*filter.protocols, group.protocol_type)) continue;
      std::string type = group.group_type;
      if (!type.empty()) type[0] = static_cast<char>(std::toupper(type[0]));
      found[group.group_id] = {group.group_id, group.protocol_type, group.group_state, type};
    }
  }
  std::vector<GroupListing> listings;
  for (auto& [id, listing] : found) listings.push_back(std::move(listing));
  sort_as_hash_map(listings, [](const GroupListing& each) { return std::string_view(each.id); });
  return listings;
}

Attempt<GroupDescription> describe_consumer_group(Admin& admin, const std::string& name) {
  Attempt<GroupDescription> group = describe_classic_group(admin, name);
  if (!group && !group.error().is("GroupIdNotFoundException")) return group;
  if (!group) {
    const auto response = admin.call_group(
        "consumerGroupDescribe", name, wire::ConsumerGroupDescribeRequest{.group_ids = {name}},
        [](const auto& r) { return r.groups.empty() ? 0 : r.groups[0].error_code; });
    if (!response || response->groups.empty() || response->groups[0].error_code != 0) return group;
    group = description_of(response->groups[0]);
  }
  ASSIGN_OR_RETURN(group->coordinator, group_coordinator(admin, name));
  return group;
}

Attempt<GroupDescription> describe_share_group(Admin& admin, const std::string& name) {
  ASSIGN_OR_RETURN(const auto described, described_by<wire::ShareGroupDescribeRequest>(
                                             admin, "describeShareGroups", name));
  GroupDescription group = description_of(described);
  ASSIGN_OR_RETURN(group.coordinator, group_coordinator(admin, name));
  return group;
}

Attempt<StreamsGroup> describe_streams_group(Admin& admin, const std::string& name) {
  ASSIGN_OR_RETURN(const auto described, described_by<wire::StreamsGroupDescribeRequest>(
                                             admin, "describeStreamsGroups", name));
  if (!described.topology)
    return thrown("java.lang.IllegalStateException", "Topology information is missing");
  return described;
}

Attempt<GroupCoordinator> group_coordinator(Admin& admin, const std::string& group) {
  GroupCoordinator found;
  const auto node = admin.session().coordinator(group);
  ASSIGN_OR_RETURN(const auto brokers, admin.brokers());
  if (node) found.node = *node;
  if (const auto at = brokers.find(found.node); at != brokers.end()) found.address = at->second;
  return found;
}

Attempt<CommittedOffsets> committed_offsets(Admin& admin, const std::string& group) {
  wire::OffsetFetchRequest request;
  request.groups.push_back({.group_id = group, .topics = std::nullopt});
  ASSIGN_OR_RETURN(const auto response,
                   admin.call_group("offsetFetch", group, std::move(request), [](const auto& r) {
                     return r.groups.empty() ? 0 : r.groups[0].error_code;
                   }));
  CommittedOffsets offsets;
  for (const auto& answered : response.groups) {
    if (static_cast<ErrorCode>(answered.error_code) == ErrorCode::kGroupIdNotFound) continue;
    if (answered.error_code != 0) return std::unexpected(exception_of(answered.error_code));
    for (const auto& topic : answered.topics)
      for (const auto& each : topic.partitions) {
        if (each.error_code != 0 || each.committed_offset < 0) continue;
        Committed committed{.offset = Offset(each.committed_offset), .leader_epoch = std::nullopt};
        if (each.committed_leader_epoch >= 0) committed.leader_epoch = each.committed_leader_epoch;
        offsets[{topic.name, PartitionIndex(each.partition_index)}] = committed;
      }
  }
  return offsets;
}

}  // namespace millrace::app::kafka
