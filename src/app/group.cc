#include "app/group.h"

#include <algorithm>

#include "app/connect.h"
#include "app/share_group.h"
#include "app/tally.h"
#include "client/core/assignor.h"
#include "client/core/fetcher.h"

namespace millrace::app {
namespace {

using client::core::Destination;
using client::core::kAtEnd;
using wire::ErrorCode;

struct GroupOptions {
  Target target;
  std::vector<std::string> names;
  std::vector<std::string> states;
};

struct Member {
  std::string id;
  std::string instance_id;
  std::string client_id;
  std::string host;
  std::vector<TopicPartition> partitions;
};

struct Group {
  std::string name;
  std::string state;
  std::string type;
  std::string assignor;
  std::vector<Member> members;
};

Outcome<> list(const GroupOptions& options, Session& session) {
  auto known = session.look_up({});
  if (!known) return std::unexpected(Failure(known.error()));
  json::array rows;
  for (const auto& [node, address] : known->brokers()) {
    auto response = session.call(Destination::to(node),
                                 wire::ListGroupsRequest{.states_filter = options.states});
    if (!response) return std::unexpected(Failure(response.error()));
    if (response->error_code != 0)
      return std::unexpected(refusal({fmt::format("list the groups of broker {}", node), {}, {}},
                                     response->error_code));
    for (const auto& group : response->groups)
      rows.push_back(json::object{{"group", group.group_id},
                                  {"state", group.group_state},
                                  {"type", group.group_type},
                                  {"protocol_type", group.protocol_type},
                                  {"coordinator", node.value()}});
  }
  std::ranges::sort(rows, {}, [](const json::value& row) {
    return std::string_view(row.at("group").as_string());
  });
  constexpr std::string_view kColumns[] = {"group", "state", "type", "coordinator"};
  print_rows(options.target.format(), rows, kColumns);
  return {};
}

Group group_of(const wire::describe_groups_response::DescribedGroup& described) {
  Group group{.name = described.group_id,
              .state = described.group_state,
              .type = "classic",
              .assignor = described.protocol_data,
              .members = {}};
  for (const auto& each : described.members) {
    // Groups of other protocols (Kafka Connect) assign other things.
    auto partitions = client::core::decode_assignment(each.member_assignment);
    group.members.push_back({.id = each.member_id,
                             .instance_id = each.group_instance_id.value_or(""),
                             .client_id = each.client_id,
                             .host = each.client_host,
                             .partitions = partitions.value_or(std::vector<TopicPartition>{})});
  }
  return group;
}

// Of the newer kinds, which describe their groups alike.
template <class Described>
Group group_of(const Described& described, const char* type) {
  Group group{.name = described.group_id,
              .state = described.group_state,
              .type = type,
              .assignor = described.assignor_name,
              .members = {}};
  for (const auto& each : described.members) {
    Member& member = group.members.emplace_back();
    member.id = each.member_id;
    if constexpr (requires { each.instance_id; })
      member.instance_id = each.instance_id.value_or("");
    member.client_id = each.client_id;
    member.host = each.client_host;
    for (const auto& topic : each.assignment.topic_partitions)
      for (int32_t index : topic.partitions)
        member.partitions.push_back({topic.topic_name, PartitionIndex(index)});
  }
  return group;
}

Outcome<Group> find_group(const std::string& name, Session& session) {
  auto response = session.call_group(
      name, wire::DescribeGroupsRequest{.groups = {name}},
      [](const auto& r) { return r.groups.empty() ? 0 : r.groups[0].error_code; });
  if (!response) return std::unexpected(Failure(response.error()));
  const Subject subject{fmt::format("describe group '{}'", name), {}, name};
  if (response->groups.empty())
    return std::unexpected(refusal(subject, wire::code_of(ErrorCode::kUnknownServerError)));
  const auto& described = response->groups[0];
  const auto error = static_cast<ErrorCode>(described.error_code);
  if (error == ErrorCode::kNone && described.group_state != "Dead") return group_of(described);
  if (error != ErrorCode::kNone && error != ErrorCode::kGroupIdNotFound)
    return std::unexpected(refusal(subject, described.error_code, described.error_message));
  if (const auto group = described_by<wire::ConsumerGroupDescribeRequest>(session, name))
    return group_of(*group, "consumer");
  if (const auto group = described_by<wire::ShareGroupDescribeRequest>(session, name))
    return group_of(*group, "share");
  return std::unexpected(refusal(subject, wire::code_of(ErrorCode::kGroupIdNotFound)));
}

json::array partitions_text(const std::vector<TopicPartition>& partitions) {
  json::array array;
  for (const auto& each : partitions) array.push_back(json::string(each.to_string()));
  return array;
}

json::array members_of(const Group& group) {
  json::array rows;
  for (const auto& each : group.members) {
    json::object row{{"member_id", each.id},
                     {"client_id", each.client_id},
                     {"host", each.host},
                     {"instance_id", nullptr},
                     {"partitions", partitions_text(each.partitions)}};
    if (!each.instance_id.empty()) row["instance_id"] = each.instance_id;
    rows.push_back(std::move(row));
  }
  return rows;
}

struct Position {
  Offset offset;
  std::optional<int64_t> lag;  // of a share group: it counts what is not done with
};
using Positions = std::map<TopicPartition, Position>;

Outcome<Positions> positions_of(const Group& group, Session& session) {
  Positions positions;
  if (group.type == "share") {
    auto found = share_positions(session, group.name);
    if (!found) return std::unexpected(found.error());
    for (const auto& [partition, each] : *found) positions[partition] = {each.start, each.lag};
    return positions;
  }
  auto committed = committed_offsets(session, group.name);
  if (!committed) return std::unexpected(committed.error());
  for (const auto& [partition, offset] : *committed) positions[partition] = {offset, std::nullopt};
  return positions;
}

// A row for each partition that has a committed offset or an owner.
Outcome<json::array> progress_of(const Group& group, Session& session) {
  auto positions = positions_of(group, session);
  if (!positions) return std::unexpected(positions.error());
  std::map<TopicPartition, std::vector<std::string>> owners;
  for (const auto& member : group.members)
    for (const auto& partition : member.partitions) owners[partition].push_back(member.id);
  Session::Timestamps ends;
  for (const auto& [partition, _] : *positions) ends[partition] = kAtEnd;
  for (const auto& [partition, _] : owners) ends[partition] = kAtEnd;
  auto listed = session.list_existing(ends);
  if (!listed) return std::unexpected(listed.error());
  json::array rows;
  for (const auto& [partition, _] : ends) {
    json::object row{{"topic", partition.topic}, {"partition", partition.partition.value()},
                     {"committed", nullptr},     {"end_offset", nullptr},
                     {"lag", nullptr},           {"member_id", nullptr}};
    const auto at = positions->find(partition);
    const auto end = listed->find(partition);
    if (at != positions->end()) row["committed"] = at->second.offset.value();
    if (end != listed->end()) row["end_offset"] = end->second.offset.value();
    if (at != positions->end() && end != listed->end())
      row["lag"] =
          at->second.lag.value_or(std::max<int64_t>(0, end->second.offset - at->second.offset));
    if (auto owner = owners.find(partition); owner != owners.end())
      row["member_id"] = fmt::format("{}", fmt::join(owner->second, ","));
    rows.push_back(std::move(row));
  }
  return rows;
}

Outcome<json::object> describe_group(const std::string& name, Session& session) {
  auto group = find_group(name, session);
  if (!group) return std::unexpected(group.error());
  auto coordinator = session.coordinator(name);
  if (!coordinator) return std::unexpected(Failure(coordinator.error()));
  auto progress = progress_of(*group, session);
  if (!progress) return std::unexpected(progress.error());
  int64_t lag = 0;
  for (const auto& row : *progress)
    if (row.at("lag").is_int64()) lag += row.at("lag").as_int64();
  return json::object{{"group", group->name},
                      {"state", group->state},
                      {"type", group->type},
                      {"assignor", group->assignor},
                      {"coordinator", coordinator->value()},
                      {"total_lag", lag},
                      {"members", members_of(*group)},
                      {"partitions", std::move(*progress)}};
}

void print_group(const json::object& group) {
  json::object summary = group;
  summary["members"] = group.at("members").as_array().size();
  summary.erase("partitions");
  print_object(OutputFormat::kTable, summary);
  constexpr std::string_view kMembers[] = {"member_id", "client_id", "host", "partitions"};
  constexpr std::string_view kPartitions[] = {"topic",      "partition", "committed",
                                              "end_offset", "lag",       "member_id"};
  if (const auto& members = group.at("members").as_array(); !members.empty()) {
    fmt::print("\n");
    print_rows(OutputFormat::kTable, members, kMembers);
  }
  if (const auto& partitions = group.at("partitions").as_array(); !partitions.empty()) {
    fmt::print("\n");
    print_rows(OutputFormat::kTable, partitions, kPartitions);
  }
}

Outcome<> describe(const GroupOptions& options, Session& session) {
  json::array groups;
  for (const auto& name : options.names) {
    auto group = describe_group(name, session);
    if (!group) return std::unexpected(group.error());
    groups.push_back(std::move(*group));
  }
  if (options.target.format() == OutputFormat::kJson) {
    print_rows(OutputFormat::kJson, groups, {});
    return {};
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    if (i > 0) fmt::print("\n");
    print_group(groups[i].as_object());
  }
  return {};
}

Outcome<> remove(const GroupOptions& options, Session& session) {
  Tally tally(options.target.format());
  for (const auto& name : options.names) {
    auto response = session.call_group(
        name, wire::DeleteGroupsRequest{.groups_names = {name}},
        [](const auto& r) { return r.results.empty() ? 0 : r.results[0].error_code; });
    if (!response) return std::unexpected(Failure(response.error()));
    const int16_t error = response->results.empty() ? wire::code_of(ErrorCode::kUnknownServerError)
                                                    : response->results[0].error_code;
    if (error == 0)
      tally.done(name, "deleted");
    else
      tally.failed(name, refusal({fmt::format("delete group '{}'", name), {}, name}, error));
  }
  return tally.finish();
}

}  // namespace

Outcome<std::map<TopicPartition, Offset>> committed_offsets(Session& session,
                                                            const std::string& group) {
  wire::OffsetFetchRequest request;
  request.groups.push_back({.group_id = group, .topics = std::nullopt});
  auto response = session.call_group(group, std::move(request), [](const auto& r) {
    return r.groups.empty() ? 0 : r.groups[0].error_code;
  });
  if (!response) return std::unexpected(Failure(response.error()));
  std::map<TopicPartition, Offset> offsets;
  const Subject subject{fmt::format("read the offsets of group '{}'", group), {}, group};
  for (const auto& answered : response->groups) {
    if (answered.error_code != 0) return std::unexpected(refusal(subject, answered.error_code));
    for (const auto& topic : answered.topics)
      for (const auto& each : topic.partitions) {
        if (each.error_code != 0) return std::unexpected(refusal(subject, each.error_code));
        if (each.committed_offset >= 0)
          offsets[{topic.name, PartitionIndex(each.partition_index)}] =
              Offset(each.committed_offset);
      }
  }
  return offsets;
}

void add_group_commands(Command& root) {
  auto group =
      root.add("group", {"Lists, shows, moves and deletes consumer groups and share groups.", ""});
  auto options = std::make_shared<GroupOptions>();

  auto listing = group.add("list", {"Lists groups.", "millrace group list --state Stable"});
  listing.option("--state", options->states, "Only groups in this state; repeatable");
  add_target(listing, options->target);
  listing.runs([options] {
    return with_session(options->target, [&](Session& s) { return list(*options, s); });
  });

  auto describing = group.add(
      "describe",
      {"Shows groups: members, their partitions, committed offsets (start offsets of share "
       "groups) and lag.",
       "millrace group describe readers"});
  describing.argument("GROUP", options->names, "Names of the groups");
  add_target(describing, options->target);
  describing.runs([options] {
    return with_session(options->target, [&](Session& s) { return describe(*options, s); });
  });

  auto deleting = group.add("delete", {"Deletes groups that have no members, with their offsets.",
                                       "millrace group delete readers"});
  deleting.argument("GROUP", options->names, "Names of the groups");
  add_target(deleting, options->target);
  deleting.runs([options] {
    return with_session(options->target, [&](Session& s) { return remove(*options, s); });
  });

  add_group_offset_commands(group);
}

}  // namespace millrace::app
