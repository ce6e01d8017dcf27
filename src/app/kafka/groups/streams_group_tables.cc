// kafka-streams-groups --describe: tables of offsets, members and states.
#include <fmt/format.h>

#include <algorithm>

#include "app/kafka/groups/group_commands.h"
#include "app/kafka/groups/offset_reset.h"
#include "app/kafka/groups/streams_groups.h"
#include "app/kafka/java_order.h"
#include "app/kafka/text.h"
#include "client/core/fetcher.h"

namespace millrace::app::kafka::groups {
namespace {

using Line = std::vector<std::string>;
using Tasks = wire::streams_group_describe_response::Assignment;
using TaskIds = wire::streams_group_describe_response::TaskIds;

void announce(const StreamsGroup& group) {
  if (group.group_state == "Dead")
    print_error(fmt::format("Streams group '{}' does not exist.", group.group_id));
  else if (group.group_state == "Empty")
    print_error(fmt::format("Streams group '{}' has no active members.", group.group_id));
}

bool has_rows(const StreamsGroup& group) {
  return group.group_state != "Dead" && !group.members.empty();
}

void print_table(const Columns& columns, const std::vector<Line>& lines) {
  for (const auto& each : lines) fmt::print("{}\n", columns.line(each));
}

// "ACTIVE: 0:[0,1]; 1:[0]; ".
std::string task_text(const std::vector<TaskIds>& tasks, std::string_view kind) {
  if (tasks.empty()) return "";
  std::string text = fmt::format("{}: ", kind);
  for (const auto& each : tasks)
    text += fmt::format("{}:[{}]; ", each.subtopology_id, fmt::join(each.partitions, ","));
  return text;
}

std::string task_text(const Tasks& tasks, std::string_view prefix) {
  return task_text(tasks.active_tasks, fmt::format("{}ACTIVE", prefix)) +
         task_text(tasks.standby_tasks, fmt::format("{}STANDBY", prefix)) +
         task_text(tasks.warmup_tasks, fmt::format("{}WARMUP", prefix));
}

void print_members(const StreamsGroup& group, bool verbose) {
  if (!has_rows(group)) return;
  announce(group);
  constexpr size_t kTopologyWidth = 15;  // between its column and the next there is no blank
  const auto line = [&](Line all) {
    if (!verbose) return Line{all[0], all[3], all[6], all[7], all[8]};
    all[2].resize(std::max(all[2].size(), kTopologyWidth), ' ');
    all[2] += all[3];
    all.erase(all.begin() + 3);
    return all;
  };
  size_t widest = 15;
  for (const auto& each : group.members) widest = std::max(widest, each.member_id.size());
  std::vector<Line> lines{
      line({"GROUP", "TARGET-ASSIGNMENT-EPOCH", "TOPOLOGY-EPOCH", "MEMBER", "MEMBER-PROTOCOL",
            "MEMBER-EPOCH", "PROCESS", "CLIENT-ID", "ASSIGNMENTS"})};
  for (const auto& each : group.members)
    lines.push_back(line({group.group_id, std::to_string(group.assignment_epoch),
                          std::to_string(group.topology->epoch), each.member_id,
                          each.is_classic ? "classic" : "streams",
                          std::to_string(each.member_epoch), each.process_id, each.client_id,
                          task_text(each.assignment, "") +
                              (verbose ? task_text(each.target_assignment, "TARGET-") : "")}));
  Columns columns(verbose ? std::vector<size_t>{15, 25, kTopologyWidth + widest, 15, 15, 15, 15}
                          : std::vector<size_t>{15, widest, 15, 15});
  for (const auto& each : lines)
    for (const size_t i : verbose ? std::vector<size_t>{0, 5, 6} : std::vector<size_t>{0, 2, 3})
      columns.fit(each, {i});
  print_table(columns, lines);
}

void print_state(const StreamsGroup& group, const GroupCoordinator& coordinator, bool verbose) {
  announce(group);
  const auto line = [&](Line all) {
    if (!verbose) all.erase(all.begin() + 3, all.begin() + 5);
    return all;
  };
  const std::vector<Line> lines{
      line({"GROUP", "COORDINATOR (ID)", "STATE", "GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH",
            "#MEMBERS"}),
      line({group.group_id, coordinator_text(coordinator, " "), group.group_state,
            std::to_string(group.group_epoch), std::to_string(group.assignment_epoch),
            std::to_string(group.members.size())})};
  Columns columns(verbose ? std::vector<size_t>{15, 25, 25, 15, 25}
                          : std::vector<size_t>{15, 25, 25});
  columns.fit(lines.back(), {0, 1});
  print_table(columns, lines);
}

// Those that members have active tasks of.
Attempt<std::vector<TopicPartition>> partitions_read(const StreamsGroup& group) {
  std::map<std::string, std::vector<std::string>> sources;
  if (group.topology->subtopologies)
    for (const auto& each : *group.topology->subtopologies) {
      auto& topics = sources[each.subtopology_id];
      topics = each.source_topics;
      for (const auto& topic : each.repartition_source_topics) topics.push_back(topic.name);
    }
  std::set<TopicPartition> partitions;
  for (const auto& member : group.members)
    for (const auto& task : member.assignment.active_tasks) {
      const auto found = sources.find(task.subtopology_id);
      if (found == sources.end())
        return illegal_argument(
            fmt::format("Subtopology {} not found in group description!", task.subtopology_id));
      for (const auto& topic : found->second)
        for (const int32_t index : task.partitions)
          partitions.insert({topic, PartitionIndex(index)});
    }
  return std::vector<TopicPartition>(partitions.begin(), partitions.end());
}

struct Lag {
  std::optional<Committed> committed;
  int64_t end = 0, lag = 0;
};

Attempt<std::vector<std::pair<TopicPartition, Lag>>> lags_of(Admin& admin,
                                                             const StreamsGroup& group) {
  ASSIGN_OR_RETURN(const auto partitions, partitions_read(group));
  Admin::Timestamps starts, ends;
  for (const auto& each : partitions) {
    starts[each] = client::core::kAtStart;
    ends[each] = client::core::kAtEnd;
  }
  const auto earliest = admin.list_offsets(starts);
  if (!earliest) return std::unexpected(executed(earliest.error()));
  const auto latest = admin.list_offsets(ends);
  if (!latest) return std::unexpected(executed(latest.error()));
  ASSIGN_OR_RETURN(const auto committed, committed_by_streams(admin, group.group_id, true));
  std::vector<std::pair<TopicPartition, Lag>> lags;
  for (const auto& partition : partitions) {
    const auto start = earliest->find(partition);
    const auto end = latest->find(partition);
    if (start == earliest->end() || end == latest->end()) continue;
    Lag lag{.committed = std::nullopt, .end = end->second.offset.value()};
    int64_t from = start->second.offset.value();
    if (const auto found = committed.find(partition); found != committed.end()) {
      lag.committed = found->second;
      from = found->second.offset.value();
    }
    lag.lag = lag.end - from;
    lags.emplace_back(partition, lag);
  }
  sort_as_hash_map(lags, [](const auto& each) { return each.first; });
  return lags;
}

Attempt<> print_offsets(Admin& admin, const StreamsGroup& group, bool verbose) {
  ASSIGN_OR_RETURN(const auto lags, lags_of(admin, group));
  if (!has_rows(group)) return {};
  announce(group);
  const auto line = [&](Line all) {
    if (!verbose) return Line{all[0], all[1], all[2], all[6]};
    constexpr size_t kLastWidth = 15;
    all[6].resize(std::max(all[6].size(), kLastWidth), ' ');
    return all;
  };
  std::vector<Line> lines{line({"GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LEADER-EPOCH",
                                "LOG-END-OFFSET", "OFFSET-LAG"})};
  for (const auto& [partition, lag] : lags) {
    std::string offset = "-", epoch = "-";
    if (lag.committed) offset = std::to_string(lag.committed->offset.value());
    if (lag.committed && lag.committed->leader_epoch)
      epoch = std::to_string(*lag.committed->leader_epoch);
    lines.push_back(
        line({group.group_id, partition.topic, std::to_string(partition.partition.value()), offset,
              epoch, std::to_string(lag.end), std::to_string(lag.lag)}));
  }
  Columns columns({15, 15, 10, 15, 15, 15});
  for (const auto& each : lines) columns.fit(each, {0, 1});
  print_table(columns, lines);
  return {};
}

}  // namespace

Attempt<> describe_streams_groups(Admin& admin, const Options& options) {
  ASSIGN_OR_RETURN(const auto names, chosen_groups(admin, options, streams_groups_only()));
  const bool verbose = options.has("verbose");
  for (const auto& name : names) {
    const auto group = describe_streams_group(admin, name);
    if (!group) return std::unexpected(executed(group.error()));
    if (options.has("members")) {
      print_members(*group, verbose);
    } else if (options.has("state")) {
      ASSIGN_OR_RETURN(const auto coordinator, group_coordinator(admin, name));
      print_state(*group, coordinator, verbose);
    } else {
      RETURN_IF_ERROR(print_offsets(admin, *group, verbose));
    }
  }
  return {};
}

}  // namespace millrace::app::kafka::groups
