#include "app/kafka/groups/offset_reset.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <ranges>

#include "app/kafka/groups/csv.h"
#include "app/kafka/groups/group_commands.h"
#include "app/kafka/java_order.h"
#include "app/kafka/text.h"
#include "client/core/fetcher.h"

namespace millrace::app::kafka::groups {
namespace {

using client::core::kAtEnd;
using client::core::kAtStart;

std::set<std::string> topics_of(const std::vector<TopicPartition>& partitions) {
  std::set<std::string> topics;
  for (const auto& each : partitions) topics.insert(each.topic);
  return topics;
}

std::string list_of(const std::vector<TopicPartition>& partitions) {
  std::string list;
  for (const auto& each : partitions) list += (list.empty() ? "" : ",") + each.to_string();
  return list;
}

Admin::Timestamps all_at(const std::vector<TopicPartition>& partitions, int64_t timestamp) {
  Admin::Timestamps timestamps;
  for (const auto& each : partitions) timestamps[each] = timestamp;
  return timestamps;
}

std::unexpected<Ending> parse_exception(std::string message) {
  return thrown("java.lang.RuntimeException", "java.text.ParseException: " + message);
}

// "+0100", "+01:00", "+01", "Z": milliseconds east of UTC.
std::optional<int64_t> parse_zone(std::string text) {
  if (text == "Z") return 0;
  std::erase(text, ':');
  if (text.size() != 3 && text.size() != 5) return std::nullopt;
  const auto hours = parse_int(text.substr(1, 2));
  const auto minutes = text.size() == 5 ? parse_int(text.substr(3)) : Attempt<int32_t>(0);
  if (!hours || !minutes || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const int64_t ms = (int64_t{*hours} * 60 + *minutes) * 60'000;
  return text[0] == '-' ? -ms : ms;
}

using Plan = std::map<std::string, std::map<TopicPartition, int64_t>>;

Attempt<Plan> read_plan(const std::string& path, const std::vector<std::string>& groups) {
  std::ifstream file(path);
  if (!file)
    return thrown("java.lang.RuntimeException",
                  fmt::format("java.io.IOException: Unable to read file {}", path));
  Plan plan;
  for (std::string line; std::getline(file, line);) {
    auto cells = parse_csv_line(line);
    if (cells.size() == 3 && groups.size() == 1) cells.insert(cells.begin(), groups[0]);
    const auto partition = cells.size() == 4 ? parse_int(cells[2]) : Attempt<int32_t>(-1);
    const auto offset = cells.size() == 4 ? parse_long(cells[3]) : Attempt<int64_t>(-1);
    if (cells.size() != 4 || !partition || !offset)
      return thrown("java.lang.RuntimeException",
                    fmt::format("{}: '{}' is no line of a reset", path, line));
    plan[cells[0]][{cells[1], PartitionIndex(*partition)}] = *offset;
  }
  return plan;
}

Attempt<ResetOffsets> reset_from_file(Admin& admin, const std::string& group,
                                      const std::string& path,
                                      const std::vector<std::string>& groups) {
  ASSIGN_OR_RETURN(const auto plan, read_plan(path, groups));
  const auto found = plan.find(group);
  if (found == plan.end()) {
    print_error(fmt::format("No reset plan for group {} found", group));
    return ResetOffsets{};
  }
  return reset_within_range(admin, found->second);
}

Attempt<ResetOffsets> reset_to_current(Admin& admin, const std::vector<TopicPartition>& partitions,
                                       const CommittedOffsets& committed) {
  std::map<TopicPartition, int64_t> result;
  std::vector<TopicPartition> without;
  for (const auto& each : partitions)
    if (const auto found = committed.find(each); found != committed.end())
      result[each] = found->second.offset.value();
    else
      without.push_back(each);
  ASSIGN_OR_RETURN(const auto ends, reset_to_end(admin, without, kAtEnd));
  result.insert(ends.begin(), ends.end());
  return in_java_order(result);
}

Attempt<ResetOffsets> reset_by_shift(Admin& admin, const std::vector<TopicPartition>& partitions,
                                     const CommittedOffsets& committed, int64_t shift) {
  std::map<TopicPartition, int64_t> wanted;
  for (const auto& each : partitions) {
    const auto found = committed.find(each);
    if (found == committed.end())
      return illegal_argument(
          fmt::format("Cannot shift offset for partition {} since there is no current committed "
                      "offset",
                      each.to_string()));
    wanted[each] = found->second.offset.value() + shift;
  }
  return reset_within_range(admin, wanted);
}

}  // namespace

Attempt<std::vector<TopicPartition>> parse_topic_partitions(const std::string& text) {
  const auto halves = split(text, ':');
  if (halves.size() != 2)
    return illegal_argument(
        fmt::format("Invalid topic arg '{}', expected topic name and partitions", text));
  std::vector<TopicPartition> partitions;
  for (const auto& each : split(halves[1], ',')) {
    const auto index = parse_int(each);
    if (!index)
      return illegal_argument(
          fmt::format("Invalid partition '{}' specified in topic arg '{}''", each, text));
    partitions.push_back({halves[0], PartitionIndex(*index)});
  }
  return partitions;
}

Attempt<std::vector<TopicPartition>> partitions_to_reset(Admin& admin,
                                                         const std::vector<std::string>& topics) {
  std::vector<TopicPartition> partitions;
  std::vector<std::string> whole;
  for (const auto& text : topics) {
    if (!text.contains(':')) {
      whole.push_back(text);
      continue;
    }
    ASSIGN_OR_RETURN(const auto named, parse_topic_partitions(text));
    partitions.insert(partitions.end(), named.begin(), named.end());
  }
  ASSIGN_OR_RETURN(const auto described, admin.describe_topics(whole));
  for (const auto& topic : described)
    for (const auto& [index, replicas] : topic.partitions)
      partitions.push_back({topic.name, PartitionIndex(index)});
  return partitions;
}

Attempt<> check_partitions(Admin& admin, const std::vector<TopicPartition>& partitions) {
  const auto topics = topics_of(partitions);
  auto described = admin.describe_topics({topics.begin(), topics.end()});
  if (!described) return std::unexpected(executed_at_run_time(described.error()));
  std::vector<TopicPartition> absent, leaderless;
  for (const auto& each : partitions) {
    const auto topic = std::ranges::find(*described, each.topic, &TopicDescription::name);
    const auto found = topic->partitions.find(each.partition.value());
    if (found == topic->partitions.end())
      absent.push_back(each);
    else if (found->second.leader < 0)
      leaderless.push_back(each);
  }
  constexpr std::string_view kErrors = "org.apache.kafka.common.errors.";
  if (!absent.empty())
    return thrown(fmt::format("{}UnknownTopicOrPartitionException", kErrors),
                  fmt::format("The partitions \"{}\" do not exist", list_of(absent)));
  if (!leaderless.empty())
    return thrown(fmt::format("{}LeaderNotAvailableException", kErrors),
                  fmt::format("The partitions \"{}\" have no leader", list_of(leaderless)));
  return {};
}

Attempt<int64_t> parse_date_time(const std::string& text) {
  if (!text.contains('T'))
    return parse_exception(
        "Error parsing timestamp. It does not contain a 'T' according to ISO8601 format");
  std::tm time{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  const auto wrong = [&] { return parse_exception(fmt::format("Unparseable date: \"{}\"", text)); };
  if (end == nullptr || *end != '.') return wrong();
  const std::string rest(end + 1);
  const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const auto ms = parse_int(rest.substr(0, digits));
  const auto zone = digits == rest.size() ? 0 : parse_zone(rest.substr(digits));
  if (!ms || !zone) return wrong();
  return int64_t{::timegm(&time)} * 1000 + *ms - *zone;
}

Attempt<int64_t> parse_duration(const std::string& text) {
  const auto wrong = [] {
    return thrown("java.time.format.DateTimeParseException", "Text cannot be parsed to a Duration");
  };
  std::string_view left = text;
  const bool negative = left.starts_with('-');
  if (negative || left.starts_with('+')) left.remove_prefix(1);
  if (!left.starts_with('P') && !left.starts_with('p')) return wrong();
  left.remove_prefix(1);
  double ms = 0;
  bool in_time = false, any = false;
  while (!left.empty()) {
    if (!in_time && (left[0] == 'T' || left[0] == 't')) {
      in_time = true;
      left.remove_prefix(1);
      continue;
    }
    const size_t end = left.find_first_not_of("+-.0123456789");
    if (end == 0 || end == std::string_view::npos) return wrong();
    const double count = std::strtod(std::string(left.substr(0, end)).c_str(), nullptr);
    const char unit = static_cast<char>(std::toupper(static_cast<unsigned char>(left[end])));
    left.remove_prefix(end + 1);
    any = true;
    if (!in_time && unit == 'D')
      ms += count * 86'400'000;
    else if (in_time && unit == 'H')
      ms += count * 3'600'000;
    else if (in_time && unit == 'M')
      ms += count * 60'000;
    else if (in_time && unit == 'S')
      ms += count * 1000;
    else
      return wrong();
  }
  if (!any) return wrong();
  return static_cast<int64_t>(negative ? -ms : ms);
}

ResetOffsets in_java_order(const std::map<TopicPartition, int64_t>& offsets) {
  ResetOffsets ordered(offsets.begin(), offsets.end());
  sort_as_hash_map(ordered, [](const auto& each) { return each.first; });
  return ordered;
}

Attempt<ResetOffsets> reset_to_end(Admin& admin, const std::vector<TopicPartition>& partitions,
                                   int64_t end) {
  auto listed = admin.list_offsets(all_at(partitions, end));
  if (!listed) return std::unexpected(executed_at_run_time(listed.error()));
  std::map<TopicPartition, int64_t> offsets;
  for (const auto& [partition, each] : *listed) offsets[partition] = each.offset.value();
  return in_java_order(offsets);
}

Attempt<ResetOffsets> reset_to_time(Admin& admin, const std::vector<TopicPartition>& partitions,
                                    int64_t timestamp) {
  auto listed = admin.list_offsets(all_at(partitions, timestamp));
  if (!listed) return std::unexpected(executed_at_run_time(listed.error()));
  std::map<TopicPartition, int64_t> offsets;
  std::vector<TopicPartition> without;
  for (const auto& [partition, each] : *listed) {
    if (each.offset.value() >= 0)
      offsets[partition] = each.offset.value();
    else
      without.push_back(partition);
  }
  for (const auto& each : without)
    fmt::print(
        "\nWarn: Partition {} from topic {} is empty. Falling back to latest known offset.\n",
        each.partition, each.topic);
  auto ends = admin.list_offsets(all_at(without, kAtEnd));
  if (!ends) return std::unexpected(executed_at_run_time(ends.error()));
  for (const auto& [partition, each] : *ends) offsets[partition] = each.offset.value();
  return in_java_order(offsets);
}

Attempt<ResetOffsets> reset_within_range(Admin& admin,
                                         const std::map<TopicPartition, int64_t>& wanted) {
  const auto keys = std::views::keys(wanted);
  const std::vector<TopicPartition> partitions(keys.begin(), keys.end());
  auto starts = admin.list_offsets(all_at(partitions, kAtStart));
  if (!starts) return std::unexpected(executed_at_run_time(starts.error()));
  auto ends = admin.list_offsets(all_at(partitions, kAtEnd));
  if (!ends) return std::unexpected(executed_at_run_time(ends.error()));
  std::map<TopicPartition, int64_t> offsets;
  for (const auto& [partition, offset] : wanted) {
    const int64_t start = (*starts)[partition].offset.value();
    const int64_t end = (*ends)[partition].offset.value();
    const int64_t held = offset > end ? end : std::max(offset, start);
    offsets[partition] = held;
    if (held == offset) continue;
    log_line("WARN",
             fmt::format("New offset ({}) is {} than {} offset for topic partition {}. Value will "
                         "be set to {}",
                         offset, offset > end ? "higher" : "lower",
                         offset > end ? "latest" : "earliest", partition.to_string(), held),
             "org.apache.kafka.tools.OffsetsUtils");
  }
  return in_java_order(offsets);
}

Attempt<ResetOffsets> reset_as_told(Admin& admin, const Options& options, const ResetScope& scope) {
  const auto& [group, partitions, committed] = scope;
  if (options.has("to-offset")) {
    std::map<TopicPartition, int64_t> wanted;
    for (const auto& each : partitions) wanted[each] = *options.number("to-offset");
    return reset_within_range(admin, wanted);
  }
  if (options.has("to-earliest")) return reset_to_end(admin, partitions, kAtStart);
  if (options.has("to-latest")) return reset_to_end(admin, partitions, kAtEnd);
  if (options.has("shift-by")) {
    ASSIGN_OR_RETURN(const auto offsets, committed());
    return reset_by_shift(admin, partitions, offsets, *options.number("shift-by"));
  }
  if (options.has("to-datetime")) {
    ASSIGN_OR_RETURN(const int64_t time, parse_date_time(options.values("to-datetime").front()));
    return reset_to_time(admin, partitions, time);
  }
  if (options.has("by-duration")) {
    ASSIGN_OR_RETURN(const int64_t ago, parse_duration(*options.value("by-duration")));
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    return reset_to_time(admin, partitions, now.count() - ago);
  }
  if (options.has("from-file"))
    return reset_from_file(admin, group, options.values("from-file").front(),
                           options.values("group"));
  if (options.has("to-current")) {
    ASSIGN_OR_RETURN(const auto offsets, committed());
    return reset_to_current(admin, partitions, offsets);
  }
  return usage(
      "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], "
      "[shift-by], [to-datetime], [by-duration], [to-earliest], [to-latest], [to-current], "
      "[from-file]]");
}

Attempt<> commit_reset(Admin& admin, const std::string& group, const ResetOffsets& offsets) {
  wire::OffsetCommitRequest request{.group_id = group};
  for (const auto& [partition, offset] : std::map(offsets.begin(), offsets.end())) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.push_back({.name = partition.topic});
    request.topics.back().partitions.push_back({.partition_index = partition.partition.value(),
                                                .committed_offset = offset,
                                                .committed_metadata = ""});
  }
  const auto errors_of = [](const wire::OffsetCommitResponse& response) {
    ResetErrors errors;
    for (const auto& topic : response.topics)
      for (const auto& each : topic.partitions)
        errors[{topic.name, PartitionIndex(each.partition_index)}] = each.error_code;
    return errors;
  };
  ASSIGN_OR_RETURN(const auto response,
                   admin.call_group("commitOffsets", group, std::move(request), [&](const auto& r) {
                     for (const auto& [partition, code] : errors_of(r))
                       if (code != 0) return code;
                     return int16_t{0};
                   }));
  return check_reset_errors(errors_of(response));
}

Attempt<> check_reset_errors(const ResetErrors& errors) {
  std::vector<std::pair<TopicPartition, int16_t>> failed(errors.begin(), errors.end());
  std::erase_if(failed, [](const auto& each) { return each.second == 0; });
  if (failed.empty()) return {};
  sort_as_hash_map(failed, [](const auto& each) { return each.first; });
  std::vector<std::string> names;
  for (const auto& [partition, code] : failed) names.push_back(partition.to_string());
  return std::unexpected(
      exception_of(failed.front().second,
                   fmt::format("Failed altering group offsets for the following partitions: [{}]",
                               fmt::join(names, ", "))));
}

void print_inactive_only(const std::string& group, const std::string& state) {
  print_error(
      fmt::format("Assignments can only be reset if the group '{}' is inactive, but the "
                  "current state is {}.",
                  group, state));
}

void print_reset(const ResetGroups& groups) {
  Columns columns({15, 15, 10});
  for (const auto& [group, offsets] : groups) {
    columns.fit({group}, {0});
    for (const auto& [partition, offset] : offsets) columns.fit({group, partition.topic}, {1});
  }
  if (!groups.empty())
    fmt::print("\n{}", columns.line({"GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"}));
  for (const auto& [group, offsets] : groups)
    for (const auto& [partition, offset] : offsets)
      fmt::print("\n{}",
                 columns.line({group, partition.topic, std::to_string(partition.partition.value()),
                               std::to_string(offset)}));
  fmt::print("\n");
}

void print_reset_csv(const ResetGroups& groups, bool with_group) {
  for (const auto& [group, offsets] : groups)
    for (const auto& [partition, offset] : offsets) {
      std::vector<std::string> cells{partition.topic, std::to_string(partition.partition.value()),
                                     std::to_string(offset)};
      if (with_group) cells.insert(cells.begin(), group);
      fmt::print("{}", csv_line(cells));
    }
  fmt::print("\n");
}

}  // namespace millrace::app::kafka::groups
