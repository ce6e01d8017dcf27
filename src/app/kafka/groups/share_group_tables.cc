// kafka-share-groups --describe: tables of offsets, members and states.
#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/share_groups.h"
#include "app/kafka/text.h"

namespace millrace::app::kafka::groups {
namespace {

using Line = std::vector<std::string>;

template <class Value>
std::string cell(const std::optional<Value>& value) {
  return value ? fmt::format("{}", *value) : "-";
}

// Whether there are members to print; says what there is to say about the group's state.
bool announce(const GroupDescription& group) {
  std::fflush(stdout);
  if (group.state == "Dead")
    print_error(fmt::format("Share group '{}' does not exist.", group.id));
  else if (group.state == "Empty")
    fmt::print(stderr, "\nShare group '{}' has no active members.\n", group.id);
  return group.state != "Dead" && !group.members.empty();
}

void print_table(const Columns& columns, const std::vector<Line>& lines) {
  for (const auto& each : lines) fmt::print("\n{}", columns.line(each));
  fmt::print("\n");
}

void print_offsets(const std::string& group, const ShareOffsets& offsets, bool verbose) {
  if (offsets.empty()) {
    fmt::print("\nShare group '{}' has no offset information.\n", group);
    return;
  }
  const auto line = [&](Line all) {
    if (!verbose) all.erase(all.begin() + 3);
    return all;
  };
  std::vector<Line> lines{
      line({"GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "START-OFFSET", "LAG"})};
  for (const auto& [partition, offset] : offsets) {
    const ShareOffset known = offset.value_or(ShareOffset{});
    lines.push_back(line({group, partition.topic, std::to_string(partition.partition.value()),
                          cell(known.leader_epoch),
                          offset ? std::to_string(known.start.value()) : "-", cell(known.lag)}));
  }
  Columns columns(verbose ? std::vector<size_t>{15, 15, 10, 13, 13}
                          : std::vector<size_t>{15, 15, 10, 13});
  for (const auto& each : lines) columns.fit(each, {0, 1});
  print_table(columns, lines);
}

void print_members(GroupDescription group, bool verbose) {
  if (!announce(group)) return;
  std::ranges::sort(group.members, {}, &GroupMember::id);
  const auto line = [&](Line all) {
    if (!verbose) all.erase(all.begin() + 5);
    return all;
  };
  std::vector<Line> lines{line(
      {"GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "MEMBER-EPOCH", "ASSIGNMENT"})};
  for (const auto& each : group.members)
    lines.push_back(
        line({group.id, each.id, each.host, each.client_id, std::to_string(each.assignment.size()),
              cell(each.epoch), assignment_text(each.assignment)}));
  Columns columns(verbose ? std::vector<size_t>{15, 15, 15, 15, 12, 13}
                          : std::vector<size_t>{15, 15, 15, 15, 12});
  for (const auto& each : lines) columns.fit(each, {0, 1, 2, 3});
  print_table(columns, lines);
}

void print_state(const GroupDescription& group, bool verbose) {
  announce(group);
  const auto line = [&](Line all) {
    if (!verbose) all.erase(all.begin() + 3, all.begin() + 5);
    return all;
  };
  const std::vector<Line> lines{
      line({"GROUP", "COORDINATOR (ID)", "STATE", "GROUP-EPOCH", "ASSIGNMENT-EPOCH", "#MEMBERS"}),
      line({group.id, coordinator_text(group.coordinator), group.state, cell(group.epoch),
            cell(group.target_epoch), std::to_string(group.members.size())})};
  Columns columns(verbose ? std::vector<size_t>{15, 25, 15, 12, 17}
                          : std::vector<size_t>{15, 25, 15});
  columns.fit(lines.back(), {0, 1});
  print_table(columns, lines);
}

}  // namespace

Attempt<> describe_share_groups(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto names, chosen_groups(admin, options, share_groups_only()));
  const bool verbose = options.has("verbose");
  const bool views = options.has("members") || options.has("state");
  std::map<std::string, GroupDescription> groups;
  for (const auto& name : names) {
    auto group = describe_share_group(admin, name);
    if (!group) return std::unexpected(executed(group.error()));
    groups[name] = std::move(*group);
  }
  std::map<std::string, ShareOffsets> offsets;
  for (const auto& [name, group] : groups) {
    if (views) break;
    auto found = share_offsets(admin, name);
    if (!found) return std::unexpected(executed_at_run_time(found.error()));
    offsets[name] = std::move(*found);
  }
  for (const auto& [name, group] : groups) {
    if (options.has("members"))
      print_members(group, verbose);
    else if (options.has("state"))
      print_state(group, verbose);
    else
      print_offsets(name, offsets[name], verbose);
  }
  return {};
}

}  // namespace millrace::app::kafka::groups
