// kafka-consumer-groups --describe: tables of offsets, members and states.
#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/groups/consumer_groups.h"
#include "app/kafka/groups/group_commands.h"
#include "app/kafka/java_order.h"
#include "app/kafka/text.h"
#include "client/core/fetcher.h"

namespace millrace::app::kafka::groups {
namespace {

using Line = std::vector<std::string>;
constexpr std::string_view kMissing = "-";

std::string cell(const std::optional<int64_t>& value) {
  return value ? std::to_string(*value) : std::string(kMissing);
}

// Whether there is anything to print; says what there is to say about the group's state.
bool announce(const GroupDescription& group, size_t rows) {
  const std::string& state = group.state;
  std::fflush(stdout);
  if (state == "Dead")
    fmt::print("\nError: Consumer group '{}' does not exist.\n", group.id);
  else if (state == "Empty")
    fmt::print(stderr, "\nConsumer group '{}' has no active members.\n", group.id);
  else if (state != "Stable")
    fmt::print(stderr, "\nWarning: Consumer group '{}' is rebalancing.\n", group.id);
  return state != "Dead" && rows > 0;
}

// A partition of the offsets table; of a member without partitions there is none.
struct OffsetRow {
  std::optional<TopicPartition> partition;
  std::optional<int64_t> leader_epoch, offset, end;
  std::string member, host, client;
};

class OffsetTable {
 public:
  OffsetTable(Admin& admin, const GroupDescription& group, bool verbose)
      : admin_(admin), group_(group), verbose_(verbose) {}

  Attempt<> collect() {
    auto committed = committed_offsets(admin_, group_.id);
    if (!committed) return std::unexpected(executed_at_run_time(committed.error()));
    committed_ = std::move(*committed);
    std::vector<const GroupMember*> members;
    for (const auto& member : group_.members)
      if (!member.assignment.empty()) members.push_back(&member);
    sort_in_order(members, [](const GroupMember* each) {
      return -static_cast<int64_t>(each->assignment.size());
    });
    std::set<TopicPartition> assigned;
    for (const GroupMember* member : members) {
      assigned.insert(member->assignment.begin(), member->assignment.end());
      RETURN_IF_ERROR(add(member->assignment, *member));
    }
    std::vector<TopicPartition> unassigned;
    for (const auto& [partition, offset] : committed_)
      if (!assigned.contains(partition)) unassigned.push_back(partition);
    const std::string missing(kMissing);
    return add(unassigned, {.id = missing, .client_id = missing, .host = missing});
  }

  void print() const {
    if (!announce(group_, rows_.size())) return;
    const Line titles = line({"GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET",
                              "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"});
    std::vector<Line> lines;
    for (const auto& row : rows_) lines.push_back(line(cells(row)));
    const size_t last = titles.size();
    Columns columns(verbose_ ? std::vector<size_t>{15, 15, 10, 15, 15, 15, 15, 15, 15}
                             : std::vector<size_t>{15, 15, 10, 15, 15, 15, 15, 15});
    for (const auto& each : lines) columns.fit(each, {0, 1, last - 3, last - 2});
    fmt::print("\n{}", columns.line(titles));
    for (const auto& each : lines) fmt::print("\n{}", columns.line(each));
    fmt::print("\n");
  }

 private:
  Attempt<> add(std::vector<TopicPartition> partitions, const GroupMember& member) {
    if (partitions.empty()) return {};
    std::ranges::sort(partitions);
    std::set<std::string> topics;
    for (const auto& each : partitions) topics.insert(each.topic);
    auto described = admin_.describe_topics({topics.begin(), topics.end()});
    if (!described) {
      Ending cause = executed(described.error());
      return thrown("java.lang.RuntimeException", cause.to_string());
    }
    Admin::Timestamps with_leader;
    for (const auto& each : partitions) {
      const auto topic = std::ranges::find(*described, each.topic, &TopicDescription::name);
      const auto found = topic->partitions.find(each.partition.value());
      if (found != topic->partitions.end() && found->second.leader >= 0)
        with_leader[each] = client::core::kAtEnd;
    }
    auto ends = admin_.list_offsets(with_leader);
    if (!ends) return std::unexpected(executed_at_run_time(ends.error()));
    for (const auto& each : partitions) {
      OffsetRow row{
          .partition = each, .member = member.id, .host = member.host, .client = member.client_id};
      if (const auto at = committed_.find(each); at != committed_.end()) {
        row.offset = at->second.offset.value();
        if (at->second.leader_epoch) row.leader_epoch = *at->second.leader_epoch;
      }
      if (const auto end = ends->find(each); end != ends->end())
        row.end = end->second.offset.value();
      rows_.push_back(std::move(row));
    }
    return {};
  }

  Line cells(const OffsetRow& row) const {
    std::optional<int64_t> lag;
    if (row.offset && row.end) lag = *row.end - *row.offset;
    return {group_.id,
            row.partition ? row.partition->topic : std::string(kMissing),
            row.partition ? std::to_string(row.partition->partition.value()) : "-",
            cell(row.leader_epoch),
            cell(row.offset),
            cell(row.end),
            cell(lag),
            row.member,
            row.host,
            row.client};
  }

  // Without the leader's epoch unless it is asked for.
  Line line(Line all) const {
    if (!verbose_) all.erase(all.begin() + 3);
    return all;
  }

  Admin& admin_;
  const GroupDescription& group_;
  bool verbose_;
  CommittedOffsets committed_;
  std::vector<OffsetRow> rows_;
};

std::string assignment_cell(const std::vector<TopicPartition>& partitions) {
  return partitions.empty() ? std::string(kMissing) : assignment_text(partitions);
}

void print_members(const GroupDescription& group, bool verbose) {
  const bool any = announce(group, group.members.size());
  const bool instances = any && std::ranges::any_of(group.members, [](const auto& m) {
                           return !m.instance_id.empty();
                         });
  const auto speaks = [&](bool consumer) {
    return any && std::ranges::any_of(group.members, [&](const GroupMember& m) {
             return m.upgraded && *m.upgraded == consumer;
           });
  };
  const bool mixed = speaks(true) && speaks(false);
  const auto line = [&](Line all) {
    if (verbose && !mixed) all.erase(all.begin() + 10);
    if (!verbose) all.resize(6);
    if (!instances) all.erase(all.begin() + 2);
    return all;
  };
  std::vector<Line> lines;
  for (const auto& member : group.members)
    lines.push_back(line({group.id, member.id, member.instance_id, member.host, member.client_id,
                          std::to_string(member.assignment.size()), cell(member.epoch),
                          assignment_cell(member.assignment), cell(group.target_epoch),
                          assignment_cell(member.target),
                          !member.upgraded ? "-" : (*member.upgraded ? "true" : "false")}));
  std::vector<size_t> widths{15, 15, 17, 15, 15, 15, 15, 20, 15, 20};
  if (!instances) widths.erase(widths.begin() + 2);
  Columns columns(widths);
  const size_t shift = instances ? 0 : 1;
  for (const auto& each : lines) {
    if (!any) break;
    for (size_t i = 0; i < 5 - shift; ++i) columns.fit(each, {i});
    if (verbose) columns.fit(each, {7 - shift, 9 - shift});
  }
  const auto print = [&](Line cells) {
    cells.emplace_back();  // the column before it is filled up
    std::string text = columns.line(cells);
    // Of the targets' column and the last one nothing follows the width.
    if (verbose) text.resize(text.size() - (mixed ? 0 : 1));
    if (mixed) text.resize(text.find_last_not_of(' ') + 1);
    fmt::print("{}\n", text);
  };
  fmt::print("\n");
  print(line({"GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS",
              "CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT",
              "UPGRADED"}));
  for (const auto& each : lines) print(each);
}

void print_state(const GroupDescription& group, bool verbose) {
  if (!announce(group, 1)) return;
  const std::string coordinator = coordinator_text(group.coordinator);
  const auto line = [&](Line all) {
    if (!verbose) all.erase(all.begin() + 4, all.begin() + 6);
    return all;
  };
  Columns columns(verbose ? std::vector<size_t>{15, 25, 20, 20, 15, 25}
                          : std::vector<size_t>{15, 25, 20, 20});
  const Line cells =
      line({group.id, coordinator, group.assignor.empty() ? "-" : group.assignor, group.state,
            cell(group.epoch), cell(group.target_epoch), std::to_string(group.members.size())});
  columns.fit(cells, {0, 1});
  fmt::print("\n{}\n{}\n",
             columns.line(line({"GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE",
                                "GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH", "#MEMBERS"})),
             columns.line(cells));
}

}  // namespace

Attempt<> describe_consumer_groups(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto names, chosen_groups(admin, options, consumer_groups_only()));
  const bool verbose = options.has("verbose");
  std::map<std::string, GroupDescription> groups;
  for (const auto& name : names) {
    auto group = describe_consumer_group(admin, name);
    if (!group) return std::unexpected(executed(group.error()));
    groups[name] = std::move(*group);
  }
  std::vector<OffsetTable> tables;
  for (const auto& [name, group] : groups) {
    if (options.has("members")) {
      print_members(group, verbose);
    } else if (options.has("state")) {
      print_state(group, verbose);
    } else {
      RETURN_IF_ERROR(tables.emplace_back(admin, group, verbose).collect());
    }
  }
  for (const auto& table : tables) table.print();
  return {};
}

}  // namespace millrace::app::kafka::groups
